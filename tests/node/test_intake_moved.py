"""Intake while the set or its keys change under the own lane: what is void, lost, sealed again."""

import asyncio

from consensus.effects import BatchResealed, BatchVoid
from ledger.batch import Batch, Header, commitment
from node.intake import ENDED, Accepted, Closed, Duplicate
from tests.node.test_intake import CLIENT, LANE, NOW_MS, WORKER, Lane, _register


async def test_a_void_batch_has_its_places_again_once_it_is_sealed_anew() -> None:
    lane = Lane()
    ids = [each.record_id for each in await lane.offer(_register(WORKER), _register(CLIENT))]  # type: ignore[union-attr]
    assert lane.intake.voided(BatchVoid(bytes(32), 1, 2, bytes(32), False)) == []
    assert lane.intake.pending == 2, "still under way"
    again = await lane.offer(_register(WORKER))
    assert again == [Duplicate(ids[0])], "it is durable, wherever it will stand"
    lane.intake.resealed(BatchResealed(bytes(32), 1, b"n" * 32, 7, 2))
    assert lane.intake.places == {ids[0]: (7, 0), ids[1]: (7, 1)}
    lane.intake.executed(6)
    assert lane.intake.pending == 2
    lane.intake.executed(7)
    assert (lane.intake.pending, lane.intake.places) == (0, {})


async def test_a_lost_batch_is_told_and_forgotten() -> None:
    lane = Lane()
    ids = [each.record_id for each in await lane.offer(_register(WORKER), _register(CLIENT))]  # type: ignore[union-attr]
    unknown = BatchVoid(b"?" * 32, 9, 1, bytes(32), True)
    assert lane.intake.voided(unknown) == []
    assert lane.intake.voided(BatchVoid(bytes(32), 1, 2, bytes(32), True)) == ids
    assert (lane.intake.pending, lane.intake.places) == (0, {})
    lane.intake.resealed(BatchResealed(b"?" * 32, 9, b"n" * 32, 10, 1))
    assert lane.intake.places == {}


async def test_what_could_not_be_sealed_waits_for_the_new_key_and_keeps_its_ids() -> None:
    lane = Lane(instant=False)
    offering = asyncio.create_task(lane.offer(_register(WORKER), _register(CLIENT)))
    await lane.has_sealed.wait()
    (first,) = lane.waiting
    lane.waiting.clear()
    lane.intake.unsealed()  # the key's time was over
    lane.accepting = False
    lane.intake.go_on()
    assert lane.waiting == [], "not before the new key may seal"
    assert not offering.done()
    lane.accepting = True
    lane.intake.go_on()
    assert lane.waiting == [first], "the same submissions, salts and names"
    lane.make_durable()
    ids = [commitment(each) for each in first[0]]
    assert await offering == [Accepted(each) for each in ids]
    assert lane.intake.places == {ids[0]: (1, 0), ids[1]: (1, 1)}


async def test_what_could_not_be_sealed_is_refused_where_the_membership_has_ended() -> None:
    lane = Lane(instant=False)
    offering = asyncio.create_task(lane.offer(_register(WORKER)))
    await lane.has_sealed.wait()
    lane.waiting.clear()
    lane.intake.unsealed()
    lane.closed = "an observer"
    lane.intake.go_on()
    assert await offering == [Closed(ENDED)]
    assert lane.intake.pending == 0
    assert await lane.offer(_register(CLIENT)) == [Closed("an observer")]


async def test_void_batches_of_an_earlier_run_wait_to_be_sealed_again() -> None:
    lane = Lane()
    await lane.offer(_register(WORKER))
    (sealed,) = lane.sealed
    batch = Batch(Header(1, LANE, 1, bytes(32), 1, bytes(32), NOW_MS), bytes(64), sealed)
    intake = lane.start()
    intake.resume([(b"v" * 32, batch)], [b"v" * 32])
    assert intake.pending == 1
    intake.executed(99)
    assert intake.pending == 1, "it stands in no lane yet"
    intake.resealed(BatchResealed(b"v" * 32, 1, b"n" * 32, 3, 1))
    (place,) = intake.places.values()
    assert place == (3, 0)
