"""Erasure on the ledger: rules, leaves, the queue over blocks, and replay from what is left."""

import random
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from ledger import erasure_queue
from ledger.batch import Submission, commitment
from ledger.encoding import decode, encode
from ledger.epochs import policy_of
from ledger.erasing import residue_of, residues_of
from ledger.erasure_rows import ErasureRow, FileRange, erasure_key, oldest_erasure
from ledger.errors import InvalidInput, Malformed, StoreDamaged
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
    read_leaf,
    read_place,
    read_subject,
)
from ledger.genesis import FIRST_BOUNDS
from ledger.index import Index
from ledger.records import TAGS, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.replay import Finding, ReaderSource, Replay, replay
from ledger.residue import Residue
from ledger.rows import (
    BlockRow,
    LeafRow,
    SubjectRow,
    block_key,
    describe_key,
    lane_key,
    leaf_key,
    need_row,
    residue_key,
    submission_key,
)
from ledger.state import Applied, apply_block, apply_in_turns, load
from ledger.store import (
    ERASURE,
    FILE,
    INDEX,
    REFUSED,
    RESIDUE,
    SUBJECT,
    MemoryStore,
    after,
    subject_key,
)
from ledger.trust import ReplayOn, trust_of
from tests.ledger.world import DAY, World, genesis_of, handle, key_of

WINDOW = 16
"""Blocks that the index of a `World` keeps."""
PEOPLE = tuple(f"w{n}" for n in range(4)) + tuple(f"c{n}" for n in range(3))
ERASABLE = frozenset(
    TAGS[kind] for kind in (SubjectRegister, SubjectLink, EngagementOpen, EngagementOutcome, Rating)
)


def key(name: str) -> bytes:
    return subject_key(1, handle(name))


# --- a node that destroys what its ledger erases ---


class Eraser:
    """Executes like any node, and puts residues in the place of openings as it is told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: list[tuple[int, int, int, int]] = []
        self.erased: list[tuple[int, int, int, int]] = []

    def block(self) -> Applied:
        applied = self.world.block()
        self.waiting.extend(applied.erased)
        return applied

    def run(self, *said: object, lane: int = 1) -> Applied:
        self.world.put(lane, list(said))  # type: ignore[arg-type]
        return self.block()

    def destroy(self, count: int | None = None) -> None:
        """Destroy the openings that wait, or the first `count` of them."""
        taken = self.waiting[:count]
        del self.waiting[: len(taken)]
        self.erased.extend(taken)
        store = self.world.store
        residues = list(residues_of(store, self.world.state.vocabulary, taken))
        for (lane, height, position, _), residue in zip(taken, residues, strict=True):
            name = store.get(lane_key(lane, height))
            assert name is not None
            rows = {
                residue_key(name, position): encode(residue),
                submission_key(name, position): None,
            }
            store.write(rows)


def findings(world: World, store: MemoryStore | None = None) -> list[Finding]:
    held = store or world.store
    steps = list(replay(world.genesis, ReaderSource(held), stored=held))
    return [finding for step in steps for finding in step.findings]


# --- random ledgers ---


def market(seed: int, *, platforms: int = 2) -> tuple[Eraser, dict[bytes, bytes]]:
    """A random ledger with erasures in it: of one platform's file or the whole, by several people,
    again and again; records about them before, between and after; refused ones; links. Openings
    are destroyed now and then. Besides: the openings by commitment, as they were."""
    drawn = random.Random(seed)
    world = World(genesis_of(platforms, bounds=replace(FIRST_BOUNDS, epoch_blocks=3)))
    node = Eraser(world)
    assurances = ("none", "contact", "document", "in-person")
    people = [world.register(each, key=True, assurance=drawn.choice(assurances)) for each in PEOPLE]
    first = [world.submit(each) for each in people]
    others = [world.submit(world.register(each, 2, key=True)) for each in "vx"]
    world.put(1, first)
    world.put(2, others)
    node.block()
    opened: list[tuple[str, str, str]] = []
    asked: list[bytes] = []
    openings = {commitment(each): encode(each) for each in (*first, *others)}
    for _ in range(16):
        world.time += drawn.choice((1, DAY, 9 * DAY, 40 * DAY))
        said: list[Submission] = []
        for _ in range(drawn.randrange(1, 4)):
            name, worker, client = f"e{len(opened)}", *drawn.sample(PEOPLE, 2)
            back = drawn.choice((0, 0, 3 * DAY, 30 * DAY))
            opened.append((name, worker, client))
            said.append(world.submit(world.open(name, worker, client, at=world.time - back)))
        for engagement in drawn.sample(opened, min(len(opened), 4)):
            said += _follows(world, drawn, *engagement)
        said += [world.submit(world.outcome("nothing")), world.submit(b"no record")]
        said.append(drawn.choice(said))
        said.append(world.submit(world.register(drawn.choice(PEOPLE), key=True)))
        said.append(world.submit(world.rating(drawn.choice(opened)[0], "stranger")))
        if drawn.random() < 0.5:
            said.append(_link(world, drawn))
        if drawn.random() < 0.5:
            scope = drawn.choice(("platform", "whole"))
            said.append(world.erasure(drawn.choice(PEOPLE), scope=scope))
        if drawn.random() < 0.2:
            said.append(world.erasure(drawn.choice("vx"), 2, scope="whole"))
        said += [world.submit(world.ack(each)) for each in asked[-2:]]
        drawn.shuffle(said)
        openings.update({commitment(each): encode(each) for each in said})
        asked += [commitment(each) for each in said if _is_erasure(each)]
        lane = drawn.choice((1, 1, 1, 2))
        node.run(*said, lane=lane)
        if drawn.random() < 0.4:
            node.destroy(drawn.randrange(1 + len(node.waiting)))
    return node, openings


def _is_erasure(item: Submission) -> bool:
    return item.record[:2] == bytes([0x96, TAGS[Erasure]])


def _link(world: World, drawn: random.Random) -> Submission:
    one = (1, drawn.choice(PEOPLE))
    other = drawn.choice(((2, "v"), (2, "x"), (1, drawn.choice(PEOPLE))))
    return world.link(one, other) if one != other else world.submit(b"")


def _follows(
    world: World, drawn: random.Random, name: str, worker: str, client: str
) -> list[Submission]:
    said = [
        {"status": "completed", "acceptance": drawn.choice(("accepted", "rejected", "partial"))},
        {"status": "late", "lateness_band": 3, "fault": drawn.choice(("none", "client"))},
        {"status": "no-show", "acceptance": "unknown", "fault": "worker"},
    ]
    basis = drawn.choice(("platform", "counterparty"))
    outcome = world.outcome(name, basis=basis, **drawn.choice(said))
    of_worker = world.rating(name, client, value=drawn.randrange(1, 6))
    signing = key_of("subject", worker)
    of_client = world.rating(
        name, worker, direction="of-client", value=drawn.randrange(1, 6), rater_key=signing.public
    )
    return [world.submit(outcome), world.submit(of_worker), world.submit(of_client, signing)]


@pytest.fixture(params=[7, 40, 1_024])
def leaves_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many erasure leaves a block may append."""
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", request.param)
    return int(request.param)


@pytest.mark.parametrize("seed", range(5))
def test_openings_and_residues_lead_to_the_same_rows(seed: int, leaves_max: int) -> None:
    del leaves_max
    node, _ = market(seed)
    world = node.world
    assert findings(world) == [], "as much as happened to be destroyed meanwhile"
    assert node.erased
    assert node.waiting
    node.destroy(len(node.waiting) // 2)
    assert findings(world) == []
    node.destroy()
    assert findings(world) == []
    steps = list(replay(world.genesis, ReaderSource(world.store)))
    assert sum(step.erased for step in steps) == len(node.erased) >= 40
    last = steps[-2].applied
    assert last is not None
    assert (last.size, last.root) == (world.state.size, world.state.log.root())


@pytest.mark.parametrize("seed", range(3))
def test_execution_from_residues_erases_the_same(seed: int, leaves_max: int) -> None:
    del leaves_max
    node, _ = market(seed)
    erased: dict[int, list[tuple[int, int, int, int]]] = {}
    for step in replay(node.world.genesis, ReaderSource(node.world.store)):
        if step.applied is not None:
            erased[step.height] = sorted(step.applied.erased)
    node.destroy()
    again = {
        step.height: sorted(step.applied.erased)
        for step in replay(node.world.genesis, ReaderSource(node.world.store))
        if step.applied is not None
    }
    total = sum(map(len, erased.values()))
    assert total == len(node.erased)
    assert {h: len(each) for h, each in again.items()} == {h: len(e) for h, e in erased.items()}
    taken = {each for block in erased.values() for each in block}
    assert {each for block in again.values() for each in block} == taken


# --- file leaves against a literal reference ---


@dataclass
class Asked:
    """An erasure that waits in the reference's queue: what is left to look at, and its scope."""

    log_index: int
    work: list[int]
    scope: set[bytes]


class Literal:
    """Files as the specification words them, computed the long way round from blocks and openings.

    It shares with execution the order of the log and the annotation hashes, and nothing else.
    """

    def __init__(self, world: World, openings: dict[bytes, bytes], bound: int) -> None:
        self.world, self.openings, self.bound = world, openings, bound
        self.files: dict[bytes, list[FileLeaf]] = {}
        self.records: dict[int, tuple[LeafRow, list[bytes]]] = {}
        self.ids: dict[bytes, int] = {}
        self.parties: dict[bytes, list[bytes]] = {}
        self.dead: set[int] = set()
        self.refused: list[tuple[int, set[bytes]]] = []
        self.queue: list[Asked] = []
        self.done: dict[int, int] = {}
        for height in range(1, world.state.height + 1):
            self.block(height)

    def block(self, height: int) -> None:
        row = need_row(self.world.store, BlockRow, block_key(height))
        leaves = {at: read_leaf(self.world.store, at) for at in range(row.first, row.size - 1)}
        places = [((leaf.lane, leaf.height, leaf.position), at) for at, leaf in leaves.items()]
        places += [((each.lane, each.height, each.position), -1) for each in row.refusals]
        refused = {(each.lane, each.height, each.position): each for each in row.refusals}
        size = row.first
        for place, at in sorted(places):
            if at >= 0:
                self.enter(at, leaves[at])
                size = at + 1
            else:
                self.refuse(refused[place].commitment, size)
        self.erase(height)

    def opened(self, record_id: bytes) -> object:
        return decode_record(decode(Submission, self.openings[record_id], bytes_max=9_999).record)

    def enter(self, at: int, leaf: LeafRow) -> None:
        files = self.files_of(self.opened(leaf.commitment), at)
        self.records[at] = (leaf, files)
        self.ids[leaf.commitment] = at
        for subject in files:
            self.append(subject, at, at, leaf.target)

    def append(self, subject: bytes, at: int, own: int, target: int | None) -> None:
        row = self.records[own][0]
        hashed = row.annotation_hash
        leaf = FileLeaf(at, row.time, row.type, row.commitment, target, hashed)
        self.files.setdefault(subject, []).append(leaf)

    def refuse(self, record_id: bytes, size: int) -> None:
        try:
            record = self.opened(record_id)
        except Malformed:
            return
        named = set()
        if isinstance(record, SubjectRegister):
            named = {subject_key(record.platform, record.handle)}
        elif isinstance(record, SubjectLink | EngagementOpen):
            named = set(sides(record))
        elif isinstance(record, EngagementOutcome | Rating):
            named = set(self.parties.get(record.reference, ()))
            if isinstance(record, Rating):
                named.add(subject_key(record.platform, record.rater))
        self.refused.append((size, named))

    def files_of(self, record: object, at: int) -> list[bytes]:
        match record:
            case SubjectRegister():
                return [subject_key(record.platform, record.handle)]
            case SubjectLink():
                return sides(record)
            case EngagementOpen():
                return self.parties.setdefault(record.reference, sides(record))
            case EngagementOutcome() | Rating():
                return self.parties[record.reference]
            case Erasure():
                return self.scope(record, at)
            case ErasureAck():
                assert self.ids[record.erasure] in self.done
                asked = self.opened(record.erasure)
                assert isinstance(asked, Erasure)
                return [subject_key(asked.platform, asked.handle)]
        raise AssertionError(record)

    def scope(self, record: Erasure, at: int) -> list[bytes]:
        files = {subject_key(record.platform, record.handle)}
        while record.scope == "whole":
            joined = [
                set(both)
                for target, (leaf, both) in self.records.items()
                if leaf.type == TAGS[SubjectLink] and target not in self.dead
            ]
            more = files.union(*(link for link in joined if link & files))
            if more == files:
                break
            files = more
        work = [
            leaf.log_index
            for subject in sorted(files)
            for leaf in self.files[subject]
            if leaf.type in ERASABLE
        ]
        self.queue.append(Asked(at, work, files))
        return sorted(files)

    def erase(self, height: int) -> None:
        left = self.bound
        while self.queue:
            asked = self.queue[0]
            while asked.work:
                target = asked.work[0]
                files = self.records[target][1]
                if target not in self.dead:
                    if len(files) > left:
                        return
                    left -= len(files)
                    self.dead.add(target)
                    for subject in files:
                        self.append(subject, asked.log_index, asked.log_index, target)
                asked.work.pop(0)
            for each in list(self.refused):
                if each[0] <= asked.log_index and each[1] & asked.scope:
                    if not left:
                        return
                    left -= 1
                    self.refused.remove(each)
            self.done[asked.log_index] = height
            self.queue.pop(0)


def sides(record: SubjectLink | EngagementOpen) -> list[bytes]:
    if isinstance(record, EngagementOpen):
        return [subject_key(record.platform, each) for each in (record.worker, record.client)]
    return [
        subject_key(record.first_platform, record.first_handle),
        subject_key(record.second_platform, record.second_handle),
    ]


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
    """w and c on platform 1, v on platform 2, each with a key; w and v are linked; a is open."""
    made = World()
    made.put(1, [made.register(name, key=True) for name in ("w", "c")])
    made.put(2, [made.register("v", 2, key=True)])
    made.block()
    made.run(made.link((1, "w"), (2, "v")), made.open("a"), made.outcome("a"))
    return made


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
    assert world.rules(world.erasure("w"), world.erasure("v", 2, scope="whole")) == ["", ""]


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
    applied = world.run(world.erasure("w"))
    assert applied.erased == ()
    assert not world.state.erasing
    assert len(read_file(world.store, 1, handle("w"), world.state.size)) == before + 1


def test_looks_are_bounded_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LOOKS_PER_BLOCK", 3)
    for positions in (4, 9):
        items = read_file(world.store, 1, handle("w"), world.state.size)
        assert len(items) == positions
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


# --- residues ---


@pytest.mark.parametrize("seed", range(3))
def test_a_residue_is_the_same_bytes_whenever_it_is_made(seed: int) -> None:
    node, openings = market(seed)
    world, store = node.world, node.world.store
    whole = store.copy()
    for lane, height, position, _ in node.erased:
        name = store.get(lane_key(lane, height)) or b""
        left = need_row(store, Residue, residue_key(name, position))
        whole.write({submission_key(name, position): openings[left.commitment]})
    for later in (node.erased, list(reversed(node.erased)), sorted(node.erased)):
        made = residues_of(whole, world.state.vocabulary, later)
        for (lane, height, position, erasure), residue in zip(later, made, strict=True):
            name = store.get(lane_key(lane, height)) or b""
            assert store.get(residue_key(name, position)) == encode(residue)
            assert residue.erasure == erasure


def test_an_erasure_has_no_residue(world: World) -> None:
    world.run(world.erasure("w"))
    with pytest.raises(StoreDamaged, match="never erased"):
        residue_of(world.store, world.state.vocabulary, (1, 3, 0), 5)


def test_a_refused_copy_has_the_rule_that_it_broke_each_time() -> None:
    world = World()
    world.run(world.register("w", key=True), world.register("c"))
    node, said = Eraser(world), world.submit(world.outcome("a"))
    node.run(said)
    node.run(world.open("a", at=world.time - 1))
    node.run(world.outcome("a"), said, said)
    node.run(said, lane=2)
    node.run(world.erasure("w"))
    node.destroy()
    rules = [
        decode(Residue, data, bytes_max=9_999).rule
        for _, data in world.store.scan(RESIDUE, after(RESIDUE))
    ]
    assert sorted(filter(None, rules)) == [
        "foreign-platform",
        "outcome-exists",
        "outcome-exists",
    ]
    assert findings(world) == []
    left = list(world.store.scan(REFUSED, after(REFUSED)))
    assert left == [], "but that of the first, whose engagement was not known: it names nobody"


# --- what no erasure justifies ---


def test_a_residue_without_an_erasure_is_found(world: World) -> None:
    node = Eraser(world)
    node.run(world.open("b", "w", "w"), world.outcome("zz"))
    world.run(world.erasure("v", 2))
    world.block()
    assert findings(world) == []
    opened = (1, 2, 1)
    for place, erasure in ((opened, 9_999), (opened, world.state.size - 3), ((1, 3, 0), 12)):
        store = world.store.copy()
        name = store.get(lane_key(*place[:2])) or b""
        residue = residue_of(store, world.state.vocabulary, place, erasure)
        key_ = residue_key(name, place[2])
        store.write({submission_key(name, place[2]): None, key_: encode(residue)})
        found = [each for each in findings(world, store) if each.kind == "residue"]
        assert [each.where for each in found] == [describe_key(key_)]


def test_a_residue_of_another_erasure_is_found(world: World) -> None:
    node = Eraser(world)
    node.run(world.erasure("w"), world.erasure("c"))
    node.destroy()
    assert findings(world) == []
    rows = list(world.store.scan(RESIDUE, after(RESIDUE)))
    for key_, data in rows:
        residue = decode(Residue, data, bytes_max=9_999)
        store = world.store.copy()
        store.write({key_: encode(replace(residue, erasure=residue.erasure + 1))})
        assert [each.kind for each in findings(world, store)] == ["residue"]


def test_a_residue_that_stands_for_an_erasure_is_refused(world: World) -> None:
    asked = world.erasure("w")
    world.run(asked)
    world.run(world.erasure("w"))
    store = world.store.copy()
    name = world.tips[1].hash
    leaf = read_leaf(store, world.state.size - 2)
    false = Residue(leaf.commitment, 8, leaf.annotation_hash, "", asked.record)
    store.write({submission_key(name, 0): None, residue_key(name, 0): encode(false)})
    assert {"root", "residue"} <= {each.kind for each in findings(world, store)}


def test_marks_in_leaf_rows_are_checked(world: World) -> None:
    world.run(world.erasure("v", 2))
    for at, mark in ((5, None), (5, 10), (6, 9), (6, 2**40)):
        store = world.store.copy()
        row = need_row(store, LeafRow, leaf_key(at))
        store.write({leaf_key(at): encode(replace(row, erasure=mark))})
        found = findings(world, store)
        assert [(each.kind, each.where) for each in found] == [("row", describe_key(leaf_key(at)))]


def test_rows_of_erasures_are_compared(world: World) -> None:
    world.run(world.outcome("a"), world.erasure("v", 2))
    rows = [
        key_
        for prefix in (ERASURE, REFUSED, FILE)
        for key_, _ in world.store.scan(prefix, after(prefix))
    ]
    assert {key_[:1] for key_ in rows} == {ERASURE, REFUSED, FILE}
    for key_ in rows:
        data = world.store.get(key_) or b""
        for damaged in (None, data[:-1] + bytes([data[-1] ^ 1])):
            store = world.store.copy()
            store.write({key_: damaged})
            assert describe_key(key_) in {each.where for each in findings(world, store)}
    store = world.store.copy()
    extra = REFUSED + key("w") + bytes(22)
    store.write({extra: key("w")})
    assert [each.where for each in findings(world, store)] == [describe_key(extra)]


def test_damaged_rows_are_named(world: World) -> None:
    at = world.state.size
    for damaged in (SUBJECT + key("c"), leaf_key(6), FILE + key("w") + bytes(4), leaf_key(3)):
        store = world.store.copy()
        world_ = World(world.genesis)
        world_.state, world_.store, world_.time = load(store, WINDOW), store, world.time
        world_.tips, world_.lane_times = dict(world.tips), dict(world.lane_times)
        world_.put(1, [world.erasure("w")])
        store.write({damaged: None})
        with pytest.raises(StoreDamaged, match="is missing"):
            world_.block()
    store = world.store.copy()
    store.write({erasure_key(at): b"\xc0"})
    with pytest.raises(StoreDamaged, match=f"erasure row {at}"):
        load(store, WINDOW)


def test_a_file_row_has_one_of_two_forms(world: World) -> None:
    world.run(world.erasure("w"))
    key_ = FILE + key("w") + (5).to_bytes(4)
    data = world.store.get(key_) or b""
    assert len(data) == 24
    for length in (0, 7, 9, 16, 23, 25):
        world.store.write({key_: (data + b"\0")[:length]})
        with pytest.raises(StoreDamaged, match=key_.hex()):
            read_file(world.store, 1, handle("w"), world.state.size)
    world.store.write({key_: data})
    with pytest.raises(InvalidInput, match="more than 8 leaves"):
        read_file(world.store, 1, handle("w"), world.state.size, leaves_max=8)


def test_a_residue_of_another_record_is_named(world: World) -> None:
    node = Eraser(world)
    node.run(world.erasure("w"))
    node.destroy()
    key_, data = next(world.store.scan(RESIDUE, after(RESIDUE)))
    residue = decode(Residue, data, bytes_max=9_999)
    world.store.write({key_: encode(replace(residue, commitment=bytes(32)))})
    assert ("submission", describe_key(key_)) in {(e.kind, e.where) for e in findings(world)}


# --- going on from an earlier replay ---


def _gone_on(world: World, height: int) -> list[Finding]:
    """What a replay finds that goes on behind a block, on the rows of one that came so far."""
    rows = MemoryStore()
    source = ReaderSource(world.store)
    first = Replay(world.genesis, source, None, rows)
    assert [step.height for step in first.steps(height)][-1] == height
    policy = policy_of("example.org/standing", world.state.validators)
    trust = trust_of(first, policy)
    items = ((each[1:], value) for each, value in rows.scan(INDEX, after(INDEX)))
    index = Index.build(items, 1, version=height)
    again = ReplayOn(
        world.genesis, source, stored=world.store, store=rows.copy(), trust=trust, index=index
    )
    assert again.state.erasing == first.state.erasing
    steps = list(again.steps(None))
    assert again.state.log.root() == world.state.log.root()
    return [finding for step in steps for finding in step.findings]


def test_a_replay_goes_on_in_the_midst_of_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 5)
    node, _ = market(1)
    world = node.world
    node.destroy()
    for height in range(1, world.state.height + 1):
        assert _gone_on(world, height) == []


def test_a_replay_that_goes_on_finds_what_no_erasure_justifies(world: World) -> None:
    world.run(world.open("b"), world.erasure("v", 2))
    store = world.store
    name = store.get(lane_key(1, 3)) or b""
    made = residue_of(store, world.state.vocabulary, (1, 3, 0), 10)
    row = need_row(store, LeafRow, leaf_key(9))
    store.write(
        {
            residue_key(name, 0): encode(made),
            submission_key(name, 0): None,
            leaf_key(9): encode(replace(row, erasure=10)),
        }
    )
    found = [(each.kind, each.where) for each in _gone_on(world, 2)]
    assert found == [
        ("residue", describe_key(residue_key(name, 0))),
        ("row", describe_key(leaf_key(9))),
    ]
