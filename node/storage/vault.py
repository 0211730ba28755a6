"""The vault: the file with the keys under which a store's openings are encrypted at rest.

    openings.keys = "standing-vault-1" ‖ naming key (32) ‖ key tree (keytree.py) ‖ SHA-256 of these

It lies beside LevelDB's files and not in it: LevelDB keeps what was overwritten until some later
compaction. Destroying keys is one step, which a crash leaves either undone or done:

1. the new file is written as `openings.keys.new` and synced;
2. it takes the old one's name, and the folder is synced;
3. the old one's bytes, which have no name any more, are overwritten and synced.

What is left of a crash in between is made good at the next opening. A file system that never writes
in place, a snapshot, a backup or a worn disk's spare blocks may keep the old bytes all the same: no
program can reach them. The memory of the running process is not wiped either.
"""

import os
from collections.abc import Iterable
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Final

from ledger.errors import Misconfigured, StoreDamaged
from node.storage.keytree import SLOT_BITS, KeyTree

VAULT_NAME: Final = "openings.keys"
VAULT_BYTES_MAX: Final = 1 << 31

_MAGIC: Final = b"standing-vault-1"
_NAMING_BYTES: Final = 32
_SUM_BYTES: Final = 32
_NEW: Final = ".new"
_MODE: Final = 0o600
_SLOT_BYTES: Final = 6
_SPARE_BITS: Final = 8 * _SLOT_BYTES - SLOT_BITS
REPAIR: Final = (
    "without it no opening in the store can be read; to recover, move the data folder away (keep "
    "it) and start the node again: it fetches the whole ledger from its peers"
)


class Vault:
    """The keys of one store's openings."""

    def __init__(self, path: Path, naming: bytes, tree: KeyTree) -> None:
        self._path = path
        self._naming = naming
        self._tree = tree

    @classmethod
    def create(cls, folder: Path) -> "Vault":
        """New random keys, on disk when this returns; `folder` must hold no vault."""
        vault = cls(folder / VAULT_NAME, os.urandom(_NAMING_BYTES), KeyTree.new(os.urandom))
        vault._rewrite()
        return vault

    @classmethod
    def read(cls, folder: Path) -> "Vault":
        """The vault of a folder.

        Raises:
            StoreDamaged: it is missing, or not what was written.
            Misconfigured: the system does not let it be read.
        """
        path = folder / VAULT_NAME
        try:
            with path.open("rb") as file:
                data = file.read(VAULT_BYTES_MAX)
        except FileNotFoundError as error:
            raise StoreDamaged(str(path), f"is missing; {REPAIR}") from error
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
        body = data[:-_SUM_BYTES]
        if not body.startswith(_MAGIC) or sha256(body).digest() != data[-_SUM_BYTES:]:
            raise StoreDamaged(str(path), f"is not what was written; {REPAIR}")
        begin = len(_MAGIC) + _NAMING_BYTES
        try:
            tree = KeyTree.decode(body[begin:])
        except ValueError as error:
            raise StoreDamaged(str(path), f"{error}; {REPAIR}") from error
        return cls(path, body[len(_MAGIC) : begin], tree)

    def name(self, data: bytes) -> bytes:
        """A name (32 bytes) for data that only who holds this vault can compute."""
        return blake2b(data, key=self._naming, digest_size=32).digest()

    def slot(self, data: bytes) -> int:
        """The slot of what is named by data."""
        digest = sha256(self._naming + data).digest()
        return int.from_bytes(digest[:_SLOT_BYTES]) >> _SPARE_BITS

    def key(self, slot: int) -> bytes | None:
        """A slot's key (32 bytes), or None if it is destroyed."""
        return self._tree.key(slot)

    def destroy(self, slots: Iterable[int]) -> None:
        """Destroy the keys of slots; on disk when this returns.

        Raises:
            OSError: the disk fails; the store must not be written any more.
        """
        if self._tree.destroy(slots):
            self._rewrite()

    def _rewrite(self) -> None:
        body = _MAGIC + self._naming + self._tree.encode()
        new = self._path.with_name(VAULT_NAME + _NEW)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(body + sha256(body).digest())
            file.flush()
            os.fsync(file.fileno())
        old = os.open(self._path, os.O_WRONLY) if self._path.exists() else None
        try:
            new.rename(self._path)
            _sync_folder(self._path.parent)
            if old is not None:
                _overwrite(old)
        finally:
            if old is not None:
                os.close(old)


def open_vault(folder: Path, *, new: bool) -> Vault:
    """A store's vault; what a crash has left of an earlier one is overwritten and removed.

    `new`: whether the store has no row yet, so that a missing vault is made.

    Raises:
        StoreDamaged: it is missing or not what was written.
        Misconfigured: the system does not let it be read or written.
    """
    try:
        return _open(folder, new=new)
    except OSError as error:
        raise Misconfigured(f"{folder / VAULT_NAME} cannot be written: {error.strerror}") from error


def _open(folder: Path, *, new: bool) -> Vault:
    left = folder / (VAULT_NAME + _NEW)
    if left.exists():
        file = os.open(left, os.O_WRONLY)
        try:
            _overwrite(file)
        finally:
            os.close(file)
        left.unlink()
        _sync_folder(folder)
    if new and not (folder / VAULT_NAME).exists():
        return Vault.create(folder)
    return Vault.read(folder)


def _overwrite(file: int) -> None:
    left = os.fstat(file).st_size
    os.lseek(file, 0, os.SEEK_SET)
    while left:
        left -= os.write(file, bytes(min(left, 1 << 20)))
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
