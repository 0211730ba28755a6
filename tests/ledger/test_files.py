"""Files: frozen leaves and values, bounds, links, and what a damaged file says."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.encoding import decode, encode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.files import (
    FileLeaf,
    LeafRoom,
    closure,
    entry_at,
    file_head,
    file_row_key,
    file_value,
    index_key,
    links_of,
    read_file,
    read_leaf,
    read_submission,
    summary_value,
)
from ledger.rows import leaf_key, submission_key
from ledger.store import subject_key
from tests.ledger.strategies import hashes, uints
from tests.ledger.world import World, handle

leaves = st.builds(FileLeaf, uints, uints, uints, hashes, st.none() | uints, hashes)


def test_frozen_leaf() -> None:
    leaf = FileLeaf(5, 1_700_000_000_000, 12, b"\x01" * 32, 3, b"\x02" * 32)
    raw = "9605cf0000018bcfe568000cc420" + "01" * 32 + "03c420" + "02" * 32
    assert encode(leaf).hex() == raw


def test_frozen_keys_and_values() -> None:
    name = b"\x09" * 32
    assert index_key(0, 258, name) == sha256(b"\x00\x00\x00\x01\x02" + name).digest()
    assert index_key(1, 258, name) == sha256(b"\x01\x00\x00\x01\x02" + name).digest()
    assert index_key(2, 258) == sha256(b"\x02\x00\x00\x01\x02").digest()
    assert file_value(3, name) == sha256(b"\x02" + bytes(7) + b"\x03" + name).digest()
    assert summary_value(b"\x90") == sha256(b"\x03\x90").digest()


@given(leaves)
def test_leaf_round_trip(leaf: FileLeaf) -> None:
    assert decode(FileLeaf, encode(leaf), bytes_max=200) == leaf


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_head_grows_as_the_frontier_does(entries: list[bytes]) -> None:
    frontier = b""
    for length, entry in enumerate(entries):
        frontier = merkle.frontier_append(length, frontier, merkle.leaf_hash(entry))
    assert merkle.frontier_root(len(entries), frontier) == file_head(entries)


@pytest.fixture
def world() -> World:
    made = World()
    made.run(made.register("w", key=True), made.register("c"))
    made.run(made.open("a"), made.outcome("a"), made.rating("a"))
    return made


def test_bound_on_leaves(world: World) -> None:
    assert len(read_file(world.store, 1, handle("w"), world.state.size, room=LeafRoom(4, 0))) == 4
    with pytest.raises(InvalidInput, match="more leaves than"):
        read_file(world.store, 1, handle("w"), world.state.size, room=LeafRoom(3, 9))


def test_unknown_subject_has_an_empty_file(world: World) -> None:
    assert read_file(world.store, 1, handle("nobody"), world.state.size) == []
    assert read_file(world.store, 2, handle("w"), world.state.size) == []
    assert closure(world.store, 1, handle("nobody"), world.state.size) == [(1, handle("nobody"))]


def test_erased_opening_is_none(world: World) -> None:
    item = read_file(world.store, 1, handle("w"), world.state.size)[1]
    leaf = read_leaf(world.store, item.leaf.log_index)
    assert read_submission(world.store, leaf.lane, leaf.height, leaf.position) == item.submission
    name = world.tips[1].hash
    world.store.write({submission_key(name, leaf.position): None})
    again = read_file(world.store, 1, handle("w"), world.state.size)[1]
    assert again.submission is None
    assert again.leaf == item.leaf
    assert read_submission(world.store, 1, 99, 0) is None


def test_damaged_file_rows_are_named(world: World) -> None:
    key = file_row_key(subject_key(1, handle("w")), 1)
    world.store.write({key: b"\x00"})
    with pytest.raises(StoreDamaged, match=key.hex()):
        read_file(world.store, 1, handle("w"), world.state.size)


def test_missing_leaf_is_named(world: World) -> None:
    world.store.write({leaf_key(4): None})
    for read in (read_leaf, entry_at):
        with pytest.raises(StoreDamaged, match=leaf_key(4).hex()):
            read(world.store, 4)


def test_links_in_log_order_seen_from_both_sides() -> None:
    world = World()
    world.put(1, [world.register(name, key=True) for name in ("a", "b", "c")])
    world.put(2, [world.register("d", 2, key=True)])
    world.block()
    world.run(world.link((1, "b"), (2, "d")), world.link((1, "a"), (1, "b")))
    size = world.state.size
    assert links_of(world.store, 1, handle("b"), size) == [(2, handle("d")), (1, handle("a"))]
    assert links_of(world.store, 2, handle("d"), size) == [(1, handle("b"))]
    joined = sorted([(1, handle("a")), (1, handle("b")), (2, handle("d"))])
    for platform, name in ((1, "a"), (1, "b"), (2, "d")):
        assert closure(world.store, platform, handle(name), size) == joined
    assert closure(world.store, 1, handle("c"), size) == [(1, handle("c"))]


def test_a_link_is_followed_without_its_opening() -> None:
    world = World()
    world.run(*(world.register(name, key=True) for name in ("a", "b")))
    world.run(world.link((1, "a"), (1, "b")))
    world.store.write({submission_key(world.tips[1].hash, 0): None})
    both = sorted([(1, handle("a")), (1, handle("b"))])
    assert closure(world.store, 1, handle("a"), world.state.size) == both
    world.store.write({leaf_key(1): world.store.get(leaf_key(4))})
    with pytest.raises(StoreDamaged, match="is no register's"):
        closure(world.store, 1, handle("a"), world.state.size)
