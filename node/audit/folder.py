"""A stopped node's data folder, as an audit reads it.

The folder is read as it is: nothing in it is created, changed or repaired (`node/audit/view.py`).
Each read verifies checksums; a block of the disk that fails them, or a sealed row that does not
open under the folder's vault, raises StoreDamaged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import plyvel

from ledger.encoding import decode
from ledger.errors import Malformed, Misconfigured, StoreDamaged
from ledger.genesis import GENESIS_BYTES_MAX, Genesis
from ledger.replay import ReaderSource
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    REPAIR,
    CheckpointRow,
    HeadRow,
    describe_key,
    read_row,
)
from ledger.store import CHECKPOINT, after
from node.audit.view import Hold, View
from node.config import load_config
from node.network import load_genesis
from node.storage.leveldb import FORMAT, FORMAT_KEY, SLOTS_KEY
from node.storage.sealing import Sealing, is_sealed
from node.storage.vault import VAULT_NAME, Vault

CONFIG_NAME: Final = "node.toml"
LEVELDB_NAME: Final = "CURRENT"

_STORES_OWN: Final = frozenset({FORMAT_KEY, SLOTS_KEY})


class ViewReader:
    """A `ledger.store.Reader` over a view of a store, whose sealed rows it opens.

    Raises:
        StoreDamaged: the store is one of ours, and its vault is missing or damaged.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._db = view.db
        is_ours = self._db.get(FORMAT_KEY) == FORMAT
        self._sealing = Sealing(Vault.read(view.folder)) if is_ours else None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            StoreDamaged: the disk's block fails its checksum, or the row does not open.
        """
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise StoreDamaged(describe_key(key), _said(error)) from error
        return self._unsealed(key, value) if value is not None and is_sealed(key) else value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop; rows that the store keeps for itself are left out.

        Raises:
            StoreDamaged: a block of the disk fails its checksum, or a row does not open.
        """
        at = start
        try:
            with self._db.iterator(
                start=start, stop=stop, reverse=reverse, verify_checksums=True
            ) as rows:
                for at, value in rows:
                    if is_sealed(at):
                        opened = self._unsealed(at, value)
                        if opened is not None:
                            yield at, opened
                    elif at not in _STORES_OWN:
                        yield at, value
        except (plyvel.Error, OSError) as error:
            raise StoreDamaged(f"rows behind {describe_key(at)}", _said(error)) from error

    def raw(self, start: bytes, stop: bytes) -> Any:
        """An iterator, to be closed, over rows as they stand on disk, sealed ones too.

        Raises:
            plyvel.Error, OSError: at each step, as LevelDB and the disk say.
        """
        return self._db.iterator(start=start, stop=stop, verify_checksums=True)

    def keys(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Keys start ≤ key < stop, ascending, whether their rows open or not.

        Raises:
            StoreDamaged: a block of the disk fails its checksum.
        """
        at = start
        try:
            with self.raw(start, stop) as rows:
                for at, _ in rows:
                    yield at
        except (plyvel.Error, OSError) as error:
            raise StoreDamaged(f"rows behind {describe_key(at)}", _said(error)) from error

    def _unsealed(self, key: bytes, data: bytes) -> bytes | None:
        if self._sealing is None:
            raise StoreDamaged(describe_key(key), f"stands in a store without {VAULT_NAME}")
        return self._sealing.unseal(key, data)

    def close(self) -> None:
        """Close the view."""
        self._view.close()


class FolderReader(ViewReader):
    """A `ledger.store.Reader` over the LevelDB of a stopped node, which is held meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._hold = Hold(folder)
            try:
                view = View(folder)
                try:
                    super().__init__(view)
                except BaseException:
                    view.close()
                    raise
            except BaseException:
                self._hold.close()
                raise
        except (plyvel.Error, OSError) as error:
            raise StoreDamaged(
                str(folder), f"cannot be opened: {_said(error)}; {REPAIR}"
            ) from error

    def close(self) -> None:
        """Close the view, and give the folder free."""
        super().close()
        self._hold.close()


@dataclass(frozen=True, slots=True)
class Certificates:
    """Certified checkpoint rows by height, and those that cannot be read."""

    rows: dict[int, CheckpointRow]
    damaged: list[StoreDamaged]


class FolderLedger:
    """The ledger in a node's folder: the one with `node.toml`, or its data folder itself."""

    def __init__(self, folder: Path) -> None:
        store, genesis = _places(folder)
        self.stored = FolderReader(store)
        self.source = ReaderSource(self.stored)
        self._genesis = genesis

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stored.close()

    def genesis(self) -> Genesis:
        """The genesis file of the node's configuration, else the one in the store.

        Raises:
            StoreDamaged: there is no file, and the store's row cannot be read.
        """
        if self._genesis is not None:
            return load_genesis(self._genesis)
        data = self.stored.get(GENESIS_KEY)
        if data is None:
            raise StoreDamaged(describe_key(GENESIS_KEY), "is missing: this is no node's store")
        try:
            return decode(Genesis, data, bytes_max=GENESIS_BYTES_MAX, what="genesis")
        except Malformed as error:
            raise StoreDamaged(describe_key(GENESIS_KEY), str(error)) from error

    def size(self) -> int:
        """How many entries the log has, as far as it can be told: 0 if it cannot."""
        try:
            head = read_row(self.stored, HeadRow, HEAD_KEY)
        except StoreDamaged:
            return 0
        return head.size if head else 0

    def certificates(self, above: int = 0) -> Certificates:
        """The certified checkpoints in the store, of blocks above a height."""
        found = Certificates({}, [])
        first = CHECKPOINT + (above + 1).to_bytes(8) if above else CHECKPOINT
        try:
            keys = [key for key, _ in self.stored.scan(first, after(CHECKPOINT))]
        except StoreDamaged as error:
            found.damaged.append(error)
            return found
        for key in keys:
            try:
                row = read_row(self.stored, CheckpointRow, key)
            except StoreDamaged as error:
                found.damaged.append(error)
                continue
            assert row is not None, "a scanned row is there"
            found.rows[int.from_bytes(key[1:])] = row
        return found

    def go_on(self, lanes: Mapping[int, int]) -> None:
        """Any batch of a folder can be read at any time."""

    def check_format(self) -> None:
        """Demand that the store says of itself that it is one of ours.

        Raises:
            StoreDamaged: it does not.
        """
        if self.stored.get(FORMAT_KEY) != FORMAT:
            raise StoreDamaged(
                describe_key(FORMAT_KEY), "is not the format that this program reads"
            )


def _said(error: BaseException) -> str:
    """What LevelDB says, as text."""
    said = error.args[0] if error.args else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _places(folder: Path) -> tuple[Path, Path | None]:
    """The store's folder and the genesis file, if a configuration names it."""
    config = folder if folder.is_file() else folder / CONFIG_NAME
    if config.is_file():
        loaded = load_config(config)
        return loaded.data, loaded.genesis
    if (folder / LEVELDB_NAME).is_file():
        return folder, None
    raise Misconfigured(
        f"{folder} is no node's folder: it holds neither {CONFIG_NAME} nor a store ({LEVELDB_NAME})"
    )
