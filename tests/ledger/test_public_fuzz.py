"""Decoders of the public side: bytes are refused with an error of the tree, or have one form."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from ledger import beside, epochs, witnessing
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.rows import BlockRow, HeaderRow, block_key, header_key, need_row
from tests.ledger.test_epochs import SAME, ends_of
from tests.ledger.test_witnessing import REQUEST, granted
from tests.ledger.world import World, genesis_of

_WORLD, _ENDS = ends_of([SAME, SAME])
_CHAIN = epochs.encode_chain(_ENDS)


def _files() -> tuple[bytes, bytes]:

    world = World(genesis_of(4))
    world.run(world.register("w"), world.outcome("never"))
    block = need_row(world.store, BlockRow, block_key(1))
    header = need_row(world.store, HeaderRow, header_key(world.state.cut[1].hash))
    return beside.encode_block_file(block), beside.encode_headers([header, header])


_BLOCK, _HEADERS = _files()


def near(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that begin like the real thing, end anywhere, and go on as they like."""
    cut = st.integers(0, len(data))
    return st.one_of(
        st.binary(max_size=300),
        st.builds(lambda at, more: data[:at] + more, cut, st.binary(max_size=40)),
        st.builds(
            lambda at, to, more: data[:at] + more + data[to:], cut, cut, st.binary(max_size=9)
        ),
    )


@given(near(_CHAIN))
def test_chains(data: bytes) -> None:
    try:
        ends = epochs.decode_chain(data)
        assert epochs.encode_chain(ends) == data
        epochs.follow(_WORLD.genesis.foundation, ends)
    except InvalidInput:
        return
    assert not ends or data == _CHAIN


@given(near(_BLOCK))
def test_block_files(data: bytes) -> None:
    try:
        found = beside.decode_block_file(data)
    except InvalidInput:
        return
    assert encode(found) == data


@given(near(_HEADERS))
def test_headers(data: bytes) -> None:
    try:
        found = beside.decode_headers(data)
    except InvalidInput:
        return
    assert beside.encode_headers(found) == data


@given(near(REQUEST))
def test_requests(data: bytes) -> None:
    try:
        after = granted(data, witnessing.NOTHING)
    except InvalidInput:
        return
    assert after.size in {0, 40}


@given(st.text(max_size=40), st.integers(0, 2**53))
def test_paths(text: str, number: int) -> None:
    for path in (text, "block/" + text, "lane/" + text):
        with contextlib.suppress(InvalidInput):
            assert beside.block_path(beside.parse_block_path(path)) == path
        with contextlib.suppress(InvalidInput):
            assert beside.lane_path(*beside.parse_lane_path(path)) == path
    assert beside.parse_block_path(beside.block_path(number)) == number
