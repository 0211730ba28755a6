"""The vault: the files with the keys under which a store's rows about people are encrypted at rest.

    openings.keys          = "standing-vault-3" ‖ naming key (32) ‖ SHA-256 of these
    openings.keys.<table>  = "standing-keys-3." ‖ table (u32be) ‖ key table (keytable.py)
                             ‖ SHA-256 of these              <table>: its number, eight hex digits

Slot s has its key in table s >> 20. A table is made before the first of its slots is used. They lie
beside LevelDB's files and not in it: LevelDB keeps what was overwritten until some later
compaction. Destroying keys is one step for each table, which a crash leaves undone or done:

1. the new file is written as `<name>.new` and synced;
2. it takes the old one's name, and the folder is synced;
3. the old one's bytes, which have no name any more, are overwritten and synced.

What is left of a crash in between is made good at the next opening. A file system that never writes
in place, a snapshot, a backup or a worn disk's spare blocks may keep the old bytes all the same: no
program can reach them. The memory of the running process is not wiped either.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Final

from ledger.errors import KEYS_LOST, Misconfigured, StoreDamaged
from node.storage.keytable import TABLE_BITS, TABLE_SLOTS, KeyTable

VAULT_NAME: Final = "openings.keys"
SLOT_BITS: Final = 48
TABLE_BYTES_MAX: Final = 1 << 26

_MAGIC: Final = b"standing-vault-3"
_TABLE_MAGIC: Final = b"standing-keys-3."
_NAMING_BYTES: Final = 32
_SUM_BYTES: Final = 32
_NEW: Final = ".new"
_MODE: Final = 0o600
_SLOT_MASK: Final = TABLE_SLOTS - 1
REPAIR: Final = (
    "without it no opening in the store can be read; to recover, move the data folder away (keep "
    f"it) and start the node again: it fetches the whole ledger from its peers. {KEYS_LOST}"
)


class Vault:
    """The keys of one store's rows. Tables are read when a slot of theirs is asked for first."""

    def __init__(self, folder: Path, naming: bytes) -> None:
        self._folder = folder
        self._naming = naming
        self._tables: dict[int, KeyTable] = {}

    @classmethod
    def create(cls, folder: Path) -> "Vault":
        """A vault with no slots yet, on disk when this returns; `folder` must hold none."""
        vault = cls(folder, os.urandom(_NAMING_BYTES))
        _replace(folder / VAULT_NAME, _MAGIC + vault._naming)
        return vault

    @classmethod
    def read(cls, folder: Path) -> "Vault":
        """The vault of a folder.

        Raises:
            StoreDamaged: it is missing, or not what was written.
            Misconfigured: the system does not let it be read.
        """
        path = folder / VAULT_NAME
        body = _read(path)
        naming = body[len(_MAGIC) :]
        if not body.startswith(_MAGIC) or len(naming) != _NAMING_BYTES:
            raise StoreDamaged(str(path), f"is not what was written; {REPAIR}")
        return cls(folder, naming)

    def name(self, data: bytes) -> bytes:
        """A name (32 bytes) for data that only who holds this vault can compute."""
        return blake2b(data, key=self._naming, digest_size=32).digest()

    def key(self, slot: int) -> bytes | None:
        """A slot's key (32 bytes), or None if it is destroyed.

        Raises:
            StoreDamaged: its table is missing or not what was written.
            Misconfigured: the system does not let it be read.
        """
        return self._table(slot >> TABLE_BITS).key(slot & _SLOT_MASK)

    def new_keys(self, slot: int) -> list[bytes]:
        """The keys (32 bytes) of the first slot that is not given out yet, and of some behind it.

        Raises:
            OSError: the disk fails, where a new table is made.
            StoreDamaged, Misconfigured: as `key`.
        """
        number = slot >> TABLE_BITS
        if not slot & _SLOT_MASK and not self._path(number).exists():
            self._tables[number] = KeyTable.new(os.urandom)
            self._rewrite(number)
        return self._table(number).keys_from(slot & _SLOT_MASK)

    def check(self, slots: int) -> None:
        """See that the tables of slots 0 … `slots` − 1 are there; what is in them shows in use.

        Raises:
            StoreDamaged: one is missing.
        """
        for number in range(-(-slots // TABLE_SLOTS)):
            if not self._path(number).exists():
                raise StoreDamaged(str(self._path(number)), f"is missing; {REPAIR}")

    def destroy(self, slots: Iterable[int]) -> None:
        """Destroy the keys of slots, whose tables must be there; on disk when this returns.

        Raises:
            OSError: the disk fails; the store must not be written any more.
            StoreDamaged, Misconfigured: as `key`.
        """
        self.rewrite(self.forget(slots))

    def forget(self, slots: Iterable[int]) -> list[int]:
        """Destroy the keys of slots in memory; the tables that are to be rewritten for it.

        Raises:
            StoreDamaged, Misconfigured: as `key`.
        """
        of_table: dict[int, list[int]] = defaultdict(list)
        for slot in slots:
            of_table[slot >> TABLE_BITS].append(slot & _SLOT_MASK)
        return [
            number
            for number, below in sorted(of_table.items())
            if self._table(number).destroy(below)
        ]

    def rewrite(self, numbers: Iterable[int]) -> None:
        """Write tables as they are in memory; on disk when this returns.

        Raises:
            OSError: the disk fails; the store must not be written any more.
        """
        for number in numbers:
            self._rewrite(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"{VAULT_NAME}.{number:08x}"

    def _table(self, number: int) -> KeyTable:
        table = self._tables.get(number)
        if table is None:
            path, head = self._path(number), _TABLE_MAGIC + number.to_bytes(4)
            body = _read(path)
            if not body.startswith(head):
                raise StoreDamaged(str(path), f"is not what was written; {REPAIR}")
            try:
                table = self._tables[number] = KeyTable.decode(body[len(head) :])
            except ValueError as error:
                raise StoreDamaged(str(path), f"{error}; {REPAIR}") from error
        return table

    def _rewrite(self, number: int) -> None:
        body = _TABLE_MAGIC + number.to_bytes(4) + self._tables[number].encode()
        _replace(self._path(number), body)


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
    for left in folder.glob(f"{VAULT_NAME}*{_NEW}"):
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


def _read(path: Path) -> bytes:
    """What stands before a file's checksum, which is right."""
    try:
        with path.open("rb") as file:
            data = file.read(TABLE_BYTES_MAX)
    except FileNotFoundError as error:
        raise StoreDamaged(str(path), f"is missing; {REPAIR}") from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    if sha256(data[:-_SUM_BYTES]).digest() != data[-_SUM_BYTES:]:
        raise StoreDamaged(str(path), f"is not what was written; {REPAIR}")
    return data[:-_SUM_BYTES]


def _replace(path: Path, body: bytes) -> None:
    """Put a new file in an old one's place, whose bytes are overwritten then."""
    new = path.with_name(path.name + _NEW)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(body + sha256(body).digest())
        file.flush()
        os.fsync(file.fileno())
    old = os.open(path, os.O_WRONLY) if path.exists() else None
    try:
        new.rename(path)
        _sync_folder(path.parent)
        if old is not None:
            _overwrite(old)
    finally:
        if old is not None:
            os.close(old)


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
