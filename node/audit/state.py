"""What an auditor keeps from one audit to the next: `--state FILE`.

FILE          the trust (`ledger/trust.py`), small: what was audited, and how far
FILE.index    the auditor's own index (`ledger/index_image.py`)
FILE.rows/    a LevelDB with the auditor's own copy of the rows that later blocks read

The next audit of the same ledger, by URL or folder, executes only the blocks above FILE, on these.
FILE is written last, and the rows say by hashes whose they are and which index is theirs: if a run
is cut off between, the next one replays everything.

What only erasures read (leaves of records and of files) is not kept: it would be half a ledger.
Where a new block erases something older, it is read from the audited folder, as it was then
(`node/audit/recall.py`); a false row there yields another index root than the block has sealed.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import plyvel

from ledger.differences import is_settled
from ledger.errors import InvalidInput, Misconfigured, StoreDamaged
from ledger.hashing import sha256
from ledger.index import Index
from ledger.index_image import image_of, index_of
from ledger.record_rows import ACCEPTED_KEY_BYTES
from ledger.rows import leaf_key
from ledger.source import Source
from ledger.store import FILE, LEAF, META, RECORD, TILE, Changes, Reader
from ledger.trust import TRUST_BYTES_MAX, Trust, decode_trust, encode_trust
from node.audit.recall import is_recalled, recall

_MARK: Final = b"\x00trust"
_SETS: Final = META + b"validators/"
_PARAMETERS: Final = META + b"parameters/"
_ROWS: Final = ".rows"
_INDEX: Final = ".index"
_WRITE_BUFFER_BYTES: Final = 4 * 1_024 * 1_024  # and so much of a journal is read at the start
_BLOOM_BITS: Final = 10
_ROWS_AT_ONCE: Final = 20_000


def is_kept(key: bytes, value: bytes | None) -> bool:
    """Whether a later block may read or change a row without erasing anything."""
    if key[:1] == RECORD:
        return len(key) != ACCEPTED_KEY_BYTES
    if key.startswith((_SETS, _PARAMETERS)):
        return True
    return not is_settled(key, value)


def read_trust(path: Path) -> Trust | None:
    """The trust in a file, or None if there is no file.

    Raises:
        Misconfigured: it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            return decode_trust(file.read(TRUST_BYTES_MAX + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except InvalidInput as error:
        raise Misconfigured(
            f"{path} is no state of an audit ({error}); name another file to audit from the start"
        ) from error


def keep(path: Path, trust: Trust, rows: Iterable[tuple[bytes, bytes]], image: bytes) -> None:
    """Write a new state: all rows that later blocks read, the image of the index, then the file.

    Raises:
        Misconfigured: it cannot be written.
    """
    folder = Path(f"{path}{_ROWS}")
    try:
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        database = _open(folder)
        try:
            batch, waiting = database.write_batch(), 0
            for key, value in rows:
                batch.put(key, value)
                waiting += 1
                if waiting == _ROWS_AT_ONCE:
                    batch.write()
                    batch, waiting = database.write_batch(), 0
            batch.put(_MARK, _mark(trust, image))
            batch.write()
        finally:
            database.close()
        _write_file(_index_path(path), image)
        _write_file(path, encode_trust(trust))
    except (OSError, plyvel.Error) as error:
        raise Misconfigured(f"the state {path} cannot be written: {error}") from error


class Blocks(Protocol):
    """Where a ledger's blocks are read."""

    @property
    def source(self) -> Source:
        """Its blocks and batches."""
        ...

    def size(self) -> int:
        """How many entries its log has; 0 if that cannot be told."""
        ...


def containment_fault(ledger: Blocks, trust: Trust) -> str:
    """Why a ledger does not contain what was audited; empty if it does, as far as its rows tell.

    That the audited log is the beginning of this one follows when the next blocks are executed on
    it and yield the roots that a quorum has cosigned.
    """
    if ledger.size() < trust.size:
        return (
            f"reaches {trust.size} entries, the ledger {ledger.size()}: the ledger was rolled back"
        )
    if not trust.height:
        return ""
    try:
        row = ledger.source.block(trust.height)
    except StoreDamaged as error:
        return f"block {trust.height}, which was audited, cannot be read: {error}"
    if row is None:
        return f"block {trust.height}, which was audited, is not there"
    if (row.hash, row.size, row.root) != (trust.block_hash, trust.size, trust.root):
        return f"has another block {trust.height} than the ledger: the ledger was forked"
    return ""


class KeptRows:
    """A store over the kept rows. What is written stays in memory until `commit`; `leaves` are the
    leaf rows of new records among it. `recalled`: how many rows were read from the audited store.
    """

    def __init__(self, path: Path, trust: Trust, stored: Reader | None) -> None:
        """Open the rows of a state; `stored`: the audited store, if it can be read.

        Raises:
            Misconfigured: they cannot be opened, or belong to another state.
        """
        self._path = path
        try:
            self._db = _open(Path(f"{path}{_ROWS}"), create=False)
        except (OSError, plyvel.Error) as error:
            raise Misconfigured(f"{path}{_ROWS} cannot be opened: {error}") from error
        self.changed: Changes = {}
        self.leaves: list[bytes] = []
        self.recalled = 0
        self._entered: Changes = {}
        self._stored = stored
        self._size = trust.size
        self._first_leaf = leaf_key(trust.size)
        try:
            self.index = self._read_index(trust)
        except BaseException:
            self.close()
            raise

    def _read_index(self, trust: Trust) -> Index:
        path = _index_path(self._path)
        try:
            image = path.read_bytes()
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
        if self._db.get(_MARK) != _mark(trust, image):
            raise Misconfigured(f"{self._path}{_ROWS} or {path.name} does not belong to the rest")
        return index_of(image, 1, trust.height)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            Misconfigured: it was not kept, and the audited ledger is no folder.
        """
        if key in self.changed:
            return self.changed[key]
        if is_recalled(key):
            return self._entered[key] if key in self._entered else self._recall(key)
        value: bytes | None = self._db.get(key, verify_checksums=True)
        return value

    def _recall(self, key: bytes) -> bytes | None:
        if self._stored is None:
            raise Misconfigured(f"an erasure reads what {self._path}{_ROWS} does not keep")
        self.recalled += 1
        return recall(self._stored, key, self._size)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it)."""
        with self._db.iterator(start=start, stop=stop, verify_checksums=True) as rows:
            found: dict[bytes, bytes | None] = dict(rows)
        found.update({key: row for key, row in self.changed.items() if start <= key < stop})
        for key in sorted(found, reverse=reverse):
            value = found[key]
            if value is not None:
                yield key, value

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; None removes. What no later block reads is not kept."""
        for key, value in changes.items():
            if is_kept(key, value):
                self.changed[key] = value
            elif key[:1] == TILE:
                self.changed[key] = None  # it is full now
            elif key[:1] in {LEAF, FILE, RECORD}:
                is_new = key[:1] == LEAF and key not in self._entered and key >= self._first_leaf
                if is_new and value is not None:
                    self.leaves.append(value)
                self._entered[key] = value

    def commit(self, trust: Trust) -> None:
        """Put what was written on disk, as the rows of this trust, and then the file.

        Raises:
            Misconfigured: it cannot be written.
        """
        image = image_of(self.index)
        try:
            with self._db.write_batch(sync=True) as batch:
                for key, value in self.changed.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
                batch.put(_MARK, _mark(trust, image))
            _write_file(_index_path(self._path), image)
            _write_file(self._path, encode_trust(trust))
        except (OSError, plyvel.Error) as error:
            raise Misconfigured(f"the state {self._path} cannot be written: {error}") from error

    def as_stored(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The rows that were changed and are to be found like this in an honest store."""
        for key, value in self._entered.items():
            if key[:1] not in {FILE, LEAF}:  # which the replay compares, marks and all
                yield key, value
        for key, value in self.changed.items():
            if key[:1] != TILE or value is not None:
                yield key, value

    def close(self) -> None:
        """Close the rows."""
        self._db.close()


def _open(folder: Path, *, create: bool = True) -> Any:
    return plyvel.DB(
        str(folder),
        create_if_missing=create,
        write_buffer_size=_WRITE_BUFFER_BYTES,
        bloom_filter_bits=_BLOOM_BITS,
    )


def _mark(trust: Trust, image: bytes) -> bytes:
    """What rows say of the trust and the index that they belong to."""
    return sha256(encode_trust(trust)) + sha256(image)


def _index_path(path: Path) -> Path:
    return path.with_name(path.name + _INDEX)


def _write_file(path: Path, body: bytes) -> None:
    """Put a file in its place, whole."""
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(body)
    draft.replace(path)
