"""Intake: places, names, early rules, pushback; and what survives a crash."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from consensus.effects import BatchSealed
from ledger.batch import Batch, Header, Submission, commitment
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import encode
from ledger.errors import Malformed
from ledger.genesis import FIRST_BOUNDS
from ledger.genesis import Bounds as ValidityBounds
from ledger.governing import Footing
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.record_rows import RecordRow, refusal_key
from ledger.records import Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure
from ledger.records.membership import MemberLeave
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.residue import Remains, Residue
from ledger.rules import Vocabulary
from ledger.rules.signatures import record_message
from ledger.store import Changes, MemoryStore
from node.bounds import BOUNDS, Bounds
from node.foresight import Foresight
from node.intake import (
    LEAVES,
    YIELD_OFFERS,
    Accepted,
    Busy,
    Closed,
    Conflict,
    Duplicate,
    Intake,
    Offer,
    RefusedOffer,
    Result,
)
from tests.ledger.world import key_of, validator

NOW_MS = 1_700_000_000_000
LANE = 3
WORKER, CLIENT, REFERENCE = b"w" * 32, b"c" * 32, b"r" * 32


def _vocabulary(validity: ValidityBounds) -> Vocabulary:
    return Vocabulary.of(Parameters(1, FIRST_MODEL, FIRST_SCALES, FIRST_DOMAINS), validity)


QUICK = replace(BOUNDS, seal_after_ms=1)


FOOTING = Footing(bytes(32), "example.org/standing", 1, (), 1, bytes(32))
"""Of a network without members: no record about it is offered here."""


@dataclass
class Lane:
    """Stands where consensus and the disk would: seals batches when it is told to."""

    store: MemoryStore = field(default_factory=MemoryStore)
    bounds: Bounds = QUICK
    validity: ValidityBounds = FIRST_BOUNDS
    waiting: list[tuple[tuple[Submission, ...], Changes]] = field(default_factory=list)
    sealed: list[tuple[Submission, ...]] = field(default_factory=list)
    instant: bool = True
    accepting: bool = True
    closed: str = ""
    has_sealed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.intake = self.start()

    def foresee(self, footing: Callable[[], Footing]) -> Foresight:
        """The registry that its intake looks ahead with."""
        words = _vocabulary(self.validity)
        return Foresight(self.store, lambda: words, LANE, footing)

    def start(self) -> Intake:
        """A new intake over the same store, as after a restart."""
        return Intake(
            chain=bytes(32),
            reader=self.store,
            foresight=self.foresee(lambda: FOOTING),
            bounds=self.bounds,
            wall_ms=lambda: NOW_MS,
            seal=self._seal,
            accepting=lambda: self.accepting,
            closed=lambda: self.closed,
        )

    def _seal(self, submissions: tuple[Submission, ...], rows: Changes) -> None:
        self.waiting.append((submissions, rows))
        self.has_sealed.set()
        if self.instant:
            self.make_durable()

    def make_durable(self) -> None:
        while self.waiting:
            submissions, rows = self.waiting.pop(0)
            self.store.write(rows)
            self.sealed.append(submissions)
            height = len(self.sealed)
            self.intake.sealed(BatchSealed(bytes(32), height, len(submissions)))

    async def offer(self, *records: Record) -> list[Result]:
        return await self.intake.submit([_offer(record) for record in records])


def _offer(record: Record, signatures: bytes = b"") -> Offer:
    return Offer(encode_record(record), signatures)


def _register(handle: bytes, at: int = NOW_MS) -> SubjectRegister:
    return SubjectRegister(LANE, at, handle, b"", "none")


def _open(reference: bytes = REFERENCE) -> EngagementOpen:
    due = NOW_MS + 1_000
    return EngagementOpen(
        LANE, NOW_MS, reference, WORKER, CLIENT, "gig", ("work",), "lead", NOW_MS, due, 0
    )


def _outcome(reference: bytes = REFERENCE, fault: str = "none") -> EngagementOutcome:
    return EngagementOutcome(
        LANE,
        NOW_MS,
        reference,
        "completed",
        fault,
        0,
        "accepted",
        "platform",  # type: ignore[arg-type]
    )


def _rating(rater: bytes, direction: str) -> Rating:
    return Rating(LANE, NOW_MS, REFERENCE, direction, rater, b"", "stars-5", 5, ())  # type: ignore[arg-type]


WHOLE_STORY: list[Record] = [
    _register(WORKER),
    _register(CLIENT),
    _open(),
    _outcome(),
    _rating(CLIENT, "of-worker"),
    _rating(WORKER, "of-client"),
]


async def test_a_whole_story_in_one_call_is_accepted_in_order() -> None:
    lane = Lane()
    results = await lane.offer(*WHOLE_STORY)
    assert all(isinstance(each, Accepted) for each in results)
    (batch,) = lane.sealed
    assert [each.record for each in batch] == [encode_record(each) for each in WHOLE_STORY]
    assert [each.record_id for each in results] == [commitment(each) for each in batch]  # type: ignore[union-attr]
    assert len({each.salt for each in batch}) == len(batch)
    assert lane.intake.places[commitment(batch[3])] == (1, 3)
    assert lane.intake.pending == len(WHOLE_STORY)


async def test_the_same_again_gets_the_first_id_and_other_content_a_conflict() -> None:
    lane = Lane()
    first = await lane.offer(*WHOLE_STORY)
    again = await lane.offer(*WHOLE_STORY)
    assert again == [Duplicate(each.record_id) for each in first]  # type: ignore[union-attr]
    other = await lane.offer(_register(WORKER, NOW_MS - 1), _outcome(fault="client"))
    assert other == [Conflict(first[0].record_id), Conflict(first[3].record_id)]  # type: ignore[union-attr]
    assert len(lane.sealed) == 1


async def test_names_outlive_a_restart() -> None:
    lane = Lane()
    first = await lane.offer(*WHOLE_STORY)
    lane.intake = lane.start()
    again = await lane.offer(*WHOLE_STORY)
    assert again == [Duplicate(each.record_id) for each in first]  # type: ignore[union-attr]


async def test_a_duplicate_of_what_is_not_durable_waits_for_the_disk() -> None:
    lane = Lane(instant=False)
    first = asyncio.create_task(lane.offer(_register(WORKER)))
    second = asyncio.create_task(lane.offer(_register(WORKER)))
    await lane.has_sealed.wait()
    third = asyncio.create_task(lane.offer(_register(WORKER)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    assert not third.done()
    lane.make_durable()
    (accepted,) = await first
    assert isinstance(accepted, Accepted)
    assert await second == await third == [Duplicate(accepted.record_id)]


async def test_a_caller_that_goes_away_takes_nobody_with_it() -> None:
    lane = Lane(instant=False)
    first = asyncio.create_task(lane.offer(_register(WORKER)))
    second = asyncio.create_task(lane.offer(_register(CLIENT)))
    await lane.has_sealed.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    lane.make_durable()
    assert isinstance((await second)[0], Accepted)


async def test_broken_rules_are_named_and_store_nothing() -> None:
    lane = Lane()
    await lane.offer(_register(WORKER), _register(CLIENT))
    results = await lane.offer(
        _outcome(),
        _rating(CLIENT, "of-worker"),
        _register(b"x" * 32, NOW_MS + 1),
        SubjectRegister(LANE + 1, NOW_MS, b"y" * 32, b"", "none"),
        SubjectRegister(LANE, NOW_MS, b"z" * 32, b"\xff" * 32, "none"),
    )
    rules = [each.rule for each in results if isinstance(each, RefusedOffer)]
    assert rules == [
        "unknown-engagement",
        "unknown-engagement",
        "dated-after-batch",
        "foreign-platform",
        "bad-key",
    ]
    bad = await lane.intake.submit(
        [Offer(b"\xc1", b""), Offer(encode_record(_open()), b"s" * 64), Offer(b"x" * 5_000, b"")]
    )
    assert [each.rule for each in bad] == ["malformed", "signature-count", "malformed"]  # type: ignore[union-attr]
    assert len(lane.sealed) == 1
    assert lane.intake.pending == 2


async def test_an_old_erasure_is_refused_and_says_what_to_do() -> None:
    lane, key = Lane(), key_of("subject", "w")
    await lane.offer(SubjectRegister(LANE, NOW_MS, WORKER, key.public, "none"))
    results = []
    for age_ms in (8 * 86_400_000, 0):
        record = Erasure(LANE, NOW_MS - age_ms, WORKER, key.public, "platform")
        signature = key.sign(record_message(bytes(32), encode_record(record)))
        results += await lane.intake.submit([_offer(record, signature)])
    stale, fresh = results
    assert isinstance(stale, RefusedOffer)
    assert (stale.rule, stale.field) == ("erasure-stale", "at")
    assert "sign a new one" in stale.message
    assert isinstance(fresh, Accepted)


async def test_looks_ahead_only_over_what_is_under_way() -> None:
    lane = Lane()
    await lane.offer(*WHOLE_STORY[:3])
    lane.intake.executed(1)  # while the store, here, has no row of it
    (result,) = await lane.offer(_outcome())
    assert isinstance(result, RefusedOffer)
    assert result.rule == "unknown-engagement"


async def test_a_name_whose_record_was_refused_is_free_again() -> None:
    lane = Lane()
    (first,) = await lane.offer(_register(WORKER))
    assert isinstance(first, Accepted)
    row = RecordRow(LANE, 1, 0, None, "subject-exists")
    lane.store.write({refusal_key(first.record_id, LANE, 1, 0): encode(row)})
    lane.intake.executed(1)
    (second,) = await lane.offer(_register(WORKER, NOW_MS - 5))
    assert isinstance(second, Accepted)


async def test_batches_are_sealed_when_full() -> None:
    validity = ValidityBounds(
        **{name: getattr(FIRST_BOUNDS, name) for name in FIRST_BOUNDS.__struct_fields__}
        | {"batch_records_max": 10}
    )
    lane = Lane(validity=validity)
    results = await lane.offer(*(_register(bytes([at]) * 32) for at in range(35)))
    assert all(isinstance(each, Accepted) for each in results)
    assert [len(batch) for batch in lane.sealed] == [10, 10, 10, 5]


async def test_pushback_when_too_much_is_pending() -> None:
    lane = Lane(bounds=replace(BOUNDS, seal_after_ms=1, pending_records_max=5, retry_after_s=7))
    results = await lane.offer(*(_register(bytes([at]) * 32) for at in range(8)))
    assert [type(each) for each in results] == [Accepted] * 4 + [Busy] * 4, "4 in 5 of the room"
    assert results[-1] == Busy(7)
    lane.intake.executed(1)
    assert lane.intake.pending == 0
    (result,) = await lane.offer(_register(bytes([7]) * 32))
    assert isinstance(result, Accepted)


def _names(first: int, count: int) -> list[Offer]:
    return [_offer(_register(at.to_bytes(32))) for at in range(first, first + count)]


async def test_who_hands_in_much_leaves_room_for_others() -> None:
    lane = Lane(bounds=replace(BOUNDS, seal_after_ms=1, pending_records_max=100))
    first = await lane.intake.submit(_names(1, 200), "greedy")
    assert [type(each) for each in first].count(Accepted) == 80
    second = await lane.intake.submit(_names(1_001, 15), "modest")
    assert {type(each) for each in second} == {Accepted}
    (again,) = await lane.intake.submit(_names(2_001, 1), "greedy")
    assert isinstance(again, Busy)
    lane.intake.executed(1)
    (again,) = await lane.intake.submit(_names(2_001, 1), "greedy")
    assert isinstance(again, Accepted), "what was executed counts no more"


async def test_a_hundred_streams_of_one_take_one_turn() -> None:
    """Another caller's record is taken after a slice of one of them, not of each."""
    lane = Lane(bounds=replace(BOUNDS, seal_after_ms=1))
    streams = [
        asyncio.create_task(lane.intake.submit(_names(1 + 1_000 * at, 400), "greedy"))
        for at in range(100)
    ]
    await asyncio.sleep(0)
    taken_before = lane.intake.pending
    modest = asyncio.create_task(lane.intake.submit(_names(10**6, 1), "modest"))
    while "modest" not in lane.intake._shares._under_way:  # noqa: ASYNC110 - turn by turn
        await asyncio.sleep(0)
    assert lane.intake.pending - taken_before <= 3 * YIELD_OFFERS
    assert isinstance((await modest)[0], Accepted)
    for each in await asyncio.gather(*streams):
        assert {type(result) for result in each} <= {Accepted, Busy}


async def test_a_node_that_joins_takes_nothing() -> None:
    lane = Lane(accepting=False)
    (result,) = await lane.offer(_register(WORKER))
    assert isinstance(result, Busy)
    lane.accepting = True
    (result,) = await lane.offer(_register(WORKER))
    assert isinstance(result, Accepted)


async def test_too_many_offers_at_once_are_refused() -> None:
    lane = Lane(bounds=replace(BOUNDS, offers_max=2))
    with pytest.raises(Malformed, match="at most 2"):
        await lane.offer(*(_register(bytes([at]) * 32) for at in range(3)))


async def test_resumes_what_was_durable_and_not_executed() -> None:
    lane = Lane()
    await lane.offer(*WHOLE_STORY[:3])
    (batch,) = lane.sealed
    header = Header(1, LANE, 9, bytes(32), len(batch), bytes(32), NOW_MS)
    lane.intake = lane.start()
    lane.intake.resume([(bytes(32), Batch(header, bytes(64), batch))])
    assert lane.intake.pending == 3
    assert lane.intake.places[commitment(batch[2])] == (9, 2)
    (result,) = await lane.offer(_outcome())
    assert isinstance(result, Accepted)


async def test_names_are_learned_from_a_lane_that_was_fetched() -> None:
    lane = Lane()
    await lane.offer(*WHOLE_STORY)
    (batch,) = lane.sealed
    header = Header(1, LANE, 1, bytes(32), len(batch), bytes(32), NOW_MS)
    whole = Batch(header, bytes(64), batch)
    assert lane.intake.names_of(whole) == {}
    lane.store = MemoryStore()
    lane.intake = lane.start()
    rows = lane.intake.names_of(whole)
    lane.store.write(rows)
    again = await lane.offer(*WHOLE_STORY)
    assert again == [Duplicate(commitment(each)) for each in batch]


async def test_what_is_erased_of_a_fetched_lane_has_no_name() -> None:
    lane = Lane()
    await lane.offer(*WHOLE_STORY)
    (batch,) = lane.sealed
    header = Header(1, LANE, 1, bytes(32), len(batch), bytes(32), NOW_MS)
    residue = Residue(commitment(batch[0]), 9, bytes(32), "", b"a stand-in")
    lane.store = MemoryStore()
    lane.intake = lane.start()
    rows = lane.intake.names_of(Remains(header, bytes(64), (residue, *batch[1:])))
    assert len(rows) == len(batch) - 1
    assert {value[32:] for value in rows.values() if value} == set(map(commitment, batch[1:]))


async def test_a_name_that_was_freed_and_used_again_is_learned_anew() -> None:
    lane = Lane()
    await lane.offer(_register(WORKER))
    later = Submission(bytes(16), encode_record(_register(WORKER, NOW_MS - 5)), b"")
    whole = Batch(Header(1, LANE, 2, bytes(32), 1, bytes(32), NOW_MS), bytes(64), (later,))
    (value,) = lane.intake.names_of(whole).values()
    assert value is not None
    assert value[32:] == commitment(later)


async def test_an_empty_batch_of_consensus_disturbs_nothing() -> None:
    lane = Lane(instant=False)
    task = asyncio.create_task(lane.offer(_register(WORKER)))
    await lane.has_sealed.wait()
    lane.intake.sealed(BatchSealed(bytes(32), 1, 0))
    assert not task.done()
    lane.make_durable()
    assert isinstance((await task)[0], Accepted)


async def test_after_a_leaving_nothing_is_taken_until_it_is_decided() -> None:
    lane = Lane()
    members = tuple(validator(number)[0] for number in (1, LANE))
    footing = replace(FOOTING, validators=members)
    lane.intake._foresight = lane.foresee(lambda: footing)
    (left,) = await lane.offer(MemberLeave(LANE, NOW_MS))
    assert isinstance(left, Accepted)
    assert await lane.offer(_register(WORKER)) == [Closed(LEAVES)]
    lane.intake.decided(b"another" * 4)
    assert await lane.offer(_register(WORKER)) == [Closed(LEAVES)]
    lane.intake.decided(left.record_id)
    assert isinstance((await lane.offer(_register(WORKER)))[0], Accepted), "the ledger tells now"
