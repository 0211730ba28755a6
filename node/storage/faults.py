"""What LevelDB's errors mean: a damaged row, or a system that is short of something."""

import re
from pathlib import Path
from typing import Final

from ledger.errors import KEYS_LOST, Misconfigured, StandingError, StoreDamaged

REPAIR: Final = (
    "the store is damaged; to recover, move the data folder away (keep it for inspection) and "
    "start the node again: it fetches the whole ledger from its peers and re-executes it. "
    f"{KEYS_LOST}"
)

_OURS: Final = re.compile(
    r"too many open files|no space left|permission denied|read-only file system|disk quota"
    r"|cannot allocate memory|operation not permitted",
    re.IGNORECASE,
)
"""What the system says when it is short of something: the rows are whole."""
_LOCKED: Final = re.compile(r"IO error: lock |already held", re.IGNORECASE)


def text_of(error: BaseException) -> str:
    """What an error says; LevelDB's messages come as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)


def unreadable(folder: Path, key: bytes, error: BaseException) -> StandingError:
    """What to raise when the row under a key, or near it, could not be read."""
    if _OURS.search(text_of(error)):
        return _unusable(folder, error)
    where = f"{folder}: row {key[:1].decode('latin-1')} {key[1:].hex()}"
    return StoreDamaged(where, f"{text_of(error)}; {REPAIR}")


def unopened(folder: Path, error: BaseException) -> StandingError:
    """What to raise when a store could not be opened."""
    if _OURS.search(text_of(error)):
        return _unusable(folder, error)
    if _LOCKED.search(text_of(error)):
        return Misconfigured(
            f"the store {folder} is open in another process; stop that node first, "
            "or give this one a data folder of its own"
        )
    return StoreDamaged(str(folder), f"{text_of(error)}; {REPAIR}")


def _unusable(folder: Path, error: BaseException) -> Misconfigured:
    return Misconfigured(
        f"the store {folder} cannot be used: {text_of(error)}; nothing in it is damaged: "
        "mend that (space, rights, the bound on open files) and start the node again"
    )
