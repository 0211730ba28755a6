"""What the index holds, gathered from the rows that it follows from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.genesis import FIRST_BOUNDS
from ledger.indexed import PARTS, Indexed, index_leaves
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


@given(contents)
def test_leaves_are_taken_in_order_and_once(expected):
    indexed = Indexed(key + value for key, value in expected.items())
    assert indexed.take() == b"".join(key + value for key, value in sorted(expected.items()))
    assert indexed.take() == b""


@given(contents)
def test_parts_are_those_of_the_first_byte(expected):
    indexed = Indexed(key + value for key, value in expected.items())
    parts = list(indexed.parts())
    assert len(parts) == PARTS
    for number, part in enumerate(parts):
        assert part == sorted(k + v for k, v in expected.items() if k[0] == number)


@pytest.mark.parametrize("epoch_blocks", [1, 3])
def test_files_and_summaries_of_a_ledger(epoch_blocks):
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)))
    world.run(world.register("w", assurance="document"), world.register("c"))
    for name in ("a", "b", "d", "e"):
        world.run(world.open(name))
        world.run(world.outcome(name), world.rating(name))
        leaves = sorted(key + value for key, value in world.state.index.items())
        assert Indexed(index_leaves(world.store)).take() == b"".join(leaves)
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
