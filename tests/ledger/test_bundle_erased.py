"""Bundles of files from which records were erased: by execution, and changed by liars."""

import random

import pytest

from ledger import erasure_queue
from ledger.batch import commitment
from ledger.bundle import decode_bundle, verify_bundle
from ledger.bundle_form import Opening
from ledger.bureau import reading
from ledger.bureau.erased import ERASURE_TYPE
from ledger.bureau.reading import answer, ask, is_read
from ledger.errors import Erased, InvalidInput
from ledger.files import closure, read_file
from tests.ledger.certify import certify, policy_of
from tests.ledger.handmade import moved
from tests.ledger.test_bundle import (
    BOUNDS,
    bundle_of,
    failed,
    forge,
    forge_file,
    linked_world,
    small_world,
)
from tests.ledger.world import DAY, World, genesis_of, handle

SUBJECTS = (("w", 1), ("c", 1), ("stranger", 1), ("w2", 2), ("c2", 2))


def erased_world(scope="platform"):
    """A linked worker who has asked for erasure, and has worked again since."""
    world = linked_world()
    world.run(world.erasure("w", scope=scope))
    world.run(world.open("again"))
    world.run(world.outcome("again", status="late", fault="worker", lateness_band=1))
    return world


def counts_of(world, name="w", platform=1, **asked):
    found = verify_bundle(bundle_of(world, name, platform, **asked), policy_of(world))
    assert found.valid, found.steps
    return found.answer.evidence


# --- what holds ---


def test_what_is_erased_counts_for_nothing_and_what_came_later_counts():
    world = erased_world()
    counts = counts_of(world)
    assert (counts.good, counts.bad, counts.engagements) == (0, 1, 1)
    assert counts.erased == 7  # two engagements with outcome and rating, and the link
    assert counts.files == 1


def test_the_other_party_and_the_other_side_of_the_link_are_told():
    world = erased_world()
    client = counts_of(world, "c", role="client")
    assert (client.engagements, client.erased) == (3, 6)  # two with the stranger, and the new one
    there = counts_of(world, "w2", 2)
    assert (there.files, there.bad, there.erased) == (1, 1, 1)
    assert counts_of(world, "stranger").erased == 0


def test_a_whole_erasure_takes_every_linked_file():
    world = erased_world("whole")
    assert counts_of(world).erased == 7
    there = counts_of(world, "w2", 2)
    assert (there.files, there.engagements, there.erased) == (1, 0, 4)


def test_erasing_closes_no_file(monkeypatch):
    """A worker with as many records as a score may read has them erased, and goes on working."""
    world = small_world()
    full = len(read_file(world.store, 1, handle("w"), world.state.size))
    for spare, held in ((0, True), (-1, False)):
        monkeypatch.setattr(reading, "FILE_LEAVES_MAX", full + spare)
        if held:
            assert counts_of(world).erased == 0
        else:
            with pytest.raises(InvalidInput, match="more leaves than"):
                bundle_of(world)
    monkeypatch.setattr(reading, "FILE_LEAVES_MAX", full)
    world.run(world.erasure("w"))
    assert len(read_file(world.store, 1, handle("w"), world.state.size)) == 2 * full + 1
    assert counts_of(world).erased == 6


def test_every_record_erased():
    world = small_world()
    world.run(world.erasure("w"))
    data = bundle_of(world)
    [file] = decode_bundle(data).files
    assert file.openings == ()
    found = verify_bundle(data, policy_of(world))
    assert found.valid, found.steps
    assert found.answer.thin_file
    assert found.answer.evidence.erased == sum(is_read(leaf) for leaf in file.leaves) == 6


def test_a_bundle_given_out_before_still_holds_and_grows_stale():
    world = linked_world()
    before = bundle_of(world)
    world.run(world.erasure("w"))
    found = verify_bundle(before, policy_of(world), now_ms=world.state.time + 31 * DAY)
    assert (found.valid, found.stale) == (True, True)


# --- older checkpoints ---


def test_a_checkpoint_before_the_erasure_is_refused_by_every_node_alike():
    world = linked_world()
    certified = certify(world)
    asked = [("w", 1), ("w2", 2), ("c", 1)]
    for name, platform in asked:
        assert bundle_of(world, name, platform, certified=certified)
    world.run(world.erasure("w"))
    assert world.store.get(_submission_key(world)) is not None, "the opening is still held here"
    for name, platform in asked:
        question = ask(world.store, certified, platform, handle(name))
        with pytest.raises(Erased, match="erased since"):
            bundle_of(world, name, platform, certified=certified)
        with pytest.raises(Erased, match="erased since"):
            answer(world.store, certified, question)
    assert bundle_of(world, "stranger", certified=certified)


def _submission_key(world):
    for key, _ in world.store.scan(b"S", b"T"):
        return key
    raise AssertionError


def test_between_two_blocks_of_one_erasure_each_checkpoint_says_what_is_gone(monkeypatch):
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 5)
    world = linked_world()
    world.run(world.erasure("w"))
    erased = [counts_of(world).erased]
    while world.state.erasing:
        middle = certify(world)
        world.run(world.open(f"n{world.state.height}", "stranger"))
        erased.append(counts_of(world).erased)
        if erased[-1] > erased[-2]:
            with pytest.raises(Erased):
                bundle_of(world, certified=middle)
    assert erased == sorted(erased)
    assert len(set(erased)) > 2
    assert erased[-1] == 7


# --- what a liar would try ---


def test_a_change_of_any_one_byte_is_refused():
    world = erased_world()
    policy, data = policy_of(world), bundle_of(world)
    assert verify_bundle(data, policy).valid
    for at in range(len(data)):
        for flip in (1 << at % 8, 0xFF):
            changed = bytearray(data)
            changed[at] ^= flip
            assert not verify_bundle(bytes(changed), policy).valid, f"byte {at}"


def liars(world, before):
    """What is done to a bundle of `erased_world`; `before`: the same file before the erasure."""
    data = bundle_of(world)
    [file] = decode_bundle(data).files
    old = {
        leaf.log_index: opening
        for each in decode_bundle(before).files
        if each.handle == file.handle
        for leaf, opening in zip(filter(is_read, each.leaves), each.openings, strict=True)
    }
    marks = [leaf for leaf in file.leaves if leaf.type == ERASURE_TYPE and leaf.target is not None]
    unmarked = tuple(leaf for leaf in file.leaves if leaf not in marks)
    every = (*old.values(), *file.openings)
    assert all(isinstance(each, Opening) for each in every)
    first = old[min(old)]
    elsewhere = tuple(moved(each, target=0) if each is marks[-1] else each for each in file.leaves)
    swapped = list(file.leaves)
    swapped[-4], swapped[-3] = swapped[-3], swapped[-4]
    yield "openings", forge_file(data, openings=every)
    yield "openings", forge_file(data, openings=(first, *file.openings))
    yield "openings", forge_file(data, openings=(first, *file.openings[1:]))
    yield "openings", forge_file(data, openings=file.openings[1:])
    yield "openings", forge_file(data, openings=())
    yield "openings", forge_file(data, openings=file.openings[::-1])
    yield "files", forge_file(data, leaves=unmarked, openings=every)
    yield "files", forge_file(data, leaves=tuple(each for each in file.leaves if each != marks[0]))
    yield "files", forge_file(data, leaves=(*file.leaves, marks[0]))
    yield "files", forge_file(data, leaves=tuple(swapped))
    yield "files", forge_file(data, leaves=elsewhere)
    files = decode_bundle(data).files
    [there] = decode_bundle(bundle_of(world, "w2", 2)).files
    both = tuple(sorted((*files, there), key=lambda each: (each.platform, each.handle)))
    yield "links", forge(data, files=both)


def test_what_a_liar_does_to_erased_records_is_refused():
    before = bundle_of(linked_world())
    world = erased_world()
    for step, data in liars(world, before):
        assert failed(data, world)[0] == step


# --- whatever execution makes ---


def random_world(seed):
    """A ledger in which subjects work, join and erase at random; few leaves fit in a block."""
    rng = random.Random(seed)
    world = World(genesis_of(4, BOUNDS))
    world.run(*(world.register(name, key=True) for name in ("w", "c", "stranger")))
    world.run(*(world.register(name, 2, key=True) for name in ("w2", "c2")), lane=2)
    world.run(world.link((1, "w"), (2, "w2")))
    opened = []
    for block in range(rng.randrange(6, 22)):
        lane = rng.choice((1, 2))
        made = []
        for at in range(rng.randrange(1, 5)):
            name = f"e{block}-{at}"
            if rng.random() < 0.6:
                parties = rng.sample(("w", "c", "stranger") if lane == 1 else ("w2", "c2"), 2)
                made.append(world.open(name, *parties, platform=lane))
                opened.append((name, lane, *parties))
            for name, platform, _, client in rng.sample(opened, min(len(opened), 2)):
                if platform == lane:
                    made.append(world.outcome(name, platform=platform))
                    made.append(world.rating(name, client, platform=platform))
            if rng.random() < 0.12:
                subject, platform = rng.choice(SUBJECTS)
                scope = rng.choice(("platform", "whole"))
                made.append(world.erasure(subject, platform, scope))
            if rng.random() < 0.08:
                made.append(world.link((1, rng.choice(("w", "c"))), (2, rng.choice(("w2", "c2")))))
        world.run(*made, lane=lane)
        for record_id in _accepted_erasures(world):
            if rng.random() < 0.3:
                platform = rng.choice((1, 2, 3, 4))
                world.run(world.ack(record_id, platform), lane=platform)
    return world


def _accepted_erasures(world):
    found = {}
    for name, platform in SUBJECTS:
        for item in read_file(world.store, platform, handle(name), world.state.log.size):
            if item.leaf.type == ERASURE_TYPE and item.submission is not None:
                found[item.leaf.log_index] = commitment(item.submission)
    return list(found.values())


@pytest.mark.parametrize("seed", range(12))
def test_both_sides_of_execution_agree_on_what_is_erased(seed, monkeypatch):
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 6)
    world = random_world(seed)
    certified = certify(world)
    for name, platform in SUBJECTS:
        question = ask(world.store, certified, platform, handle(name))
        data = bundle_of(world, name, platform, certified=certified)
        found = verify_bundle(data, policy_of(world))
        assert found.valid, found.steps
        assert found.answer == answer(world.store, certified, question)
        joined = closure(world.store, platform, handle(name), certified.size)
        assert found.answer.evidence.files == len(joined)
