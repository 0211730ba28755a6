"""LevelDB: one ordered store per node, and the one thread that writes it.

- `submit` accepts changes in order, at once and without touching the disk. The writer thread takes
  all that has gathered meanwhile, writes it as one atomic batch, waits for the disk (fsync) and
  only then reports: so many small writes share one fsync, and a crash keeps a prefix of what was
  submitted, never a hole.
- Reads see what was submitted, in order, before it is on disk: first what waits (`_queued`), then
  what is being written (`_writing`), then the disk. Nothing is promised to anybody until `submit`'s
  callback has come.
- Every read from disk verifies checksums. A row that is not what was written raises StoreDamaged;
  a system that is short of space, rights or open files raises Misconfigured: no row is damaged.
- What tells of people (openings, names of own records, aliases) stands on disk encrypted only, in
  LevelDB's journal too (`sealing.py`). `erase` destroys the keys of such rows for good.
- An error of the disk while writing is final: the writer stops, `on_failure` is told once, and no
  later change is accepted. The node must stop then.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import plyvel

from ledger.errors import Misconfigured, StandingError, StoreDamaged
from ledger.store import META, Changes
from node.bounds import Bounds
from node.storage.sealing import Sealing, is_sealed, slot_of
from node.storage.vault import open_vault

FORMAT_KEY: Final = META + b"format"
FORMAT: Final = b"standing-2"
REPAIR: Final = (
    "the store is damaged; to recover, move the data folder away (keep it for inspection) and "
    "start the node again: it fetches the whole ledger from its peers and re-executes it"
)

_OURS: Final = re.compile(
    r"too many open files|no space left|permission denied|read-only file system|disk quota"
    r"|cannot allocate memory|operation not permitted",
    re.IGNORECASE,
)
"""What the system says when it is short of something: the rows are whole."""
_LOCKED: Final = re.compile(r"IO error: lock |already held", re.IGNORECASE)

Durable = Callable[[], None]
Schedule = Callable[[Callable[[], None]], object]


class _Waiting:
    """Changes in memory that read like a store: a mapping, and sorted keys per prefix on demand."""

    __slots__ = ("_sorted", "rows")

    def __init__(self) -> None:
        self.rows: Changes = {}
        self._sorted: dict[bytes, list[bytes]] = {}

    def update(self, changes: Changes) -> None:
        self.rows.update(changes)
        self._sorted.clear()

    def between(self, start: bytes, stop: bytes) -> Changes:
        if not self.rows:
            return {}
        found: Changes = {}
        for prefix in range(start[0], stop[0] + 1):
            keys = self._keys(bytes([prefix]))
            for key in keys[bisect_left(keys, start) : bisect_left(keys, stop)]:
                found[key] = self.rows[key]
        return found

    def _keys(self, prefix: bytes) -> list[bytes]:
        keys = self._sorted.get(prefix)
        if keys is None:
            keys = sorted(key for key in self.rows if key[:1] == prefix)
            self._sorted[prefix] = keys
        return keys


class LevelStore:
    """A `ledger.store.Reader` with an ordered, grouped, durable writer.

    `schedule` runs a callback where the caller lives (an event loop's `call_soon_threadsafe`).
    """

    def __init__(self, folder: Path, bounds: Bounds, schedule: Schedule) -> None:
        self._folder = folder
        self._schedule = schedule
        self._db = _open(folder, bounds)
        self._lock = threading.Condition()
        self._queued, self._writing = _Waiting(), _Waiting()
        self._callbacks: list[Durable] = []
        self._erasing: list[bytes] = []
        self._stopping = False
        self._failed: BaseException | None = None
        self.on_failure: Callable[[BaseException], None] = lambda _: None
        self.groups_written = 0
        try:
            self._sealing = self._check_format()
        except BaseException:
            self._db.close()
            raise
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    # --- reading ---

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            StoreDamaged: the row on disk fails its checksum.
        """
        for waiting in (self._queued.rows, self._writing.rows):
            if key in waiting:
                return waiting[key]
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise self._damaged(key, error) from error
        if value is not None and is_sealed(key):
            return self._sealing.unseal(key, value)
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop as they stood at the call, in key order (or against it).

        Raises:
            StoreDamaged: a row on disk fails its checksum.
        """
        with self._lock:
            waiting = self._writing.between(start, stop)
            waiting.update(self._queued.between(start, stop))
            rows = self._db.iterator(start=start, stop=stop, reverse=reverse, verify_checksums=True)
        return self._merged(start, rows, waiting, reverse=reverse)

    def _merged(
        self, start: bytes, rows: Any, waiting: Changes, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        fresh = sorted(waiting, reverse=not reverse)  # the next one stands last
        at = start
        try:
            with rows:
                for at, value in rows:
                    while fresh and (fresh[-1] > at if reverse else fresh[-1] < at):
                        yield from _present(fresh.pop(), waiting)
                    if fresh and fresh[-1] == at:
                        yield from _present(fresh.pop(), waiting)
                    elif not is_sealed(at):
                        yield at, value
                    elif (opened := self._sealing.unseal(at, value)) is not None:
                        yield at, opened
        except (plyvel.Error, OSError) as error:
            raise self._damaged(at, error) from error
        while fresh:
            yield from _present(fresh.pop(), waiting)

    def _damaged(self, key: bytes, error: BaseException) -> StandingError:
        if _OURS.search(str(error)):
            return _unusable(self._folder, error)
        where = f"{self._folder}: row {key[:1].decode('latin-1')} {key[1:].hex()}"
        return StoreDamaged(where, f"{error}; {REPAIR}")

    # --- writing ---

    @property
    def queued_rows(self) -> int:
        """How many rows are accepted and not yet known to be on disk."""
        return len(self._queued.rows) + len(self._writing.rows)

    def submit(
        self,
        changes: Changes,
        on_durable: Durable | None = None,
        *,
        erased: Sequence[bytes] = (),
    ) -> None:
        """Accept changes, visible to reads at once; `on_durable` is scheduled when they are safe.

        Callbacks come in the order of submission. `erased`: as `erase`, behind the changes.

        Raises:
            StoreDamaged: the writer has stopped after an error of the disk.
        """
        with self._lock:
            if self._failed is not None:
                raise StoreDamaged(str(self._folder), f"writing has failed: {self._failed}")
            assert not self._stopping, "nothing is written after close"
            self._queued.update(changes)
            self._erasing.extend(erased)
            if on_durable is not None:
                self._callbacks.append(on_durable)
            self._lock.notify()

    def erase(self, keys: Iterable[bytes], on_durable: Durable | None = None) -> None:
        """Destroy the keys of sealed rows and remove the rows, in order behind what was submitted.

        Every row under the same key is gone with them (`sealing.py`); reads see that once
        `on_durable` comes, at the latest. Until then none of the rows may be written again.

        Raises:
            StoreDamaged: the writer has stopped after an error of the disk.
        """
        keys = list(keys)
        assert all(is_sealed(key) for key in keys), "only what is sealed can be erased"
        self.submit({}, on_durable, erased=keys)

    def name(self, data: bytes) -> bytes:
        """A name (32 bytes) for data, which only this store can compute: for keys of rows."""
        return self._sealing.vault.name(data)

    def close(self) -> None:
        """Write what waits, stop the thread and give the folder free."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._stopping or self._has_work())
                if not self._has_work():
                    return
                self._writing, self._queued = self._queued, _Waiting()
                callbacks, self._callbacks = self._callbacks, []
                erasing, self._erasing = self._erasing, []
            try:
                self._write(self._writing.rows)
                if erasing:
                    self._destroy(erasing)
            except Exception as error:  # whatever the disk raised, the node stops
                self._fail(error)
                return
            with self._lock:
                self._writing = _Waiting()
            self.groups_written += 1
            self._report(callbacks)

    def _has_work(self) -> bool:
        return bool(self._queued.rows or self._callbacks or self._erasing)

    def _destroy(self, keys: Sequence[bytes]) -> None:
        """Destroy keys first: a crash behind that leaves rows that read as if they were gone."""
        rows = [(key, self._db.get(key, verify_checksums=True)) for key in keys]
        slots = {slot_of(key, value) for key, value in rows if value is not None}
        self._sealing.destroy(slots)
        self._write(dict.fromkeys(keys))

    def _write(self, rows: Changes) -> None:
        with self._db.write_batch(transaction=True, sync=True) as batch:
            for key, value in rows.items():
                if value is None:
                    batch.delete(key)
                elif is_sealed(key):
                    batch.put(key, self._sealing.seal(key, value))
                else:
                    batch.put(key, value)

    def _report(self, callbacks: list[Durable]) -> None:
        def report() -> None:
            for callback in callbacks:
                callback()

        if callbacks:
            self._schedule(report)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failed = error
        self._schedule(lambda: self.on_failure(error))

    def _check_format(self) -> Sealing:
        """Demand our own format, or begin a new store: first its keys, then its first row."""
        found = self.get(FORMAT_KEY)
        if found not in {None, FORMAT}:
            raise Misconfigured(
                f"the store {self._folder} has the format {found!r}, this program reads {FORMAT!r}"
            )
        sealing = Sealing(open_vault(self._folder, new=found is None))
        if found is None:
            self._write({FORMAT_KEY: FORMAT})
        return sealing


def _unusable(folder: Path, error: BaseException) -> Misconfigured:
    return Misconfigured(
        f"the store {folder} cannot be used: {error}; nothing in it is damaged: "
        "mend that (space, rights, the bound on open files) and start the node again"
    )


def _present(key: bytes, waiting: Changes) -> Iterator[tuple[bytes, bytes]]:
    value = waiting[key]
    if value is not None:
        yield key, value


def _open(folder: Path, bounds: Bounds) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plyvel.DB(
            str(folder),
            create_if_missing=True,
            paranoid_checks=True,
            write_buffer_size=bounds.write_buffer_bytes,
            lru_cache_size=bounds.block_cache_bytes,
            max_open_files=bounds.open_files_max,
            bloom_filter_bits=10,
        )
    except (plyvel.Error, OSError) as error:
        if _OURS.search(str(error)):
            raise _unusable(folder, error) from error
        if _LOCKED.search(str(error)):
            raise Misconfigured(
                f"the store {folder} is open in another process; stop that node first, "
                "or give this one a data folder of its own"
            ) from error
        raise StoreDamaged(str(folder), f"{error}; {REPAIR}") from error
