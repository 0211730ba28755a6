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
  LevelDB's journal too (`sealing.py`), each row under its own key. `erase` destroys such keys
  before the rows go; a sealed row that is removed in any other way loses its key behind it.
- An error of the disk while writing is final: the writer stops, `on_failure` is told once, and no
  later change is accepted. The node must stop then.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import plyvel

from ledger.errors import Misconfigured, StandingError, StoreDamaged
from ledger.store import META, Changes
from node.bounds import Bounds
from node.storage.sealing import Sealing, is_sealed, may_be_rewritten, slot_of
from node.storage.vault import open_vault

FORMAT_KEY: Final = META + b"format"
SLOTS_KEY: Final = META + b"slots"
"""How many slots are given out: u64be."""
FORMAT: Final = b"standing-5"
FORMER: Final = frozenset({b"standing-1", b"standing-2", b"standing-3"})
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

Erased = Mapping[bytes, bytes | None]
"""Key of a sealed row → the value that is to go, or None for whatever stands there."""
Durable = Callable[[], None]
Schedule = Callable[[Callable[[], None]], object]


_NOTHING: Final[Erased] = MappingProxyType({})


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
        self._erasing: dict[bytes, bytes | None] = {}
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
        if _OURS.search(_text(error)):
            return _unusable(self._folder, error)
        where = f"{self._folder}: row {key[:1].decode('latin-1')} {key[1:].hex()}"
        return StoreDamaged(where, f"{_text(error)}; {REPAIR}")

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
        erased: Erased = _NOTHING,
    ) -> None:
        """Accept changes, visible to reads at once; `on_durable` is scheduled when they are safe.

        Callbacks come in the order of submission. `erased`: as `erase`, behind the changes.

        Raises:
            StoreDamaged: the writer has stopped after an error of the disk.
        """
        with self._lock:
            if self._failed is not None:
                raise StoreDamaged(str(self._folder), f"writing has failed: {_text(self._failed)}")
            assert not self._stopping, "nothing is written after close"
            self._queued.update(changes)
            self._erasing.update(erased)
            if on_durable is not None:
                self._callbacks.append(on_durable)
            self._lock.notify()

    def erase(self, rows: Erased, on_durable: Durable | None = None) -> None:
        """Destroy the keys of sealed rows and remove the rows, in order behind what was submitted.

        Whatever stood under these keys is gone with them. A row that has another value than the one
        that is to go keeps it, under a new key. Reads see all that once `on_durable` comes, at the
        latest.

        Raises:
            StoreDamaged: the writer has stopped after an error of the disk.
        """
        assert all(is_sealed(key) for key in rows), "only what is sealed can be erased"
        self.submit({}, on_durable, erased=rows)

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
                erasing, self._erasing = self._erasing, {}
            try:
                removed = self._removed(self._writing.rows)
                self._write(self._writing.rows)
                if removed:
                    self._sealing.destroy(removed)
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

    def _removed(self, rows: Changes) -> list[int]:
        """The slots of sealed rows that are to be removed: LevelDB keeps the bytes a while."""
        keys = [key for key, value in rows.items() if value is None and is_sealed(key)]
        found = ((key, self._db.get(key, verify_checksums=True)) for key in keys)
        return [slot_of(key, data) for key, data in found if data is not None]

    def _destroy(self, erased: Erased) -> None:
        """Destroy keys before rows go: a crash in between leaves rows that read as if gone."""
        slots: set[int] = set()
        kept: Changes = {}
        gone: Changes = {}
        for key, value in erased.items():
            data = self._db.get(key, verify_checksums=True)
            if data is None:
                continue
            slots.add(slot_of(key, data))
            stands = None if value is None else self._sealing.unseal(key, data)
            if stands is None or stands == value:
                gone[key] = None
            else:
                kept[key] = stands
        if kept:
            self._write(kept, anew=True)
        self._sealing.destroy(slots)
        self._write(gone)

    def _write(self, rows: Changes, *, anew: bool = False) -> None:
        """`anew`: sealed rows get new slots, even if they are written again."""
        given = self._sealing.next_slot
        with self._db.write_batch(transaction=True, sync=True) as batch:
            for key, value in rows.items():
                if value is None:
                    batch.delete(key)
                elif is_sealed(key):
                    again = not anew and may_be_rewritten(key)
                    before = self._db.get(key, verify_checksums=True) if again else None
                    batch.put(key, self._sealing.seal(key, value, before))
                else:
                    batch.put(key, value)
            if self._sealing.next_slot != given:
                batch.put(SLOTS_KEY, self._sealing.next_slot.to_bytes(8))

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
        if found in FORMER:
            raise Misconfigured(
                f"the store {self._folder} was written by an earlier program (format "
                f"{found.decode()}, this one writes {FORMAT.decode()}); move the data folder away, "
                "keep it, and start the node again: it fetches the whole ledger from its peers, "
                "draws new handles for the platform's references, and signs nothing under its old "
                "keys any more (consensus/silence.py): plan for new ones"
            )
        if found not in {None, FORMAT}:
            raise Misconfigured(
                f"the store {self._folder} has the format {found!r}, this program reads {FORMAT!r}"
            )
        slots = int.from_bytes(self.get(SLOTS_KEY) or b"")
        vault = open_vault(self._folder, new=found is None)
        vault.check(slots)
        if found is None:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                batch.put(FORMAT_KEY, FORMAT)
        return Sealing(vault, slots)


def _unusable(folder: Path, error: BaseException) -> Misconfigured:
    return Misconfigured(
        f"the store {folder} cannot be used: {_text(error)}; nothing in it is damaged: "
        "mend that (space, rights, the bound on open files) and start the node again"
    )


def _present(key: bytes, waiting: Changes) -> Iterator[tuple[bytes, bytes]]:
    value = waiting[key]
    if value is not None:
        yield key, value


def _check_files(folder: Path) -> None:
    """Refuse what LevelDB would take for a new or whole store, and then clear away.

    Raises:
        StoreDamaged: names the file that is missing.
    """
    names = {path.name for path in folder.iterdir()}
    has_log = any(name.endswith(".log") for name in names)
    others = any(name.endswith(".ldb") or name.startswith("MANIFEST-") for name in names)
    if "CURRENT" not in names and (has_log or others):
        raise StoreDamaged(str(folder), f"the file CURRENT is missing; {REPAIR}")
    if "CURRENT" in names and not has_log:
        raise StoreDamaged(str(folder), f"the newest rows (a file *.log) are missing; {REPAIR}")


def _text(error: BaseException) -> str:
    """What an error says; LevelDB's messages come as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)


def _open(folder: Path, bounds: Bounds) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = error.filename or folder
        raise Misconfigured(f"the data folder {where} cannot be made: {error.strerror}") from error
    try:
        _check_files(folder)
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
        if _OURS.search(_text(error)):
            raise _unusable(folder, error) from error
        if _LOCKED.search(_text(error)):
            raise Misconfigured(
                f"the store {folder} is open in another process; stop that node first, "
                "or give this one a data folder of its own"
            ) from error
        raise StoreDamaged(str(folder), f"{_text(error)}; {REPAIR}") from error
