"""New keys: for a platform that joins, and for a member whose keys are to change.

A platform that joins makes its own folder, from nothing but the genesis that it trusts:

DIR/genesis.json                what all nodes share
DIR/epochs                      which sets lead to today's, where a node was asked
DIR/request.json                the public half, for a member to propose (node/keyring.py)
DIR/node.toml, DIR/keys/, …     the rest of a node's folder (node/home.py)

A rotation makes KEYS.next beside the keys in use. The record that asks for it is signed with the
root key, which may then go back to where it is kept.
"""

from pathlib import Path

from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Foundation, chain_id
from ledger.membership import Validator
from ledger.records import encode_record
from ledger.records.membership import KeyRotate
from ledger.rules.signatures import record_message
from ledger.signing import SigningKey
from node.home import EPOCHS_FILE, Plan, write_home
from node.keyring import REQUEST, Request, encode_request, next_folder
from node.keystore import WITNESS, key_path, read_seed, sync_folder, write_seed, write_whole
from node.network import GENESIS_FILE, draw_seeds, make_member


def make_home(
    folder: Path, plan: Plan, foundation: Foundation, *, genesis: bytes, epochs: bytes | None
) -> Request:
    """Write the folder of a platform that joins; the request that a member is to propose.

    Raises:
        Misconfigured: the folder is not empty, or cannot be written, or the code cannot be one.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} exists and is not empty; choose another folder")
    seeds = draw_seeds()
    try:
        validator, proofs = make_member(plan.number, plan.code, seeds)
        request = Request(chain_id(foundation), validator, proofs)
        text = encode_request(request)
        write_home(
            folder,
            plan,
            seeds,
            origin=foundation.origin,
            genesis=GENESIS_FILE,
            epochs=epochs is not None,
        )
        (folder / GENESIS_FILE).write_bytes(genesis)
        if epochs is not None:
            (folder / EPOCHS_FILE).write_bytes(epochs)
        write_whole(folder / "keys" / REQUEST, text)
        write_whole(folder / REQUEST, text)
    except InvalidInput as error:
        raise Misconfigured(f"no platform can be made of this: {error}") from error
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be written: {error.strerror}") from error
    return request


def make_rotation(folder: Path, own: Validator, root_seed: bytes, chain: bytes) -> Request:
    """Make the further keys of a rotation beside the keys in `folder`, under the same root key.

    Raises:
        Misconfigured: there are further keys already, or the root key is another platform's.
    """
    place = next_folder(folder)
    if own.root_key != SigningKey.from_seed(root_seed).public:
        raise Misconfigured(f"the root key is not the one that is registered for {own.code}")
    if place.exists():
        raise Misconfigured(
            f"{place} exists: a rotation is under way; remove it only if that will never bind"
        )
    seeds = {**draw_seeds(), "root": root_seed}
    validator, proofs = make_member(own.number, own.code, seeds)
    request = Request(chain, validator, proofs)
    try:
        place.mkdir(mode=0o700)
        for purpose, seed in seeds.items():
            if purpose not in ("root", WITNESS):
                write_seed(key_path(place, purpose), seed)
        if key_path(folder, WITNESS).exists():
            write_seed(key_path(place, WITNESS), read_seed(key_path(folder, WITNESS)))
        write_whole(place / REQUEST, encode_request(request))
        sync_folder(place.parent)  # before the ledger hears of these keys, they are on disk
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be written: {error.strerror}") from error
    return request


def rotation_of(request: Request, root: SigningKey, at_ms: int) -> tuple[bytes, bytes]:
    """The record `key.rotate` of a request, and its signature by the root key."""
    validator = request.validator
    record = KeyRotate(validator.number, at_ms, root.public, validator, request.proofs)
    data = encode_record(record)
    return data, root.sign(record_message(request.chain, data))
