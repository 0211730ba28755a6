"""The genesis, parameters and names of an evaluation's own little network.

One validator for each platform of the set; the parameters are the ones asked about, with the set's
scale and domains added. Keys and handles follow from names: equal sets yield equal ledgers.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.bureau.model import FIRST_MODEL, Model, check_model
from ledger.encoding import decode, encode
from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import FIRST_BOUNDS, Foundation, Genesis
from ledger.hashing import sha256
from ledger.membership import PURPOSES, Proofs, Validator, possession_message
from ledger.parameters import (
    FIRST_DOMAINS,
    FIRST_SCALES,
    Domain,
    Parameters,
    check_parameters,
)
from ledger.signing import SigningKey
from node.evaluation.events import DataSet

MODEL_BYTES_MAX: Final = 64 * 1_024
EPOCH_BLOCKS: Final = 1
"""An answer reads the platform's summary as of the last epoch's end. A set's events are months of a
network, an event a block: with epochs as short as can be, the summary is that of just before."""
_ORIGIN: Final = "example.org/standing-evaluation"


def load_model(path: Path | None) -> Model:
    """A model version from a parameters file: a JSON object of the numbers that differ from the
    first model's, by their names in `ledger/bureau/model.py` (or under a key `model`).

    Raises:
        Misconfigured: it is none, or contradicts itself.
    """
    if path is None:
        return FIRST_MODEL
    try:
        told: Any = msgspec.json.decode(path.read_bytes()[:MODEL_BYTES_MAX])
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{path} is no parameters file: {error}") from error
    if isinstance(told, dict) and isinstance(told.get("model"), dict):
        told = told["model"]
    if not isinstance(told, dict):
        raise Misconfigured(f"{path} is no JSON object of the model's numbers")
    unknown = sorted(set(told) - set(Model.__struct_fields__))
    if unknown:
        raise Misconfigured(f"{path}: the model has no {unknown[0]}")
    try:
        changed = msgspec.structs.replace(FIRST_MODEL, **told)
        model = decode(Model, encode(changed), bytes_max=MODEL_BYTES_MAX, what="model")
        check_model(model)
    except (TypeError, OverflowError, InvalidInput) as error:
        raise Misconfigured(f"{path}: {error}") from error
    return model


def parameters_of(model: Model, data: DataSet) -> Parameters:
    """The parameters in force on the set's network."""
    scales = (*FIRST_SCALES, *(() if data.scale is None else (data.scale,)))
    known = {domain.code for domain in FIRST_DOMAINS}
    added = tuple(Domain(code, "work") for code in data.domains if code not in known)
    parameters = Parameters(
        rules_version=1,
        model=model,
        scales=tuple(sorted(scales, key=lambda scale: scale.code)),
        domains=FIRST_DOMAINS + added,
    )
    check_parameters(parameters)
    return parameters


def genesis_of(parameters: Parameters, platforms: Sequence[str], created_ms: int) -> Genesis:
    """A network of one member for each platform, numbered from 1."""
    members = [_member(number) for number in range(1, len(platforms) + 1)]
    foundation = Foundation(
        origin=_ORIGIN,
        created=created_ms,
        validators=tuple(member for member, _ in members),
        bounds=msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS),
        parameters=parameters,
    )
    return Genesis(foundation, tuple(proofs for _, proofs in members))


@cache
def lane_key(number: int) -> SigningKey:
    """The key of a platform's lane."""
    return _key(number, "lane")


@cache
def handle_of(name: str) -> bytes:
    """The handle under which everybody is registered who goes by this name in the set."""
    return sha256(b"standing evaluation handle", name.encode())


def _key(number: int, purpose: str) -> SigningKey:
    return SigningKey.from_seed(
        sha256(b"standing evaluation key", repr((number, purpose)).encode())
    )


@cache
def _member(number: int) -> tuple[Validator, Proofs]:
    code = f"p{number}"
    keys = {purpose: _key(number, purpose) for purpose in PURPOSES}
    proofs = {
        purpose: key.sign(possession_message(number, code, purpose, key.public))
        for purpose, key in keys.items()
    }
    certificate = sha256(b"standing evaluation certificate", number.to_bytes(4))
    root, lane, vote, cosigner, log = (keys[purpose].public for purpose in PURPOSES)
    member = Validator(number, code, root, lane, vote, cosigner, log, certificate)
    return member, Proofs(**proofs)
