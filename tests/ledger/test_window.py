"""The window on disk: a restart finds the versions that were there, with the same proofs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import ledger.index
import ledger.window
from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.files import index_key, read_summary, summary_value
from ledger.genesis import FIRST_BOUNDS
from ledger.index import Index
from ledger.indexed import Indexed
from ledger.rows import BlockRow, block_key, need_row
from ledger.state import load
from ledger.store import UNDO, MemoryStore, after
from ledger.window import (
    UndoRow,
    oldest_provable,
    restore,
    undo_key,
    window_changes,
)
from tests.ledger.test_index import contents
from tests.ledger.test_state import busy
from tests.ledger.world import World, genesis_of

EPOCH = 1_000_000


class Node:
    """An index and the rows that a ledger writes with it."""

    def __init__(self, window_blocks, epoch_blocks=EPOCH):
        self.epoch_blocks = epoch_blocks
        self.store = World().store.copy()
        self.founding = need_row(self.store, BlockRow, block_key(0))
        self.index = Index(window_blocks)
        self.height = -1
        self.contents = {}
        self.block({})

    def block(self, updates):
        self.height += 1
        root = self.index.apply(
            self.height, updates, oldest_provable(self.height, self.epoch_blocks)
        )
        row = replace(self.founding, seal=replace(self.founding.seal, index_root=root))
        changes = {block_key(self.height): encode(row), **window_changes(self.index)}
        self.contents |= updates
        self.store.write(changes)

    def load(self, window_blocks=None):
        window = window_blocks or self.index.window_blocks
        indexed = Indexed(key + value for key, value in self.contents.items())
        return restore(self.store, indexed, window, self.height, self.epoch_blocks)

    def stored(self):
        return [int.from_bytes(key[1:]) for key, _ in self.store.scan(UNDO, after(UNDO))]


def check_same(found, live, asked):
    for version in set(found.versions()) & set(live.versions()):
        assert found.root(version) == live.root(version)
        for key in asked:
            assert found.get(key, version) == live.get(key, version)
            assert found.prove(key, version) == live.prove(key, version)


@settings(max_examples=60)
@given(
    st.lists(contents, max_size=8),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([1, 2, 3, EPOCH]),
    contents,
)
def test_a_restart_finds_the_versions_that_were_there(
    blocks, window, later_window, epoch_blocks, more
):
    node = Node(window, epoch_blocks)
    asked = {key for block in [*blocks, more] for key in block}
    for updates in blocks:
        node.block(updates)
        assert node.stored() == node.index.versions()[1:]
    found = node.load(later_window)
    kept = [v for v in node.index.versions() if v > node.height - later_window]
    assert found.versions() == kept
    check_same(found, node.index, asked)
    live, node.index = node.index, found
    node.block(more)
    live.apply(node.height, more, oldest_provable(node.height, epoch_blocks))
    check_same(found, live, asked)
    assert node.stored() == found.versions()[1:], "rows of blocks that are not kept are removed"


def test_the_window_grows_again_behind_a_gap():
    node = Node(8)
    for at in range(6):
        node.block({bytes([at]) * 32: bytes(32)})
    node.store.write({undo_key(4): None})
    node.index = node.load()
    assert node.index.versions() == [4, 5, 6]
    node.block({bytes(32): b"\1" * 32})
    assert node.stored() == [5, 6, 7]
    assert node.load().versions() == [4, 5, 6, 7]


def test_a_store_without_the_rows_begins_with_the_newest_version():
    node = Node(8)
    node.block({bytes(32): bytes(32)})
    node.block({bytes(32): b"\1" * 32})
    node.store.write({undo_key(1): None, undo_key(2): None})
    assert node.load().versions() == [2]


@pytest.mark.parametrize("updates_max", [0, 1, 4, 7, 100])
def test_room_is_bounded_by_what_is_overwritten(monkeypatch, updates_max):
    monkeypatch.setattr(ledger.index, "UPDATES_MAX", updates_max)
    monkeypatch.setattr(ledger.window, "RESTORED_MAX", updates_max)
    node = Node(50)
    for at in range(10):
        node.block({bytes([n]) * 32: bytes([at]) * 32 for n in range(3)})
        versions = node.index.versions()
        assert len(versions) == 1 + min(at + 1, updates_max // 3)
        assert node.stored() == versions[1:]
    found = node.load()
    assert found.versions() == node.index.versions()
    check_same(found, node.index, [bytes([n]) * 32 for n in range(4)])


def test_after_a_restart_the_window_reaches_back_as_far_as_is_soon_done(monkeypatch):
    monkeypatch.setattr(ledger.window, "RESTORED_MAX", 7)
    node = Node(50)
    for at in range(10):
        node.block({bytes([n]) * 32: bytes([at]) * 32 for n in range(3)})
    live = node.index
    found = node.load()
    assert found.versions() == live.versions()[-3:], "two blocks' values are set again"
    check_same(found, live, [bytes([n]) * 32 for n in range(4)])
    node.index = found
    node.block({bytes(32): bytes(32)})
    assert node.stored() == node.index.versions()[1:] == [*live.versions()[-2:], node.height]


@pytest.mark.parametrize("epoch_blocks", [1, 2, 3, 64])
def test_the_window_never_reaches_behind_the_copies_of_summaries(epoch_blocks):
    """In every version the index holds the very summary that is read from the stored copies."""
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)), 128)
    world.run(world.register("w"), world.register("c"))
    for at in range(12):
        world.run(world.open(f"e{at}"))
        height = world.state.height
        versions = world.state.index.versions()
        assert versions == list(range(oldest_provable(height, epoch_blocks), height + 1))
        for version in versions:
            summary = read_summary(world.store, 2, 1, b"", version)
            value = None if summary is None else summary_value(summary)
            assert world.state.index.get(index_key(2, 1), version) == value
        assert load(world.store, 128).index.versions() == versions


def test_oldest_provable():
    assert [oldest_provable(height, 4) for height in (0, 3, 4, 7, 8, 11, 12, 400)] == [
        *(0, 0, 0, 0, 4, 4, 8, 396),
    ]


def test_a_ledger_that_is_loaded_has_its_window():
    world = World(window_blocks=4)
    busy(world)
    state = load(world.store, 4)
    assert state.index.versions() == world.state.index.versions() == [2, 3, 4, 5]
    for version in state.index.versions():
        sealed = need_row(world.store, BlockRow, block_key(version)).seal.index_root
        assert state.index.root(version) == sealed


@pytest.mark.parametrize("at", [0, 5, 40, -1])
def test_a_damaged_row_is_named(at):
    node = Node(8)
    for value in (b"\1", b"\2"):
        node.block({bytes(32): value * 32, value * 32: bytes(32)})
    row = bytearray(node.store.get(undo_key(2)))
    row[at] ^= 1
    node.store.write({undo_key(2): bytes(row)})
    with pytest.raises(StoreDamaged, match=undo_key(2).hex()):
        node.load()


KEY, OTHER = bytes(32), b"\1" * 32


@pytest.mark.parametrize(
    ("width", "changed", "inserted", "words"),
    [
        (32, KEY + b"\7" * 32, b"", "index root that block 1 sealed"),
        (1, b"\0" + b"\7" * 32, b"", "index root that block 1 sealed"),
        (1, b"", b"", "index root that block 1 sealed"),
        (1, b"", b"\0", "names 0 keys"),
        (2, b"\0\0" + b"\1" * 32 + b"\1\1" + bytes(32), b"", "names 0 keys"),
        (1, b"\0" + b"\1" * 32, b"\1", "names 0 keys"),
        (32, KEY[:7], b"", "contradicts itself"),
        (32, b"", KEY[:7], "contradicts itself"),
        (0, b"", b"", "contradicts itself"),
        (33, b"", bytes(33), "contradicts itself"),
        (1, b"\0" + b"\1" * 32 + b"\0" + b"\1" * 32, b"", "one twice"),
        (1, b"\0" + b"\1" * 32, b"\0", "one twice"),
    ],
    ids=range(12),
)
def test_rows_that_are_whole_and_lie_are_refused(width, changed, inserted, words):
    node = Node(8)
    node.block({KEY: b"\1" * 32})
    node.block({KEY: b"\2" * 32})
    assert node.store.get(undo_key(2)) == encode(UndoRow.of(1, b"\0" + b"\1" * 32, b""))
    node.store.write({undo_key(2): encode(UndoRow.of(width, changed, inserted))})
    with pytest.raises(StoreDamaged, match=words):
        node.load()


def test_a_start_that_two_keys_share_is_refused():
    node = Node(8)
    node.block({KEY: b"\1" * 32, bytes(31) + b"\1": b"\1" * 32})
    node.block({KEY: b"\2" * 32})
    assert need_row(node.store, UndoRow, undo_key(2)).width == 32
    node.store.write({undo_key(2): encode(UndoRow.of(31, KEY[:31] + b"\1" * 32, b""))})
    with pytest.raises(StoreDamaged, match="names 2 keys"):
        node.load()


def test_keys_are_named_by_no_more_than_they_need():
    node = Node(8)
    keys = [bytes([at]) + bytes(31) for at in range(200)]
    node.block(dict.fromkeys(keys, bytes(32)))
    node.block(dict.fromkeys(keys, b"\1" * 32))
    row = need_row(node.store, UndoRow, undo_key(2))
    assert (row.width, len(row), len(row.changed)) == (1, 200, 200 * 33)
    # One that comes later begins like all of them that have its first byte.
    node.block({keys[7][:31] + b"\1": bytes(32)})
    assert need_row(node.store, UndoRow, undo_key(3)).width == 32
    check_same(node.load(), node.index, keys)
    assert node.load().versions() == [0, 1, 2, 3]


def test_an_empty_store_has_no_rows():
    assert window_changes(Index(1)) == {}
    assert list(ledger.window.undo_rows(MemoryStore())) == []
