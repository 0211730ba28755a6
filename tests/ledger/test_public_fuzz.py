"""Paths of the public side: one for each number. Hostile ones are in tests/fuzz."""

from hypothesis import given
from hypothesis import strategies as st

from ledger import beside
from ledger.beside import LANE_MAX


@given(st.integers(0, 2**53) | st.integers(0, 3_000))
def test_each_block_has_one_path(height: int) -> None:
    assert beside.parse_block_path(beside.block_path(height)) == height


@given(st.integers(1, LANE_MAX), st.integers(0, 2**53) | st.integers(0, 3_000), st.integers(1, 256))
def test_each_file_of_headers_has_one_path(lane: int, index: int, width: int) -> None:
    assert beside.parse_lane_path(beside.lane_path(lane, index, width)) == (lane, index, width)
