"""LevelDB: one ordered store per node, and the one thread that writes it.

- `submit` accepts changes in order, at once and without touching the disk. The writer thread takes
  all that has gathered meanwhile, writes it as one atomic batch, waits for the disk (fsync) and
  only then reports: so many small writes share one fsync, and a crash keeps a prefix of what was
  submitted, never a hole.
- Reads see what was submitted, in order, before it is on disk: first what waits (`_groups`), then
  what is being written (`_writing`), then the disk. Nothing is promised to anybody until `submit`'s
  callback has come.
- Rows that execution asks for again are kept in memory (`recent.py`), and which rows there are not
  (`absent.py`), for the thread that opened the store, which alone submits; other threads read past
  them. What a scan passes before anything is written is kept, too.
- `picture` parts two groups: what is submitted behind it is written only when the picture is taken.
- Every read from disk verifies checksums. A row that is not what was written raises StoreDamaged;
  a system that is short of space, rights or open files raises Misconfigured: no row is damaged.
- What tells of people (openings, names of own records, aliases) stands on disk encrypted only, in
  LevelDB's journal too (`sealing.py`), each row under its own key. `erase` destroys such keys
  before the rows go; a sealed row that is removed in any other way loses its key behind it.
- An error of the disk while writing is final: the writer stops, `on_failure` is told once, and no
  later change is accepted. The node must stop then.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import plyvel

from ledger.errors import KEYS_LOST, Misconfigured, StoreDamaged
from ledger.store import META, Changes
from node.bounds import Bounds
from node.storage.absent import Absent
from node.storage.faults import text_of, unreadable
from node.storage.opening import open_db
from node.storage.picture import Picture, bounded, iterate
from node.storage.recent import KINDS, UNKNOWN, Recent
from node.storage.sealing import Sealing, is_sealed, may_be_rewritten, slot_of
from node.storage.vault import open_vault
from node.storage.waiting import Durable, Group

FORMAT_KEY: Final = META + b"format"
SLOTS_KEY: Final = META + b"slots"
"""How many slots are given out: u64be."""
FORMAT: Final = b"standing-7"
FORMER: Final = frozenset(b"standing-%d" % number for number in range(1, 7))

Erased = Mapping[bytes, bytes | None]
"""Key of a sealed row → the value that is to go, or None for whatever stands there."""
Schedule = Callable[[Callable[[], None]], object]


_NOTHING: Final[Erased] = MappingProxyType({})


class LevelStore:
    """A `ledger.store.Reader` with an ordered, grouped, durable writer.

    `schedule` runs a callback where the caller lives (an event loop's `call_soon_threadsafe`).
    """

    def __init__(self, folder: Path, bounds: Bounds, schedule: Schedule) -> None:
        self._folder = folder
        self._schedule = schedule
        self._db = open_db(folder, bounds)
        self._lock = threading.Condition()
        self._groups: deque[Group] = deque([Group()])
        self._writing = Group()
        self._layers: tuple[Changes, ...] = (self._groups[0].rows, self._writing.rows)
        """What is not on disk yet, the newest first. Replaced as a whole: `get` takes no lock."""
        self._recent = Recent(bounds.recent_rows_max)
        self._absent = Absent(bounds.absent_bytes_max)
        self._is_written = False
        self._home = threading.get_ident()
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
        is_kept = key[0] in KINDS and threading.get_ident() == self._home
        if is_kept:
            if (known := self._recent.find(key)) is not UNKNOWN:
                return known
            if self._absent.lacks(key):
                return None
        for waiting in self._layers:
            if key in waiting:
                return waiting[key]
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise unreadable(self._folder, key, error) from error
        if is_kept:
            self._recent.keep(key, value)
        elif value is not None and is_sealed(key):
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
            for group in self._groups:
                waiting.update(group.between(start, stop))
            rows = iterate(self._db, start, stop, reverse=reverse)
        return self._merged(start, rows, waiting, reverse=reverse)

    def _merged(
        self, start: bytes, rows: Any, waiting: Changes, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        fresh = sorted(waiting, reverse=not reverse)  # the next one stands last
        is_kept = start[0] in KINDS and threading.get_ident() == self._home
        at = start
        try:
            with rows:
                for at, value in bounded(rows, start, reverse=reverse):
                    while fresh and (fresh[-1] > at if reverse else fresh[-1] < at):
                        yield from _present(fresh.pop(), waiting)
                    if fresh and fresh[-1] == at:
                        yield from _present(fresh.pop(), waiting)
                    elif not is_sealed(at):
                        if is_kept and not self._is_written:
                            self._recent.keep(at, value)
                        yield at, value
                    elif (opened := self._sealing.unseal(at, value)) is not None:
                        yield at, opened
        except (plyvel.Error, OSError) as error:
            raise unreadable(self._folder, at, error) from error
        while fresh:
            yield from _present(fresh.pop(), waiting)

    def learn(self) -> Generator[None, None, None]:
        """Find out in short turns which rows of the kinds that are kept in memory stand on disk;
        once it is done, rows that do not need not be looked for.

        Raises:
            StoreDamaged: the disk cannot be read.
        """
        try:
            yield from self._absent.learn(self._keys_on_disk(KINDS))
        except (plyvel.Error, OSError) as error:
            raise unreadable(self._folder, b"", error) from error

    def _keys_on_disk(self, kinds: Iterable[int]) -> Iterator[bytes]:
        for kind in sorted(kinds):
            options = {"include_value": False, "verify_checksums": True, "fill_cache": False}
            with self._db.iterator(prefix=bytes([kind]), **options) as keys:
                yield from keys

    # --- writing ---

    @property
    def queued_rows(self) -> int:
        """How many rows are accepted and not yet known to be on disk."""
        return sum(map(len, self._layers))

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
        assert threading.get_ident() == self._home, "one thread submits: it alone knows the order"
        with self._lock:
            if self._failed is not None:
                raise StoreDamaged(
                    str(self._folder), f"writing has failed: {text_of(self._failed)}"
                )
            assert not self._stopping, "nothing is written after close"
            group = self._groups[-1]
            group.update(changes)
            self._is_written = True
            self._absent.add(self._recent.update(changes))
            group.erasing.update(erased)
            if on_durable is not None:
                group.callbacks.append(on_durable)
            self._lock.notify()

    def picture(self, taken: Callable[[Picture], None]) -> None:
        """Take a picture of all that was submitted until now, and of nothing submitted later;
        `taken` is scheduled with it, and must close it some time."""

        def take() -> None:
            picture = Picture(self._folder, self._db.snapshot())
            self._schedule(lambda: taken(picture))

        with self._lock:
            self._groups[-1].then = take
            self._groups.append(Group())
            self._set_layers()
            self._lock.notify()

    def _set_layers(self) -> None:
        self._layers = (*(group.rows for group in reversed(self._groups)), self._writing.rows)

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
                self._lock.wait_for(lambda: self._stopping or self._groups[0].has_work)
                if not self._groups[0].has_work:
                    return
                group = self._writing = self._groups.popleft()
                if not self._groups:
                    self._groups.append(Group())
                self._set_layers()
            try:
                removed = self._removed(group.rows)
                self._write(group.rows)
                if removed:
                    self._sealing.destroy(removed)
                if group.erasing:
                    self._destroy(group.erasing)
                if group.then is not None:
                    group.then()
            except Exception as error:  # whatever the disk raised, the node stops
                self._fail(error)
                return
            with self._lock:
                self._writing = Group()
                self._set_layers()
            self.groups_written += 1
            self._report(group.callbacks)

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
                f"and draws new handles for the platform's references. {KEYS_LOST}"
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


def _present(key: bytes, waiting: Changes) -> Iterator[tuple[bytes, bytes]]:
    value = waiting[key]
    if value is not None:
        yield key, value
