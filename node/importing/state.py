"""The state of an import under way, in a small file beside the rejects file.

It says how far an interrupted import had come: everything up to `rows` is final and counted. It
belongs to one file, one mapping and one target; for any other it does not count, and the import
starts anew, which is harmless, since what the ledger knows comes back as duplicates. A finished
import leaves no state behind.
"""

import contextlib
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

STATE_BYTES_MAX: Final = 64 * 1_024
_START_BYTES: Final = 1_024 * 1_024


class Tally(msgspec.Struct, forbid_unknown_fields=True):
    """The arithmetic of an import: rows = applied + rejected + duplicates."""

    rows: int = 0
    applied: int = 0
    rejected: int = 0
    duplicates: int = 0
    records: int = 0


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What of which import is done; `rejects_bytes` of the rejects file belong to it."""

    identity: str
    tally: Tally
    rejects_bytes: int


def identity_of(file: Path, mapping_digest: bytes, target: str) -> str:
    """One file as it now is (size, change time, start), one mapping, one target."""
    stat = file.stat()
    with file.open("rb") as opened:
        start = opened.read(_START_BYTES)
    parts = f"{stat.st_size} {stat.st_mtime_ns} {target}".encode()
    return sha256(mapping_digest + sha256(start).digest() + parts).hexdigest()


def load_state(path: Path, identity: str) -> State:
    """The state of an interrupted import, or a fresh one."""
    fresh = State(identity, Tally(), 0)
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(STATE_BYTES_MAX), type=State)
    except (FileNotFoundError, msgspec.MsgspecError):
        return fresh
    return found if found.identity == identity else fresh


def save_state(path: Path, state: State) -> None:
    """Replace the state file in one step."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.encode(state))
    fresh.replace(path)


def drop_state(path: Path) -> None:
    """The import is finished."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
