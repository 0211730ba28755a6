"""Replay of a ledger with erasures: from openings, from what is left of them, and from lies."""

import pytest
from msgspec.structs import replace

from ledger import erasure_queue
from ledger.encoding import decode, encode
from ledger.epochs import policy_of
from ledger.erasing import residue_of, residues_of
from ledger.erasure_rows import erasure_key
from ledger.errors import InvalidInput, StoreDamaged
from ledger.files import (
    LeafRoom,
    read_file,
    read_leaf,
)
from ledger.replay import Finding, ReaderSource, Replay, replay
from ledger.residue import Residue
from ledger.rows import (
    LeafRow,
    describe_key,
    lane_key,
    leaf_key,
    need_row,
    residue_key,
    submission_key,
)
from ledger.state import load
from ledger.store import (
    ERASURE,
    FILE,
    REFUSED,
    RESIDUE,
    SUBJECT,
    MemoryStore,
    after,
)
from ledger.trust import ReplayOn, trust_of
from ledger.window import load_index
from tests.ledger.eraser import WINDOW, Eraser, findings, key, linked, market
from tests.ledger.world import World, handle


@pytest.fixture
def world() -> World:
    return linked()


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
    world.time += 1
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
    with pytest.raises(InvalidInput, match="more leaves than"):
        read_file(world.store, 1, handle("w"), world.state.size, room=LeafRoom(3, 9))
    assert len(read_file(world.store, 1, handle("w"), world.state.size, room=LeafRoom(4, 5))) == 9
    with pytest.raises(InvalidInput, match="more leaves of erasures than"):
        read_file(world.store, 1, handle("w"), world.state.size, room=LeafRoom(9, 4))


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
    index = load_index(rows, 1, height)
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
