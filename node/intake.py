"""Intake: offered records become the platform's own batches.

An offer is read, looked up by its name, judged by the rules that execution will apply
(node/foresight.py), and given a salt and a place in the open batch. The open batch is sealed when
it is full, or a few ms after its first record; while earlier own records are under way it waits a
little longer, so that batches grow with the load. `submit` returns once the batch is on disk.

Names (node/naming.py) stand in rows `N` "i": SHA-256 of the record ‖ record id, written in the same
atomic write as the batch: a retry after a crash gets the first receipt if and only if the record is
in the lane.
A name whose record was refused at execution is free again, and so is that of an erased record: the
rules of the ledger, which go on knowing it, refuse what comes under it later.

Where the platform writes no lane (`closed` says why) offers are turned away. A platform that leaves
closes with its `member.leave`: all that it has acknowledged then lies under that record, and is
final when the membership ends. Where the lane key changes, consensus seals again what no cut had
reached; a batch that comes in between waits here until the new key may seal.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid
from ledger.batch import Submission, commitment
from ledger.errors import Malformed, Refused
from ledger.hashing import sha256
from ledger.record_rows import find_record
from ledger.records import decode_record
from ledger.records.membership import MemberLeave
from ledger.residue import AnyBatch
from ledger.rules import check_stateless, read_record
from ledger.store import Changes, Reader
from node.bounds import Bounds
from node.foresight import Foresight
from node.naming import name_key
from node.open_batch import OpenBatch
from node.salts import Salts
from node.shares import Shares

YIELD_OFFERS: Final = 128
"""After so many offers the event loop gets its turn."""
SUBMISSION_OVERHEAD_BYTES: Final = 32
LEAVES: Final = "this platform leaves: its lane ends with its member.leave"
ENDED: Final = "this platform's membership has ended before the record was stored"
LOADED_FACTOR: Final = 5
"""How much longer an open batch waits while own records are under way."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A record handed in: its canonical bytes, and the signatures that it carries."""

    record: bytes
    signatures: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record is durable in the platform's lane."""

    record_id: bytes


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same bytes were accepted before, under this id."""

    record_id: bytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """Other bytes were accepted before under this record's name."""

    record_id: bytes


@dataclass(frozen=True, slots=True)
class RefusedOffer:
    """The record breaks a rule; nothing was stored."""

    rule: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many own records are not final, or the own lane is not known: offer it again later."""

    retry_after_s: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The platform writes no lane here and now: nothing was stored; says why, and what to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """Not stored here: sent to a member, through whose lane it may come (node/relaying.py)."""


Result = Accepted | Duplicate | Conflict | RefusedOffer | Busy | Closed | Sent
Answer = tuple[Result, OpenBatch | None]
SealSink = Callable[[tuple[Submission, ...], Changes], None]


class Intake:
    """The open batch of one platform, and its own batches under way."""

    def __init__(
        self,
        *,
        chain: bytes,
        reader: Reader,
        foresight: Foresight,
        bounds: Bounds,
        wall_ms: Callable[[], int],
        seal: SealSink,
        accepting: Callable[[], bool],
        closed: Callable[[], str] = str,
    ) -> None:
        self._chain, self._reader, self._foresight = chain, reader, foresight
        self._bounds, self._validity = bounds, foresight.vocabulary.bounds
        self._wall_ms, self._seal = wall_ms, seal
        self._accepting, self._closed = accepting, closed
        self._numbers = 0
        self._open: OpenBatch | None = None
        self._sealing: deque[OpenBatch] = deque()
        self._under_way: deque[OpenBatch] = deque()
        self._void: dict[bytes, OpenBatch] = {}  # by hash: to be sealed again by consensus
        self._unsealed: deque[OpenBatch] = deque()  # to be sealed again by `go_on`
        self._leaving = b""
        self._shares = Shares()
        self._salts = Salts()
        self._names: dict[bytes, bytes] = {}
        self.places: dict[bytes, tuple[int, int]] = {}
        """Own records that are durable and not executed: id → (batch height, position)."""
        self.pending = 0
        """Own records in the open batch or not executed yet."""

    # --- offers ---

    async def submit(self, offers: Sequence[Offer], who: str = "") -> list[Result]:
        """Take a caller's offers in order; returns when all that were accepted are on disk."""
        if len(offers) > self._bounds.offers_max:
            most = self._bounds.offers_max
            raise Malformed(f"{len(offers)} offers at once, at most {most} are allowed")
        async with self._shares.turn(who):
            answers = await self._take_all(offers, who)
        waits: dict[int, Awaitable[None]] = {
            batch.number: batch.durable for _, batch in answers if batch is not None
        }
        for durable in waits.values():
            await asyncio.shield(durable)  # a caller that goes away must not cancel the others
        return [
            Closed(ENDED) if batch is not None and batch.is_left else result
            for result, batch in answers
        ]

    async def _take_all(self, offers: Sequence[Offer], who: str) -> list[Answer]:
        answers: list[Answer] = []
        bounds = self._bounds
        pushed_back: Answer = (Busy(bounds.retry_after_s), None)
        busy = pushed_back if not self._accepting() else None
        if reason := self._closed():
            busy = Closed(reason), None
        for at, offer in enumerate(offers, 1):
            if self._leaving:
                busy = Closed(LEAVES), None
            elif not self._shares.has_room(who, bounds.pending_records_max - self.pending):
                busy = pushed_back
            answers.append(busy or self._take(offer, who))
            if at % YIELD_OFFERS == 0:
                await asyncio.sleep(0)
        return answers

    def _take(self, offer: Offer, who: str) -> Answer:
        try:
            record = read_record(offer.record, self._validity)
            check_stateless(self._chain, record, offer.signatures)
            key, digest = name_key(record), sha256(offer.record)
            known = self._known(key, digest)
            if known is not None:
                return known
            batch = self._batch_with_room(len(offer.record) + len(offer.signatures))
            self._foresight.admit(record, self._wall_ms(), batch.number)
        except Refused as error:
            return RefusedOffer(error.rule, error.message, error.field), None
        record_id = self._place(batch, offer, key, digest)
        batch.by[who] += 1
        self._shares.take(who)
        if isinstance(record, MemberLeave):
            self._leaving = record_id
        return Accepted(record_id), batch

    def _known(self, key: bytes, digest: bytes) -> Answer | None:
        """What stands under a name already, if anything that counts does."""
        value = self._names.get(key)
        fresh = value is not None
        if value is None:
            value = self._reader.get(key)
        if value is None:
            return None
        record_id = value[32:]
        if not fresh and record_id not in self.places:
            row = find_record(self._reader, record_id)
            if row is not None and row.rule:
                return None
        same = value[:32] == digest
        result = Duplicate(record_id) if same else Conflict(record_id)
        return result, self._batch_of(key) if fresh else None

    def _batch_of(self, key: bytes) -> OpenBatch | None:
        """The batch, not durable yet, that holds a name."""
        batches = [*self._unsealed, *self._sealing, self._open]
        return next((batch for batch in batches if batch and key in batch.rows), None)

    def _batch_with_room(self, size: int) -> OpenBatch:
        batch = self._open
        if batch is not None and (
            len(batch.submissions) >= self._validity.batch_records_max
            or batch.size_bytes + size + SUBMISSION_OVERHEAD_BYTES > self._validity.batch_bytes_max
        ):
            self._seal_open(batch)
            batch = None
        if batch is None:
            loop = asyncio.get_running_loop()
            self._numbers += 1
            batch = self._open = OpenBatch(self._numbers, loop.create_future())
        return batch

    def _place(self, batch: OpenBatch, offer: Offer, key: bytes, digest: bytes) -> bytes:
        if not batch.submissions:
            wait_ms = self._bounds.seal_after_ms
            if self._under_way or self._sealing:
                wait_ms *= LOADED_FACTOR
            loop = asyncio.get_running_loop()
            loop.call_later(wait_ms / 1_000, self._seal_if_open, batch)
        submission = Submission(self._salts.draw(), offer.record, offer.signatures)
        record_id = commitment(submission)
        batch.submissions.append(submission)
        batch.ids.append(record_id)
        batch.size_bytes += len(offer.record) + len(offer.signatures) + SUBMISSION_OVERHEAD_BYTES
        self._names[key] = batch.rows[key] = digest + record_id
        self.pending += 1
        return record_id

    # --- sealing ---

    def _seal_if_open(self, batch: OpenBatch) -> None:
        if self._open is batch:
            self._seal_open(batch)

    def _seal_open(self, batch: OpenBatch) -> None:
        self._open = None
        if not batch.submissions:
            return
        self._sealing.append(batch)
        self._seal(tuple(batch.submissions), batch.rows)

    def sealed(self, effect: BatchSealed) -> None:
        """An own batch is on disk: those who wait for it are told."""
        if not effect.count:
            return  # an empty batch, by which consensus moves time on
        batch = self._sealing.popleft()
        assert len(batch.ids) == effect.count, "batches are sealed in order"
        batch.height, batch.header_hash = effect.height, effect.hash
        self._under_way.append(batch)
        for position, record_id in enumerate(batch.ids):
            self.places[record_id] = (batch.height, position)
        for key in batch.rows:
            self._names.pop(key, None)
        batch.submissions, batch.rows = [], {}
        batch.durable.set_result(None)

    def unsealed(self) -> None:
        """The batch that was to be sealed first could not be: its key's time is over."""
        self._unsealed.append(self._sealing.popleft())

    def go_on(self) -> None:
        """Seal what could not be sealed, once the lane may be written again; or give it up."""
        if self._closed() and self._unsealed:
            for batch in self._unsealed:
                self._give_up(batch)
            self._unsealed.clear()
        elif self._unsealed and self._accepting():
            batches = [*self._unsealed]
            self._unsealed.clear()
            for batch in batches:
                self._sealing.append(batch)
                self._seal(tuple(batch.submissions), batch.rows)

    def _give_up(self, batch: OpenBatch) -> None:
        self.pending -= len(batch.ids)
        self._shares.give_back(batch.by)
        self._foresight.settle(batch.number)
        for key in batch.rows:
            self._names.pop(key, None)
        batch.is_left = True
        batch.durable.set_result(None)

    def voided(self, effect: BatchVoid) -> list[bytes]:
        """An own batch is void: its records stand nowhere until they are sealed again. Returns the
        ids of those that never will be."""
        batch = next((each for each in self._under_way if each.header_hash == effect.hash), None)
        if batch is None:
            return []
        self._under_way.remove(batch)
        if not effect.is_lost:
            self._void[batch.header_hash] = batch
            return []
        self._settle(batch)
        return batch.ids

    def resealed(self, effect: BatchResealed) -> None:
        """The records of a void batch have their places again."""
        batch = self._void.pop(effect.void, None)
        if batch is None:
            return
        batch.height, batch.header_hash = effect.height, effect.hash
        self._under_way.append(batch)
        for position, record_id in enumerate(batch.ids):
            self.places[record_id] = (batch.height, position)

    def decided(self, record_id: bytes) -> None:
        """A record was executed: if it was the own leaving, `closed` tells from now on."""
        if record_id == self._leaving:
            self._leaving = b""

    def executed(self, height: int) -> None:
        """Own batches up to this lane height have been executed."""
        while self._under_way and self._under_way[0].height <= height:
            self._settle(self._under_way.popleft())

    def _settle(self, batch: OpenBatch) -> None:
        self.pending -= len(batch.ids)
        self._shares.give_back(batch.by)
        for record_id in batch.ids:
            self.places.pop(record_id, None)
        self._foresight.settle(batch.number)

    # --- after a start ---

    def resume(self, batches: Sequence[tuple[bytes, AnyBatch]], void: Sequence[bytes] = ()) -> None:
        """Own batches that are durable and not executed, from an earlier run, in order, by hash;
        `void` are to be sealed again."""
        for hash_, each in batches:
            self._numbers += 1
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            batch = OpenBatch(self._numbers, future, height=each.header.height, header_hash=hash_)
            batch.durable.set_result(None)
            pairs = zip(each.submissions, each.commitments, strict=True)
            for position, (submission, record_id) in enumerate(pairs):
                batch.ids.append(record_id)
                self.places[record_id] = (batch.height, position)
                if isinstance(submission, Submission):
                    self._look_ahead(submission, each.header.time, batch.number)
            self.pending += len(batch.ids)
            if hash_ in void:
                self._void[hash_] = batch
            else:
                self._under_way.append(batch)

    def _look_ahead(self, submission: Submission, time_ms: int, number: int) -> None:
        try:
            record = read_record(submission.record, self._validity)
            self._foresight.admit(record, time_ms, number)
            if isinstance(record, MemberLeave):
                self._leaving = commitment(submission)
        except Refused:
            pass  # execution will say so too

    def names_of(self, batch: AnyBatch) -> Changes:
        """The name rows of an own batch that are not in the store: after it was fetched from peers.

        The first name decides for all, since they are written together.
        """
        rows: Changes = {}
        for submission in batch.submissions:
            if not isinstance(submission, Submission):
                continue  # what is erased is not named either
            try:
                record = decode_record(submission.record)
            except Malformed:
                continue
            key, value = name_key(record), sha256(submission.record) + commitment(submission)
            if not rows and self._reader.get(key) == value:
                return {}
            rows[key] = value
        return rows
