"""Genesis: what all nodes share from the start. Its hash is the chain id.

Everything that decides validity stands here (and in later governance records): members, bounds,
epoch length, first parameters. The chain id is SHA-256 of the canonical bytes of the genesis
without its proofs of possession.
"""

from typing import Annotated, Final

import msgspec

from ledger.block import Seal, refusals_hash
from ledger.encoding import TimeMs, Value, encode
from ledger.errors import Malformed
from ledger.hashing import ZERO_HASH, sha256
from ledger.index import EMPTY_ROOT as EMPTY_INDEX_ROOT
from ledger.membership import Proofs, Validator, check_distinct, check_possession
from ledger.parameters import Parameters, check_parameters, parameters_hash
from ledger.records import RECORD_BYTES_MAX

GENESIS_BYTES_MAX: Final = 4 * 1_024 * 1_024

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Origin = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[a-z0-9./-]+\Z")]


class Bounds(Value):
    """Validity rules in numbers. A batch or cut beyond them is not accepted by anyone."""

    record_bytes_max: Positive
    batch_records_max: Positive
    batch_bytes_max: Positive
    cut_records_max: Positive
    cut_bytes_max: Positive
    record_files_max: Positive
    epoch_blocks: Positive


FIRST_BOUNDS: Final = Bounds(
    record_bytes_max=4_096,
    batch_records_max=4_096,
    batch_bytes_max=2 * 1_024 * 1_024,
    cut_records_max=32_768,
    cut_bytes_max=16 * 1_024 * 1_024,
    record_files_max=4,
    epoch_blocks=64,
)


class Foundation(Value):
    """Genesis without its proofs of possession: what the chain id names."""

    origin: Origin
    created: TimeMs
    validators: tuple[Validator, ...]
    bounds: Bounds
    parameters: Parameters


class Genesis(Value):
    """The foundation, and the proof of possession of every key in it, in the same order."""

    foundation: Foundation
    proofs: tuple[Proofs, ...]


def chain_id(foundation: Foundation) -> bytes:
    """The 32 bytes that every signature of this network covers."""
    return sha256(encode(foundation))


def check_genesis(genesis: Genesis) -> None:
    """Refuse a genesis whose members, proofs, bounds or parameters do not hold.

    Raises:
        InvalidInput: says what.
    """
    foundation = genesis.foundation
    check_distinct(foundation.validators)
    check_parameters(foundation.parameters)
    if len(genesis.proofs) != len(foundation.validators):
        raise Malformed("there is not one set of proofs for each validator", field="proofs")
    for validator, proofs in zip(foundation.validators, genesis.proofs, strict=True):
        check_possession(validator, proofs)
    bounds = foundation.bounds
    if bounds.record_bytes_max > RECORD_BYTES_MAX:
        raise Malformed(f"record_bytes_max exceeds {RECORD_BYTES_MAX}", field="bounds")
    if bounds.batch_records_max > min(65_535, bounds.cut_records_max):
        raise Malformed("batch_records_max exceeds 65,535 or cut_records_max", field="bounds")
    if bounds.batch_bytes_max > bounds.cut_bytes_max:
        raise Malformed("batch_bytes_max exceeds cut_bytes_max", field="bounds")


def genesis_seal(foundation: Foundation) -> Seal:
    """Leaf 0 of the log: the seal of block 0, which names validator set 1."""
    return Seal(
        height=0,
        block=chain_id(foundation),
        previous=ZERO_HASH,
        time=foundation.created,
        index_root=EMPTY_INDEX_ROOT,
        refusals=refusals_hash(()),
        parameters=parameters_hash(foundation.parameters),
        validators=foundation.validators,
    )


def epoch_of(height: int, epoch_blocks: int) -> int:
    """The epoch that a block height belongs to: 0 for genesis, then `epoch_blocks` heights each."""
    return 0 if height == 0 else (height - 1) // epoch_blocks + 1
