"""Founding a network: keys, genesis, and one folder with a configuration for each platform.

DIR/genesis.json                the JSON form of `ledger.genesis.Genesis`; all nodes share it
DIR/<code>/                     each platform's folder, as node/home.py has it
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from ledger.bureau.model import FIRST_MODEL
from ledger.errors import Malformed, Misconfigured
from ledger.genesis import (
    FIRST_BOUNDS,
    GENESIS_BYTES_MAX,
    Foundation,
    Genesis,
    chain_id,
    check_genesis,
)
from ledger.membership import PURPOSES, PlatformCode, Proofs, Validator, possession_message
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.signing import SEED_BYTES, SigningKey
from node.api.json_records import value_from_json, value_to_json
from node.config import Address
from node.home import Plan, write_home
from node.keystore import WITNESS
from node.links.tls import make_certificate

GENESIS_FILE: Final = "genesis.json"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Founded:
    """A network that was written: its chain id, and its platforms' codes by number − 1."""

    folder: Path
    chain: bytes
    origin: str
    codes: tuple[str, ...]


def found_network(
    folder: Path,
    codes: Sequence[str],
    *,
    origin: str,
    api_port: int,
    peer_port: int,
    epoch_blocks: int = FIRST_BOUNDS.epoch_blocks,
    created_ms: int | None = None,
) -> Founded:
    """Write a new network's folder. Ports count up from the two given, by platform. `created_ms`:
    when genesis says that it was made; without, now.

    Raises:
        Misconfigured: the folder is not empty, or codes, origin or ports cannot be used.
    """
    _check_place(folder, codes, api_port, peer_port)
    seeds = [draw_seeds() for _ in codes]
    members = [
        make_member(number, code, each)
        for number, (code, each) in enumerate(zip(codes, seeds, strict=True), 1)
    ]
    foundation = Foundation(
        origin=origin,
        created=time.time_ns() // 1_000_000 if created_ms is None else created_ms,
        validators=tuple(validator for validator, _ in members),
        bounds=replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks),
        parameters=Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS),
    )
    genesis = Genesis(foundation, tuple(proofs for _, proofs in members))
    text = genesis_text(genesis)
    try:
        check_genesis(parse_genesis(text))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / GENESIS_FILE).write_bytes(text)
        for number, code in enumerate(codes, 1):
            peers = {
                each: Address(LOOPBACK, peer_port + at)
                for at, each in enumerate(codes)
                if each != code
            }
            plan = Plan(
                number,
                code,
                Address(LOOPBACK, api_port + number - 1),
                Address(LOOPBACK, peer_port + number - 1),
                peers,
            )
            write_home(
                folder / code,
                plan,
                seeds[number - 1],
                origin=origin,
                genesis=f"../{GENESIS_FILE}",
            )
    except Malformed as error:
        raise Misconfigured(f"no network can be made of this: {error}") from error
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be written: {error.strerror}") from error
    return Founded(folder, chain_id(foundation), origin, tuple(codes))


def genesis_text(genesis: Genesis) -> bytes:
    """The JSON form of a genesis, as it is written to a file."""
    return msgspec.json.format(msgspec.json.encode(value_to_json(genesis)), indent=1) + b"\n"


def load_genesis(path: Path) -> Genesis:
    """Read and check a genesis file.

    Raises:
        Misconfigured: it cannot be read.
        InvalidInput: it is no genesis, or its members, proofs or bounds do not hold.
    """
    try:
        with path.open("rb") as file:
            data = file.read(4 * GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise Misconfigured(f"the genesis {path} cannot be read: {error.strerror}") from error
    genesis = parse_genesis(data)
    check_genesis(genesis)
    return genesis


def parse_genesis(data: bytes) -> Genesis:
    """The genesis of its JSON form; nothing but the form is checked."""
    return value_from_json(Genesis, data, bytes_max=4 * GENESIS_BYTES_MAX)


def _check_place(folder: Path, codes: Sequence[str], api_port: int, peer_port: int) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} exists and is not empty; choose another folder")
    if not codes or any(not code for code in codes):
        raise Misconfigured("name the platforms by codes, as in --platforms a,b,c,d")
    if len(set(codes)) != len(codes):
        raise Misconfigured("a platform's code stands there twice")
    for port in (api_port, peer_port):
        if not 0 < port <= 65_536 - len(codes):
            raise Misconfigured(f"port {port} leaves no room for {len(codes)} nodes")
    if abs(api_port - peer_port) < len(codes):
        raise Misconfigured("the API's and the peers' ports overlap; choose bases further apart")


def _check_code(code: str) -> None:
    try:
        msgspec.convert(code, PlatformCode)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"{code!r} is no platform's code: write 1 to 32 of a-z and 0-9, with single hyphens in "
            "between, and not digits alone, which would be taken for a platform's number"
        ) from error


def draw_seeds() -> dict[str, bytes]:
    """A new seed for each purpose."""
    return {purpose: os.urandom(SEED_BYTES) for purpose in (*PURPOSES, "link", WITNESS)}


def make_member(number: int, code: str, seeds: dict[str, bytes]) -> tuple[Validator, Proofs]:
    """The public half of a platform's keys, and the proofs that it holds them.

    Raises:
        Misconfigured: the code cannot be a platform's.
    """
    _check_code(code)
    keys = {purpose: SigningKey.from_seed(seeds[purpose]) for purpose in PURPOSES}
    proofs = {
        purpose: key.sign(possession_message(number, code, purpose, key.public))
        for purpose, key in keys.items()
    }
    validator = Validator(
        number=number,
        code=code,
        **{f"{purpose}_key": key.public for purpose, key in keys.items()},
        certificate=make_certificate(seeds["link"], code),
    )
    return validator, Proofs(**proofs)
