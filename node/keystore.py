"""The keys of one platform: for each purpose a seed in a file that only its owner can read.

A key file holds the 32-byte seed as 64 lowercase hex digits and a newline, mode 0600. Purposes:
root (kept offline), lane, vote, cosigner, log, link, and witness, with which the node cosigns other
logs (needed only where its configuration names some). A file that others can read is refused: a key
that may have been copied must not sign.
"""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ledger.errors import Misconfigured
from ledger.signing import SEED_BYTES, SigningKey

WITNESS: Final = "witness"
SIGNING: Final = ("lane", "vote", "cosigner", "log")
ONLINE: Final = (*SIGNING, "link")
MISSING: Final = (
    "Put the file back from where the keys are kept, and see that no other copy of them runs. If "
    "the keys are lost, the platform comes back under new ones: `standing network rotate` with its "
    "root key. A node that is to sign nothing is an observer: `standing node observe`"
)
_SEED: Final = re.compile(r"[0-9a-f]{64}\n\Z")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Keystore:
    """The keys that a running node holds; the link key's seed also signs its TLS certificate."""

    lane: SigningKey
    vote: SigningKey
    cosigner: SigningKey
    log: SigningKey
    link_seed: bytes

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read all online keys of a folder.

        Raises:
            Misconfigured: a key is missing, malformed, or readable by others.
        """
        seeds = {purpose: read_seed(key_path(folder, purpose)) for purpose in ONLINE}
        link_seed = seeds.pop("link")
        keys = {purpose: SigningKey.from_seed(seed) for purpose, seed in seeds.items()}
        return cls(**keys, link_seed=link_seed)


def key_path(folder: Path, purpose: str) -> Path:
    """Where the key for a purpose lies in a folder of keys."""
    return folder / f"{purpose}.key"


def read_seed(path: Path) -> bytes:
    """The 32-byte seed of a key file.

    Raises:
        Misconfigured: missing, not 64 hex digits and a newline, or readable by others.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(2 * SEED_BYTES + 2)
    except OSError as error:
        what = f"the key file {path} cannot be read: {error.strerror}"
        raise Misconfigured(f"{what}. {MISSING}") from error
    if mode & _OTHERS:
        raise Misconfigured(
            f"the key file {path} has mode {stat.S_IMODE(mode):04o}: others may read it; "
            f"run chmod 600 {path}, and replace the key if others had access"
        )
    text = data.decode("ascii", "replace")
    if not _SEED.match(text):
        raise Misconfigured(f"the key file {path} does not hold a seed of 64 hex digits")
    return bytes.fromhex(text)


def destroy(folder: Path, paths: Iterable[Path]) -> None:
    """Overwrite and remove files of a folder; on disk when this returns. (A disk may keep copies
    elsewhere: where that matters, keep the folder on an encrypted one.)"""
    for path in paths:
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(path.stat().st_size))
            os.fsync(file.fileno())
        path.unlink()
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in a folder is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, in place of an older one: on disk, whole or not at all, when this returns."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def write_seed(path: Path, seed: bytes) -> None:
    """Write a new key file (mode 0600); one that exists is never overwritten."""
    write_secret(path, seed.hex())


def write_secret(path: Path, text: str) -> None:
    """Write a line to a new file that only its owner can read.

    Raises:
        Misconfigured: the file exists, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error
