"""Intake: offered records become the platform's own batches.

An offer is read, looked up by its name, judged by the rules that execution will apply
(node/foresight.py), and given a salt and a place in the open batch. The open batch is sealed when
it is full, or a few ms after its first record; while earlier own records are under way it waits a
little longer, so that batches grow with the load. `submit` returns once the batch is on disk.

Names (what makes a retry a retry, and other content under the same name a conflict):

| record | named by |
|---|---|
| subject.register | platform, handle |
| engagement.open, .outcome | platform, reference |
| rating | platform, reference, direction |
| subject.link | both platforms and handles |
| erasure | platform, handle, time |
| erasure.ack | the erasure |

Row `N` "i" ‖ type ‖ name → SHA-256 of the record ‖ record id: written in the same atomic write as
the batch, so a retry after a crash gets the first receipt if and only if the record is in the lane.
A name whose record was refused at execution is free again, and so is that of an erased record: the
rules of the ledger, which go on knowing it, refuse what comes under it later.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import BatchSealed
from ledger.batch import SALT_BYTES, Submission, commitment
from ledger.errors import Malformed, Refused
from ledger.hashing import sha256
from ledger.records import Record, decode_record, tag_of
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.residue import AnyBatch
from ledger.rows import find_record
from ledger.rules import check_stateless, read_record
from ledger.store import NODE, Changes, Reader, subject_key
from node.bounds import Bounds
from node.foresight import Foresight

YIELD_OFFERS: Final = 128
"""After so many offers the event loop gets its turn."""
BATCH_OVERHEAD_BYTES: Final = 512
SUBMISSION_OVERHEAD_BYTES: Final = 32
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


Result = Accepted | Duplicate | Conflict | RefusedOffer | Busy
Answer = tuple[Result, "OpenBatch | None"]
SealSink = Callable[[tuple[Submission, ...], Changes], None]


@dataclass(slots=True)
class OpenBatch:
    """The batch under construction, then under way; `number` counts own batches since the start."""

    number: int
    durable: "asyncio.Future[None]"
    submissions: list[Submission] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    rows: Changes = field(default_factory=dict)
    bytes: int = BATCH_OVERHEAD_BYTES
    height: int = 0


def record_name(record: Record) -> bytes:
    """What names a record on its platform: its type's tag and the fields of the table above."""
    tag = bytes([tag_of(record)])
    platform = record.platform.to_bytes(4)
    match record:
        case SubjectRegister():
            return tag + platform + record.handle
        case EngagementOpen() | EngagementOutcome():
            return tag + platform + record.reference
        case Rating():
            direction = b"w" if record.direction == "of-worker" else b"c"
            return tag + platform + record.reference + direction
        case SubjectLink():
            first = subject_key(record.first_platform, record.first_handle)
            return tag + first + subject_key(record.second_platform, record.second_handle)
        case Erasure():
            return tag + platform + record.handle + record.at.to_bytes(8)
        case ErasureAck():
            return tag + platform + record.erasure


def name_key(record: Record) -> bytes:
    """The key of the row that remembers a name."""
    return NODE + b"i" + record_name(record)


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
    ) -> None:
        self._chain, self._reader, self._foresight = chain, reader, foresight
        self._bounds, self._validity = bounds, foresight.vocabulary.bounds
        self._wall_ms, self._seal, self._accepting = wall_ms, seal, accepting
        self._numbers = 0
        self._open: OpenBatch | None = None
        self._sealing: deque[OpenBatch] = deque()
        self._under_way: deque[OpenBatch] = deque()
        self._names: dict[bytes, bytes] = {}
        self.places: dict[bytes, tuple[int, int]] = {}
        """Own records that are durable and not executed: id → (batch height, position)."""
        self.pending = 0
        """Own records in the open batch or not executed yet."""

    # --- offers ---

    async def submit(self, offers: Sequence[Offer]) -> list[Result]:
        """Take offers in order; returns when all that were accepted are on disk."""
        if len(offers) > self._bounds.offers_max:
            most = self._bounds.offers_max
            raise Malformed(f"{len(offers)} offers at once, at most {most} are allowed")
        answers: list[Answer] = []
        pushed_back: Answer = (Busy(self._bounds.retry_after_s), None)
        busy = None if self._accepting() else pushed_back
        for at, offer in enumerate(offers, 1):
            if self.pending >= self._bounds.pending_records_max:
                busy = pushed_back
            answers.append(busy or self._take(offer))
            if at % YIELD_OFFERS == 0:
                await asyncio.sleep(0)
        waits: dict[int, Awaitable[None]] = {
            batch.number: batch.durable for _, batch in answers if batch is not None
        }
        for durable in waits.values():
            await asyncio.shield(durable)  # a caller that goes away must not cancel the others
        return [result for result, _ in answers]

    def _take(self, offer: Offer) -> Answer:
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
        return Accepted(self._place(batch, offer, key, digest)), batch

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
        batches = [*self._sealing, self._open] if self._open else [*self._sealing]
        return next((batch for batch in batches if batch and key in batch.rows), None)

    def _batch_with_room(self, size: int) -> OpenBatch:
        batch = self._open
        if batch is not None and (
            len(batch.submissions) >= self._validity.batch_records_max
            or batch.bytes + size + SUBMISSION_OVERHEAD_BYTES > self._validity.batch_bytes_max
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
        submission = Submission(os.urandom(SALT_BYTES), offer.record, offer.signatures)
        record_id = commitment(submission)
        batch.submissions.append(submission)
        batch.ids.append(record_id)
        batch.bytes += len(offer.record) + len(offer.signatures) + SUBMISSION_OVERHEAD_BYTES
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
        batch.height = effect.height
        self._under_way.append(batch)
        for position, record_id in enumerate(batch.ids):
            self.places[record_id] = (batch.height, position)
        for key in batch.rows:
            self._names.pop(key, None)
        batch.submissions, batch.rows = [], {}
        batch.durable.set_result(None)

    def executed(self, height: int) -> None:
        """Own batches up to this lane height have been executed."""
        while self._under_way and self._under_way[0].height <= height:
            batch = self._under_way.popleft()
            self.pending -= len(batch.ids)
            for record_id in batch.ids:
                self.places.pop(record_id, None)
            self._foresight.settle(batch.number)

    # --- after a start ---

    def resume(self, batches: Sequence[AnyBatch]) -> None:
        """Own batches that are durable and not executed, from an earlier run, in order."""
        for each in batches:
            self._numbers += 1
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            batch = OpenBatch(self._numbers, future, height=each.header.height)
            batch.durable.set_result(None)
            pairs = zip(each.submissions, each.commitments, strict=True)
            for position, (submission, record_id) in enumerate(pairs):
                batch.ids.append(record_id)
                self.places[record_id] = (batch.height, position)
                if isinstance(submission, Submission):
                    self._look_ahead(submission, each.header.time, batch.number)
            self.pending += len(batch.ids)
            self._under_way.append(batch)

    def _look_ahead(self, submission: Submission, time_ms: int, number: int) -> None:
        try:
            record = read_record(submission.record, self._validity)
            self._foresight.admit(record, time_ms, number)
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
