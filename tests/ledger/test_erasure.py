"""Erasure on the ledger: rules, leaves, the queue over blocks."""

import pytest
from msgspec.structs import replace

from ledger import erasure_queue
from ledger.batch import Submission, commitment
from ledger.encoding import decode, encode
from ledger.erasure_rows import ErasureRow, FileRange, erasure_key, oldest_erasure
from ledger.files import (
    FileItem,
    FileLeaf,
    closure,
    erased_in,
    file_head,
    file_value,
    index_key,
    links_of,
    read_file,
    read_place,
    read_subject,
)
from ledger.genesis import FIRST_BOUNDS
from ledger.records import TAGS, decode_record
from ledger.records.erasure import Erasure
from ledger.records.subject import SubjectLink
from ledger.rows import (
    BlockRow,
    SubjectRow,
    block_key,
    need_row,
)
from ledger.state import apply_block, apply_in_turns, load
from ledger.store import (
    ERASURE,
    SUBJECT,
    MemoryStore,
    after,
    subject_key,
)
from tests.ledger.eraser import ERASABLE, WINDOW, Eraser, findings, key, linked, market
from tests.ledger.literal import Literal
from tests.ledger.world import DAY, World, genesis_of, handle, key_of


@pytest.fixture(params=[7, 40, 1_024])
def leaves_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many erasure leaves a block may append."""
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", request.param)
    return int(request.param)


@pytest.mark.parametrize("seed", range(5))
def test_files_are_those_of_a_literal_reading(seed: int, leaves_max: int) -> None:
    node, openings = market(seed)
    store, state = node.world.store, node.world.state
    literal = Literal(node.world, openings, leaves_max)
    assert len(literal.dead) > 20
    for key_, _ in store.scan(SUBJECT, after(SUBJECT)):
        subject = key_[1:]
        platform, name = int.from_bytes(subject[:4]), subject[4:]
        items = read_file(store, platform, name, state.size)
        leaves = [item.leaf for item in items]
        assert leaves == literal.files[subject]
        told = file_value(len(leaves), file_head([encode(each) for each in leaves]))
        assert [item.leaf_bytes for item in items] == [encode(each) for each in leaves]
        assert state.index.get(index_key(0, platform, name)) == told
        row = read_subject(store, platform, name)
        assert row is not None
        assert row.erased == sum(each.type == 30 and each.target is not None for each in leaves)
        _check_openings(items, literal)
        _check_links(literal, store, subject, state.size)
        _check_older_sizes(node.world, subject, leaves)
    erasures = {
        int.from_bytes(key_[1:]): decode(ErasureRow, data, bytes_max=9_999)
        for key_, data in store.scan(ERASURE, after(ERASURE))
    }
    assert {at: each.done for at, each in erasures.items() if each.done} == literal.done
    waiting = [at for at, each in erasures.items() if each.done is None]
    assert state.oldest_erasure == min(waiting, default=None) == oldest_erasure(store)
    assert [each.log_index for each in literal.queue] == waiting


def _check_openings(items: list[FileItem], literal: Literal) -> None:
    erased = erased_in(item.leaf for item in items)
    for item in items:
        if item.leaf.type not in ERASABLE:
            assert item.submission is not None
            assert item.erasure is None
            continue
        assert (item.leaf.log_index in erased) == (item.leaf.log_index in literal.dead)
        assert (item.submission is None) == (item.leaf.log_index in erased)
        assert (item.erasure is not None) == (item.leaf.log_index in erased)


def _check_links(literal: Literal, store: MemoryStore, subject: bytes, size: int) -> None:
    found = []
    for at, (leaf, both) in literal.records.items():
        if leaf.type == TAGS[SubjectLink] and at not in literal.dead and subject in both:
            found += [each for each in both if each != subject]
    linked = links_of(store, int.from_bytes(subject[:4]), subject[4:], size)
    assert linked == [(int.from_bytes(each[:4]), each[4:]) for each in found]
    row = need_row(store, SubjectRow, SUBJECT + subject)
    assert row.links == tuple(sorted(found))
    joined = closure(store, int.from_bytes(subject[:4]), subject[4:], size)
    assert {subject_key(*each) for each in joined} >= {subject, *found}


def _check_older_sizes(world: World, subject: bytes, leaves: list[FileLeaf]) -> None:
    """At each block's end the file is what it is now, up to some leaf: the one that its index told
    of then."""
    platform, name = int.from_bytes(subject[:4]), subject[4:]
    for height in world.state.index.versions()[1:]:
        size = need_row(world.store, BlockRow, block_key(height)).size
        items = read_file(world.store, platform, name, size)
        assert [item.leaf for item in items] == leaves[: len(items)]
        head = file_head([item.leaf_bytes for item in items])
        told = world.state.index.get(index_key(0, platform, name), height)
        assert told == file_value(len(items), head)
        last = read_place(world.store, subject, len(items) - 1, size)
        assert last is not None
        assert last.log_index == items[-1].leaf.log_index
        assert read_place(world.store, subject, len(items), size) is None


# --- rules ---


@pytest.fixture
def world() -> World:
    return linked()


def test_who_may_erase(world: World) -> None:
    asked = decode_record(world.erasure("w").record)
    assert isinstance(asked, Erasure)
    good, other = key_of("subject", "w"), key_of("subject", "c")
    assert world.rules(
        world.submit(asked),
        world.submit(asked, other),
        world.submit(replace(asked, handle=handle("nobody")), good),
        world.submit(replace(asked, platform=2), good),
        world.submit(replace(asked, key=other.public), other),
        world.register("mute"),
        world.submit(replace(asked, handle=handle("mute")), good),
    ) == [
        "signature-count",
        "bad-signature",
        "unknown-subject",
        "unknown-subject",
        "key-not-registered",
        "",
        "subject-has-no-key",
    ]
    assert world.rules(world.submit(asked, good), lane=2) == [""], "through any lane"
    world.time += 1
    assert world.rules(world.erasure("w")) == [""], "again, once the first is done"


def test_no_bound_on_files_stands_against_an_erasure() -> None:
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, record_files_max=1)))
    world.run(world.register("w", key=True), world.register("c", key=True))
    assert world.rules(world.link((1, "w"), (1, "c"))) == ["too-many-files"]
    assert world.rules(world.erasure("w", scope="whole")) == [""]


def test_one_erasure_at_a_time_in_a_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 2)
    assert world.rules(world.erasure("w"), world.erasure("w"), world.erasure("c")) == [
        "",
        "erasure-under-way",
        "",
    ]
    assert world.state.erasing
    assert world.rules(world.erasure("v", 2, scope="whole")) == ["erasure-under-way"]
    assert world.rules(world.erasure("v", 2)) == [""]
    while world.state.erasing:
        world.block()
    world.time += 1
    assert world.rules(world.erasure("w"), world.erasure("v", 2, scope="whole")) == ["", ""]


def test_an_erasure_is_good_once(world: World) -> None:
    """Nobody hands in a subject's old erasure again, to take what came since."""
    first, whole = world.erasure("w"), world.erasure("v", 2, scope="whole")
    assert world.rules(first, lane=2) == [""]
    world.time += 6 * DAY
    assert world.rules(world.open("b"), world.outcome("b")) == ["", ""]
    replayed = Submission(bytes(16), first.record, first.signatures)
    for lane in (1, 2):
        refused = world.run(replayed, lane=lane)
        assert [rule for *_, rule in refused.records] == ["dated-before-erasure"]
        assert refused.erased == ()
    assert world.rules(whole, lane=2) == [""], "the link is erased: it reaches w's file no more"
    assert world.rules(world.erasure("w")) == [""]
    assert findings(world) == []


def test_an_erasure_is_posted_soon_or_never(world: World) -> None:
    """What was refused, or signed and kept, takes nothing later, through any lane."""
    refused, kept = world.erasure("new"), world.erasure("v", 2, scope="whole")
    assert world.rules(refused) == ["unknown-subject"]
    assert world.rules(world.register("new", key=True)) == [""]
    for more, rule in ((0, ""), (1, "erasure-stale")):
        asked = world.erasure("c")
        world.put(1, [asked], time=world.time + 7 * DAY + more)
        assert [rule for *_, rule in world.block().records] == [rule], "7 days, to the ms"
    for late in (refused, kept):
        for lane in (1, 2):
            applied = world.run(late, lane=lane)
            assert [rule for *_, rule in applied.records] == ["erasure-stale"]
            assert applied.erased == ()
    assert world.rules(world.erasure("v", 2, scope="whole"), world.erasure("new")) == ["", ""]
    assert findings(world) == []


@pytest.mark.parametrize("asked", [("w", 1), ("v", 2)])
@pytest.mark.parametrize("scope", ["platform", "whole"])
def test_an_erased_link_is_not_handed_in_again(asked: tuple[str, int], scope: str) -> None:
    """Whoever kept the signed link of two files joins them no more, nor one dated before."""
    world = World()
    world.run(world.register("w", key=True), world.register("c", key=True))
    world.run(world.register("v", 2, key=True), lane=2)
    unused = world.link((1, "w"), (2, "v"))
    link = world.link((1, "w"), (2, "v"))
    assert world.rules(link) == [""]
    erasure = world.erasure(*asked, scope=scope)
    world.time += DAY
    between = world.link((1, "w"), (2, "v"))
    assert world.rules(erasure, lane=2) == [""]
    world.time += 90 * DAY
    for kept in (link, unused, between):
        again = Submission(bytes(16), kept.record, kept.signatures)
        assert world.rules(again) == ["dated-before-erasure"]
        assert world.rules(again, lane=2) == ["dated-before-erasure"]
        assert closure(world.store, 1, handle("w"), world.state.size) == [(1, handle("w"))]
    assert world.rules(world.link((1, "w"), (2, "v"))) == [""], "both sides want it again"
    assert findings(world) == []
    assert world.rules(world.erasure("w")) == [""], "taken again, the second link is executed anew"
    assert findings(world) == []


def test_acknowledgements(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 2)
    asked = world.erasure("w")
    erasure = commitment(asked)
    assert world.rules(asked, world.ack(erasure), world.ack(bytes(32))) == [
        "",
        "erasure-not-done",
        "unknown-erasure",
    ]
    assert world.rules(world.ack(erasure)) == ["erasure-not-done"]
    while world.state.erasing:
        world.block()
    opened = world.submit(world.open("b"))
    assert world.rules(
        opened,
        world.ack(commitment(opened)),
        world.ack(erasure),
        world.ack(erasure),
        world.ack(erasure, platform=2),
        world.submit(world.ack(erasure), key_of("subject", "w")),
    ) == ["", "unknown-erasure", "", "ack-exists", "foreign-platform", "signature-count"]
    assert world.rules(world.ack(erasure, platform=2), lane=2) == [""]
    items = read_file(world.store, 1, handle("w"), world.state.size)
    at = next(item.leaf.log_index for item in items if item.leaf.commitment == erasure)
    row = need_row(world.store, ErasureRow, erasure_key(at))
    assert (row.commitment, row.acks) == (erasure, (1, 2))
    assert [item.leaf.target for item in items if item.leaf.type == 31] == [at, at]
    assert findings(world) == []


# --- leaves, by hand ---


def test_each_erased_record_has_a_leaf_in_both_files(world: World) -> None:
    before = world.state.size
    asked = world.erasure("w")
    applied = world.run(asked)
    assert not world.state.erasing
    assert applied.erased == (
        (1, 1, 0, before),
        (1, 2, 0, before),
        (1, 2, 1, before),
        (1, 2, 2, before),
    )
    mine = [item.leaf for item in read_file(world.store, 1, handle("w"), world.state.size)]
    assert [leaf.target for leaf in mine[4:]] == [None, 1, 5, 6, 7]
    assert {leaf.log_index for leaf in mine[4:]} == {before}
    assert {leaf.commitment for leaf in mine[4:]} == {commitment(asked)}
    for name, platform, taken in (("c", 1, {6, 7}), ("v", 2, {5})):
        theirs = read_file(world.store, platform, handle(name), world.state.size)
        assert erased_in(item.leaf for item in theirs) == taken
        assert all(item.leaf.type == 30 for item in theirs[-len(taken) :])
    assert closure(world.store, 1, handle("w"), world.state.size) == [(1, handle("w"))]
    assert closure(world.store, 1, handle("w"), before) == [(1, handle("w")), (2, handle("v"))]
    world.time += 1
    assert world.rules(world.link((1, "w"), (2, "v"))) == [""], "an erased link joins nothing"
    assert world.rules(world.erasure("w", scope="whole")) == [""]
    assert findings(world) == []


def test_whole_scope_follows_links_and_platform_scope_does_not(world: World) -> None:
    world.run(world.erasure("w", scope="whole"))
    (row,) = [
        decode(ErasureRow, data, bytes_max=9_999)
        for _, data in world.store.scan(ERASURE, after(ERASURE))
    ]
    assert [each.subject for each in row.files] == [key("w"), subject_key(2, handle("v"))]
    assert all(isinstance(each, FileRange) and each.next == each.until for each in row.files)
    theirs = read_file(world.store, 2, handle("v"), world.state.size)
    assert [item.leaf.target for item in theirs] == [None, None, None, 5, 3]


def test_nothing_to_erase_is_done_at_once(world: World) -> None:
    world.run(world.erasure("w"))
    before = len(read_file(world.store, 1, handle("w"), world.state.size))
    world.time += 1
    applied = world.run(world.erasure("w"))
    assert applied.erased == ()
    assert not world.state.erasing
    assert len(read_file(world.store, 1, handle("w"), world.state.size)) == before + 1


def test_looks_are_bounded_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LOOKS_PER_BLOCK", 3)
    for positions in (4, 9):
        items = read_file(world.store, 1, handle("w"), world.state.size)
        assert len(items) == positions
        world.time += 1
        world.run(world.erasure("w"))
        blocks = 1
        while world.state.erasing:
            world.block()
            blocks += 1
        assert blocks == 2, "4 positions, and then the 5 that have come since"
    assert findings(world) == []


# --- FAULTS 71 ---


def test_open_erase_then_outcome_replays_alike() -> None:
    """Whatever of an engagement is erased, what follows is judged as ever, and replays alike."""
    for said in ((), ("outcome",), ("outcome", "rating")):
        world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=2)))
        node = Eraser(world)
        node.run(world.register("w", key=True), world.register("c", key=True))
        node.run(world.open("a"), world.open("b"), world.open("late"))
        node.run(*(getattr(world, each)("a") for each in said))
        node.run(world.erasure("w"))
        node.destroy()
        follow = [name for name in ("outcome", "rating") if name not in said]
        verdicts = [
            rule for *_, rule in node.run(*(getattr(world, n)("a") for n in follow)).records
        ]
        assert verdicts == [""] * len(follow)
        again = node.run(world.open("a"), world.outcome("a"), world.rating("a"))
        assert [rule for *_, rule in again.records] == [
            "engagement-exists",
            "outcome-exists",
            "rating-exists",
        ]
        assert findings(world) == []
        world.time += 60 * DAY
        node.run(world.rating("b", value=1), world.outcome("b", status="late", lateness_band=1))
        node.run(world.erasure("c"))
        node.destroy()
        assert findings(world) == []
        node.run(world.outcome("late", status="no-show", acceptance="unknown", fault="worker"))
        node.run(world.erasure("w"), world.rating("late", "w", direction="of-client"))
        node.destroy()
        node.run()
        assert findings(world) == []


# --- turns, restarts ---


def test_turns_lead_to_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "TURN_LOOKS", 1)
    node, _ = market(3)
    world = node.world
    world.run(world.erasure("w1"), world.erasure("c1"))
    block, name, batches = world.next_block()
    other = load(world.store.copy(), WINDOW)
    turns = apply_in_turns(other, world.store.copy(), block, name, batches)
    count = 0
    while True:
        try:
            next(turns)
            count += 1
        except StopIteration as end:
            one = end.value
            break
    two = apply_block(world.state, world.store, block, name, batches)
    assert one[1] == two[1]
    assert count >= len(one[1].erased)


def test_a_restart_in_the_midst_of_a_queue_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 5)
    node, _ = market(2)
    world = node.world
    world.run(*(world.erasure(name) for name in ("w0", "c0")))
    assert world.state.erasing
    kept = World(world.genesis)
    kept.store, kept.tips, kept.time = world.store.copy(), dict(world.tips), world.time
    kept.lane_times = dict(world.lane_times)
    while world.state.erasing:
        kept.state = load(kept.store.copy(), WINDOW)
        assert kept.state.oldest_erasure == world.state.oldest_erasure
        assert kept.block() == world.block()
    assert not load(kept.store, WINDOW).erasing
    assert dict(kept.store.scan(b"", b"\xff")) == dict(world.store.scan(b"", b"\xff"))
    assert findings(world) == []
