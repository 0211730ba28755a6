"""What the index holds, gathered from the rows that it follows from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.genesis import FIRST_BOUNDS
from ledger.indexed import Indexed, index_leaves
from ledger.rows import SummaryRow
from ledger.store import SUBJECT, SUMMARY, MemoryStore
from ledger.window import load_index
from tests.ledger.world import World, genesis_of

keys = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda first, last: first + bytes(30) + last, *[st.binary(min_size=1, max_size=1)] * 2
    ),
)
contents = st.dictionaries(keys, st.binary(min_size=32, max_size=32), max_size=30)


@given(contents, st.integers(1, 32), st.binary(min_size=32, max_size=32))
def test_keys_are_found_by_their_starts_and_taken_in_order(expected, width, other):
    indexed = Indexed(key + value for key, value in expected.items())
    for asked in (*expected, other):
        begins = sorted(key for key in expected if key.startswith(asked[:width]))
        assert list(indexed.find(asked[:width])) == begins
    assert list(indexed.take()) == sorted(expected.items())
    assert list(indexed.take()) == []


@pytest.mark.parametrize("epoch_blocks", [1, 3])
def test_files_and_summaries_of_a_ledger(epoch_blocks):
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)))
    world.run(world.register("w", assurance="document"), world.register("c"))
    for name in ("a", "b", "d", "e"):
        world.run(world.open(name))
        world.run(world.outcome(name), world.rating(name))
        assert dict(Indexed(index_leaves(world.store)).take()) == dict(world.state.index.items())
        assert load_index(world.store, 1, 0).root() == world.state.index.root()
    assert any(world.store.scan(SUMMARY, b"V")), "summaries were entered"


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (SUBJECT + bytes(36), b"\xc0"),
        (SUBJECT + bytes(36), encode((1, b"", "none", 0, 3, bytes(32), [], None, 0, 0, 0))),
        (SUMMARY + bytes(37), encode((1, 2))),
    ],
    ids=["no row", "a frontier of another length", "no summary"],
)
def test_what_is_no_row_is_named(key, data):
    store = MemoryStore()
    store.write({SUMMARY + b"\x02": encode(SummaryRow(1, b"x", b"")), key: data})
    with pytest.raises(StoreDamaged, match=key.hex()):
        list(index_leaves(store))
