"""The eraser: destroys at this node what erasures have taken, and then says so on the ledger.

Executing a block marks records as erased (`Applied.erased`). What this node has to destroy for it
stands in rows of its own, written in one atomic write with the block:

    N "e" ‖ erasure's log index (u64) ‖ the record's place (14 bytes) → empty

A task beside the pump goes through them, so many records at a time:

1. The residues of the records are written (`Y` rows) and are durable.
2. With them go this platform's own rows about the records, those of names and of the aliases of
   subjects whose registration and of engagements whose open is erased: their keys, then the rows.
3. The keys of the openings (`S` rows) are destroyed, then the rows.
4. The `N` "e" rows go.

Once an erasure is done and none of its rows is left, `erasure.ack` goes into the own lane, once:
the erasure's row says whether this platform's stands there already, and until it is executed its
name says that it was handed in.

A crash leaves the `N` "e" row of whatever was not finished, and each step can be done again: an
opening that can still be read is treated from the first step on; one that cannot has its residue.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.batch import Submission, commitment
from ledger.encoding import encode
from ledger.erasing import Erased, residues_of
from ledger.erasure_rows import ErasureRow, erasure_key
from ledger.errors import Malformed, StandingError, StoreDamaged
from ledger.hashing import sha256
from ledger.position import Applied
from ledger.records import decode_record, encode_record
from ledger.records.engagement import EngagementOpen
from ledger.records.erasure import ErasureAck
from ledger.records.subject import SubjectRegister
from ledger.residue import Residue
from ledger.rows import (
    REPAIR,
    CheckpointRow,
    describe_key,
    lane_key,
    need_row,
    place_bytes,
    read_row,
    residue_key,
    submission_key,
)
from ledger.rules import Vocabulary
from ledger.store import ERASURE, NODE, Changes, after
from node.aliases import Aliases
from node.bounds import Bounds
from node.intake import Accepted, Busy, Conflict, Duplicate, Offer, RefusedOffer, Result
from node.metrics import Metrics
from node.naming import name_key
from node.storage.leveldb import Erased as ErasedRows
from node.storage.leveldb import LevelStore

log = logging.getLogger(__name__)

TO_ERASE: Final = NODE + b"e"
YIELD_RECORDS: Final = 16
"""After so many records the event loop gets its turn."""

Submit = Callable[[Sequence[Offer]], Awaitable[list[Result]]]


class Eraser:
    """One node's eraser. It is a `Watcher` of the pump."""

    def __init__(
        self,
        *,
        store: LevelStore,
        aliases: Aliases,
        vocabulary: Callable[[], Vocabulary],
        number: int,
        submit: Submit,
        wall_ms: Callable[[], int],
        bounds: Bounds,
        metrics: Metrics,
        halt: Callable[[str], None],
    ) -> None:
        self._store, self._aliases, self._vocabulary = store, aliases, vocabulary
        self._number, self._submit, self._wall_ms = number, submit, wall_ms
        self._bounds, self._metrics, self._halt = bounds, metrics, halt
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # Rows that wait. Those beyond its bound are in the store only, and so are all of an earlier
        # run. (Reading them from there each time would pass over all that was removed.)
        self._waiting: deque[bytes] = deque()
        self._seen = 0  # erasures with a lower log index are known
        self._awaited: set[int] = set()  # erasures that this platform has not acknowledged
        self._said: set[int] = set()
        self.left = 0
        """Records that are erased on the ledger and not destroyed here yet."""
        metrics.watch(
            "standing_erasures_under_way",
            "Erasures that this platform has not acknowledged",
            lambda: len(self._awaited),
        )
        metrics.watch("standing_records_to_erase", "Records to destroy here", lambda: self.left)

    def start(self) -> None:
        """Go on where the last run stopped."""
        self.left = sum(1 for _ in self._store.scan(TO_ERASE, after(TO_ERASE)))
        self._news.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop between two steps; what is left is done after the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # --- the pump's news ---

    def sealed(self, effect: BatchSealed) -> None:
        """Own batches are nothing to erase."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Nor are those that move."""

    def executed(self, block: Execute, applied: Applied) -> None:  # noqa: ARG002
        """What a block erases is kept in mind with the block."""
        for *place, erasure in applied.erased:
            key = _row_key(erasure, *place)
            applied.changes[key] = b""
            if len(self._waiting) < self._bounds.erased_waiting_max:
                self._waiting.append(key)
        self.left += len(applied.erased)
        if applied.erased or applied.moves_erasures:
            self._news.set()

    def certified(self, row: CheckpointRow) -> None:
        """Erased is erased: nothing waits for cosignatures."""

    # --- the task ---

    async def _run(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self.left:
                    await self._destroy_some()
                if await self._acknowledge():
                    loop = asyncio.get_running_loop()
                    loop.call_later(self._bounds.retry_after_s, self._news.set)
        except StandingError as error:
            self._halt(f"erasing cannot go on: {error}")
        except Exception as error:
            log.exception("the eraser failed")
            self._halt(f"a fault of this program: {type(error).__name__}: {error}")

    async def _destroy_some(self) -> None:
        most = self._bounds.erased_at_once_max
        if not self._waiting:
            rows = self._store.scan(TO_ERASE, after(TO_ERASE))
            self._waiting.extend(key for key, _ in islice(rows, self._bounds.erased_waiting_max))
        keys = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        work = _Work(self._store, self._number)
        held: list[Erased] = []
        for nth, each in enumerate(map(_erased_in, keys), 1):
            if work.take(each):
                held.append(each)
            if nth % YIELD_RECORDS == 0:
                await asyncio.sleep(0)
        making = residues_of(self._store, self._vocabulary(), held)
        for nth, (each, residue) in enumerate(zip(held, making, strict=True), 1):
            work.add(each, residue)
            if nth % YIELD_RECORDS == 0:
                await asyncio.sleep(0)
        await self._destroy(work)
        self._store.submit(dict.fromkeys(keys))
        self.left -= len(keys)
        self._metrics.erased.inc(len(keys))

    async def _destroy(self, work: "_Work") -> None:
        """Destroy rows in such an order that what is left still leads to all that is to go."""
        steps = (
            {**work.names, **self._aliases.rows_of(work.handles)},
            self._aliases.ways_of(work.handles),
            dict.fromkeys(work.openings),
        )
        residues = work.residues
        for rows in filter(None, steps):
            await self._durable(residues, rows)
            residues = {}

    async def _durable(self, changes: Changes, erased: ErasedRows) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store.submit(changes, partial(_settle, done), erased=erased)
        await done

    # --- acknowledging ---

    async def _acknowledge(self) -> bool:
        """Say on the ledger what is destroyed here; whether one has to be said again later."""
        for key, _ in self._store.scan(erasure_key(self._seen), after(ERASURE)):
            self._seen = int.from_bytes(key[1:]) + 1
            self._awaited.add(self._seen - 1)
            if len(self._awaited) % YIELD_RECORDS == 0:
                await asyncio.sleep(0)
        for erasure in sorted(self._awaited):
            row = need_row(self._store, ErasureRow, erasure_key(erasure))
            if self._number in row.acks:
                self._awaited.discard(erasure)
                self._said.discard(erasure)
            elif self._is_destroyed(erasure, row) and await self._say(erasure, row):
                return True
        return False

    def _is_destroyed(self, erasure: int, row: ErasureRow) -> bool:
        if row.done is None or erasure in self._said:
            return False
        prefix = TO_ERASE + erasure.to_bytes(8)
        return not self.left or next(self._store.scan(prefix, after(prefix)), None) is None

    async def _say(self, erasure: int, row: ErasureRow) -> bool:
        """Hand in the acknowledgement; whether it has to be handed in again later."""
        record = ErasureAck(self._number, self._wall_ms(), row.commitment)
        [result] = await self._submit([Offer(encode_record(record), b"")])
        match result:
            case Busy():
                return True
            case Accepted() | Duplicate() | Conflict():  # a conflict: of an earlier time
                self._said.add(erasure)
            case RefusedOffer():
                log.warning("the ledger refuses to hear of erasure %d: %s", erasure, result.message)
                self._said.add(erasure)
        return False


class _Work:
    """What is to be written and destroyed for some erased records."""

    def __init__(self, store: LevelStore, number: int) -> None:
        self.residues: Changes = {}
        self.openings: list[bytes] = []
        self.names: dict[bytes, bytes | None] = {}
        self.handles: list[bytes] = []
        self._store, self._number = store, number
        self._batches: dict[tuple[int, int], bytes] = {}

    def take(self, erased: Erased) -> bool:
        """Whether a record has to be treated from the first step on: its opening can be read.

        Raises:
            StoreDamaged: it has neither an opening nor a residue.
        """
        key = self._key(submission_key, erased)
        self.openings.append(key)
        if self._store.get(key) is not None:
            return True
        if self._store.get(self._key(residue_key, erased)) is None:
            raise StoreDamaged(describe_key(key), f"is missing without a residue; {REPAIR}")
        return False

    def add(self, erased: Erased, residue: Residue) -> None:
        """The residue of a record, and the rows about it that only its opening leads to."""
        self.residues[self._key(residue_key, erased)] = encode(residue)
        if erased[0] != self._number:
            return
        opening = read_row(self._store, Submission, self._key(submission_key, erased))
        assert opening is not None, "a residue was made of it"
        try:
            record = decode_record(opening.record)
        except Malformed:
            return  # what is no record has no name
        self.names[name_key(record)] = sha256(opening.record) + commitment(opening)
        if residue.rule:
            return  # a refused record may name what is somebody else's
        match record:
            case SubjectRegister():
                self.handles.append(record.handle)
            case EngagementOpen():
                self.handles.append(record.reference)

    def _key(self, make: Callable[[bytes, int], bytes], erased: Erased) -> bytes:
        lane, height, position, _ = erased
        name = self._batches.get((lane, height))
        if name is None:
            key = lane_key(lane, height)
            name = self._store.get(key)
            if name is None:
                raise StoreDamaged(describe_key(key), f"is missing; {REPAIR}")
            self._batches[lane, height] = name
        return make(name, position)


def _row_key(erasure: int, lane: int, height: int, position: int) -> bytes:
    return TO_ERASE + erasure.to_bytes(8) + place_bytes(lane, height, position)


def _erased_in(key: bytes) -> Erased:
    erasure, lane, height, position = key[2:10], key[10:14], key[14:22], key[22:]
    place = int.from_bytes(lane), int.from_bytes(height), int.from_bytes(position)
    return (*place, int.from_bytes(erasure))


def _settle(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
