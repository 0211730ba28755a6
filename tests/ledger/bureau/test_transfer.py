"""What evidence from another platform weighs: the posterior, and how execution measures it."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.bundle import build_bundle, verify_bundle
from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from ledger.bureau.reading import ask
from ledger.bureau.standing import NEW_PLATFORM, SOURCES_MAX, PlatformTally, Source
from ledger.bureau.transfer import _drawn, learned, losses_of, transfer_of, transfers_of
from ledger.rows import EngagementRow, SubjectRow, need_row
from tests.ledger.certify import certify, policy_of
from tests.ledger.test_bundle import BOUNDS
from tests.ledger.world import DAY, World, genesis_of, handle, reference
from tests.reference.bounded import Bounded

WORD = FIRST_MODEL.attested_weight
TALLY = replace(NEW_PLATFORM, newcomers=200, newcomers_good=169)
ENOUGH = 1 + FIRST_MODEL.prior_strength // WORD

five = st.tuples(*[st.integers(0, 2**36) | st.integers(0, 2**22)] * 5)


def measured(there, signs, model=FIRST_MODEL):
    """The weight after these results of workers of whom so much, good and bad, is told there."""
    tally = TALLY
    for sign in signs:
        tally = learned(tally, 2, losses_of((0, 0), there, sign, TALLY, model), model)
    return transfer_of(2, tally.sources[0], model)


def test_unmeasured_evidence_weighs_what_the_model_says():
    for weight in (0, 1, 39_322, Q16_ONE):
        model = replace(FIRST_MODEL, elsewhere_weight=weight)
        found = transfer_of(7, None, model)
        assert (found.platform, found.weight_q16, found.workers) == (7, weight, 0)
        assert found.low_q16 <= weight <= found.high_q16
        assert found == transfer_of(7, Source(7, 0, (0, 0, 0, 0, 0)), model)
    assert transfers_of([3, 2, 3], None, FIRST_MODEL) == tuple(
        transfer_of(each, None, FIRST_MODEL) for each in (2, 3)
    )


def test_what_foretells_weighs_more_and_what_does_not_less():
    bad, good = (0, 20 * WORD), (20 * WORD, 0)
    before = transfer_of(2, None, FIRST_MODEL)
    foretold, refuted = measured(bad, [-1] * 60), measured(bad, [1] * 60)
    assert foretold.weight_q16 > 0.8 * Q16_ONE > before.weight_q16 > refuted.weight_q16
    assert refuted.weight_q16 < 0.05 * Q16_ONE
    assert measured(good, [-1] * 60).weight_q16 < 0.05 * Q16_ONE
    widths = [each.high_q16 - each.low_q16 for each in (before, foretold, refuted)]
    assert widths[0] > widths[1] > widths[2]
    assert foretold.workers == 60


def test_one_worker_moves_it_little():
    before = FIRST_MODEL.elsewhere_weight
    for there in ((0, 2**34), (2**34, 0), (2**20, 2**20), (3 * WORD, 2 * WORD)):
        for sign in (1, -1):
            assert abs(measured(there, [sign]).weight_q16 - before) < 0.11 * Q16_ONE
            losses = losses_of((0, 0), there, sign, TALLY, FIRST_MODEL)
            assert all(0 < each <= 4 * Q16_ONE for each in losses)
    assert len(set(losses_of((WORD, 0), (0, 0), 1, TALLY, FIRST_MODEL))) == 1


@given(five, st.integers(0, 2**18), st.integers(0, Q16_ONE), st.integers(1, 64))
def test_every_weight_is_one_and_stays_below_2_to_the_53(losses, workers, weight, prior):
    model = replace(
        FIRST_MODEL,
        elsewhere_weight=Bounded(weight),
        transfer_prior=Bounded(prior * Q16_ONE),
    )
    found = transfer_of(2, Source(2, workers, tuple(map(Bounded, losses))), model)
    assert 0 <= found.low_q16 <= found.weight_q16 <= found.high_q16 <= Q16_ONE
    assert [_drawn(losses, place) for place in range(0, 33, 8)] == [each * 256 for each in losses]


def test_sources_are_kept_in_order_within_bounds_and_of_late():
    tally: PlatformTally = NEW_PLATFORM
    for platform in range(SOURCES_MAX, 0, -1):
        tally = learned(tally, platform, (1, 2, 3, 4, 5), FIRST_MODEL)
    assert [each.platform for each in tally.sources] == list(range(1, SOURCES_MAX + 1))
    assert learned(tally, SOURCES_MAX + 1, (1, 2, 3, 4, 5), FIRST_MODEL) is None
    model = replace(FIRST_MODEL, transfer_window=4)
    for _ in range(3):
        tally = learned(tally, 9, (1, 2, 3, 4, 5), model)
    assert tally.sources[8] == Source(9, 2, (2, 4, 6, 8, 10))


@pytest.mark.parametrize("like", [0.5, 1])
def test_the_interval_holds_what_very_much_evidence_shows(like):
    """In samples of 1,000 workers, of whom so many are on the one platform as on the other."""
    dice, model, drawn = random.Random(5), FIRST_MODEL, []
    for _ in range(6_000):
        rate = 0.97 if dice.random() < 0.7 else 0.55
        told = Counter(dice.random() < rate for _ in range(dice.randint(8, 30)))
        here = rate if dice.random() < like else dice.choice((0.97, 0.97, 0.55))
        shown = (told[True] * WORD, told[False] * WORD)
        drawn.append(losses_of((0, 0), shown, 1 if dice.random() < here else -1, TALLY, model))
    totals = tuple(map(sum, zip(*drawn, strict=True)))
    best = min(range(33), key=lambda place: _drawn(totals, place)) * Q16_ONE // 32
    held = 0
    for _ in range(100):
        losses = tuple(map(sum, zip(*dice.sample(drawn, 1_000), strict=True)))
        found = transfer_of(2, Source(2, 1_000, losses), model)
        held += found.low_q16 <= best <= found.high_q16
    assert held >= 85


# --- execution ---


def shared_world(results=ENOUGH, *, linked=True):
    """A worker of platforms 1 and 2, of whom so many results are told on 2."""
    world = World(genesis_of(2, BOUNDS))
    people = [("w", 1), ("w", 2), ("c", 1), ("c", 2), ("x", 1)]
    for lane in (1, 2):
        world.put(lane, [world.register(n, p, key=n != "c") for n, p in people if p == lane])
    world.block()
    if linked:
        world.run(world.link((1, "w"), (2, "w")))
    work(world, 2, *(f"there-{nth}" for nth in range(results)))
    return world


def work(world, lane, *jobs, worker="w", good=True):
    world.run(*(world.open(job, worker, platform=lane) for job in jobs), lane=lane)
    told = {} if good else {"status": "no-show", "fault": "worker", "acceptance": "unknown"}
    close(world, lane, *jobs, **told)


def close(world, lane, *jobs, **told):
    world.time += 60_000  # not in hindsight
    world.run(*(world.outcome(job, platform=lane, **told) for job in jobs), lane=lane)


def tally_of(world, lane):
    return need_row(world.store, PlatformTally, b"Q" + lane.to_bytes(4))


def test_a_worker_counts_once_for_each_platform():
    world = shared_world()
    work(world, 1, "here")
    (source,) = tally_of(world, 1).sources
    assert (source.platform, source.workers) == (2, 1)
    assert list(source.losses) == sorted(source.losses, reverse=True), "good foretold good"
    work(world, 1, "again", "and again", good=False)
    assert tally_of(world, 1).sources == (source,)
    row = need_row(world.store, SubjectRow, b"W" + (1).to_bytes(4) + handle("w"))
    assert row.compared == (2,)
    assert tally_of(world, 2).sources == ()


def test_what_counts_is_what_was_told_before_the_engagement_began():
    world = shared_world(results=0)
    world.run(world.open("here"))
    work(world, 2, *(f"late-{nth}" for nth in range(ENOUGH)))
    close(world, 1, "here")
    assert tally_of(world, 1).sources == ()
    world.run(world.open("next"))
    row = need_row(world.store, EngagementRow, b"G" + (1).to_bytes(4) + reference("next"))
    assert row.elsewhere == ((2, ENOUGH * WORD, 0),)
    work(world, 2, "much later", good=False)
    close(world, 1, "next")
    assert [each.workers for each in tally_of(world, 1).sources] == [1]


def test_no_link_too_little_evidence_or_a_nobodys_word_measures_nothing():
    unlinked, little, word = shared_world(linked=False), shared_world(ENOUGH - 1), shared_world()
    work(unlinked, 1, "here")
    work(little, 1, "here")
    work(word, 1, "other", worker="x")
    word.run(word.open("here"))
    close(word, 1, "here", basis="counterparty")
    word.run(word.open("nothing"))
    close(word, 1, "nothing", status="force-majeure", acceptance="unknown")
    for world in (unlinked, little, word):
        assert tally_of(world, 1).sources == ()
    work(word, 1, "said")
    assert [each.workers for each in tally_of(word, 1).sources] == [1]


def test_the_answer_shows_it_and_a_bundle_proves_it():
    world = shared_world()
    work(world, 1, "here")
    for _ in range(4):
        world.time += DAY
        work(world, 1, f"more-{world.time}", worker="x")
    certified = certify(world)
    question = ask(world.store, certified, 1, handle("w"))
    bundle = build_bundle(world.store, world.state.index, certified, question)
    found = verify_bundle(bundle, policy_of(world))
    assert found.valid, found.steps
    (shown,) = found.answer.transfers
    assert shown == transfer_of(2, tally_of(world, 1).sources[0], FIRST_MODEL)
    assert shown.weight_q16 > FIRST_MODEL.elsewhere_weight
    assert shown.workers == 1
    client = ask(world.store, certified, 1, handle("c"), role="client")
    told = verify_bundle(
        build_bundle(world.store, world.state.index, certified, client), policy_of(world)
    )
    assert told.answer.transfers == ()
