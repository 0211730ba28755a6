"""Rows: one form each, frozen bytes of what outlives a version, and names for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import UINT_MAX, encode
from ledger.erasure_rows import ErasureRow, FileRange, erasure_key
from ledger.errors import StoreDamaged
from ledger.record_rows import RecordRow, record_key, refusal_key
from ledger.rows import (
    BlockRow,
    EngagementRow,
    HeadRow,
    LeafRow,
    LiveRow,
    PairRow,
    SubjectRow,
    SummaryRow,
    block_key,
    decode_row,
    describe_key,
    header_key,
    lane_key,
    leaf_key,
    need_row,
    pair_key,
    read_row,
    submission_key,
    tile_key,
    validators_key,
)
from ledger.store import MemoryStore
from tests.ledger.strategies import blocks, hashes, platforms, refusals, seals, tips, uints

flags = st.none() | uints
HEADS = st.builds(
    HeadRow, uints, hashes, uints, uints, uints, st.binary(max_size=96), hashes, hashes,
    st.lists(tips, max_size=3).map(tuple),
)  # fmt: skip
BLOCKS = st.builds(
    BlockRow, blocks, hashes, uints, uints, hashes, seals, st.lists(refusals, max_size=2).map(tuple)
)
LEAVES = st.builds(
    LeafRow, platforms, uints, uints, uints, uints, hashes, flags, hashes, st.binary(max_size=20),
    st.binary(min_size=36, max_size=36) | st.lists(uints, max_size=2).map(tuple), flags,
)  # fmt: skip
RECORDS = st.builds(RecordRow, platforms, uints, uints, flags, st.sampled_from(["", "malformed"]))
SUBJECTS = st.builds(
    SubjectRow, uints, st.just(b"") | hashes, st.just("none"), uints, uints,
    st.binary(max_size=64), st.lists(st.binary(min_size=36, max_size=36), max_size=2).map(tuple),
    flags, uints, uints, uints,
)  # fmt: skip
ENGAGEMENTS = st.builds(
    EngagementRow, uints, hashes, hashes, uints, uints, uints, flags, flags, flags
)
ERASURES = st.builds(
    ErasureRow, platforms, hashes, hashes,
    st.lists(
        st.builds(FileRange, st.binary(min_size=36, max_size=36), uints, uints), max_size=2
    ).map(tuple),
    st.lists(platforms, max_size=3).map(tuple), flags,
)  # fmt: skip
PAIRS = st.builds(PairRow, uints, uints)
SUMMARIES = st.builds(SummaryRow, uints, st.binary(max_size=30), st.binary(max_size=30))


@pytest.mark.parametrize(
    "rows", [HEADS, BLOCKS, LEAVES, RECORDS, SUBJECTS, ENGAGEMENTS, ERASURES, PAIRS, SUMMARIES]
)
@given(data=st.data())
def test_round_trip_and_one_form(rows: st.SearchStrategy[object], data: st.DataObject) -> None:
    row = data.draw(rows)
    raw = bytearray(encode(row))
    assert decode_row(type(row), b"X", bytes(raw)) == row
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_row(type(row), b"X", bytes(raw))
    except StoreDamaged:
        return
    assert encode(other) == bytes(raw)


@pytest.mark.parametrize(
    ("row", "frozen"),
    [
        (
            LeafRow(1, 2, 3, 4, 12, b"\x05" * 32, None, b"\x06" * 32, b"\x90", (), None),
            "9b010203040cc420" + "05" * 32 + "c0c420" + "06" * 32 + "c4019090c0",
        ),
        (
            LeafRow(1, 2, 3, 4, 1, b"\x05" * 32, None, b"\x06" * 32, b"\x90", b"\x07" * 36, 9),
            "9b0102030401c420" + "05" * 32 + "c0c420" + "06" * 32 + "c40190c424" + "07" * 36 + "09",
        ),
        (
            ErasureRow(1, bytes(32), bytes(32), (FileRange(b"\x07" * 36, 1, 2),), (1, 2), None),
            "9601c420" + "00" * 32 + "c420" + "00" * 32 + "9193c424" + "07" * 36 + "0102920102c0",
        ),
        (RecordRow(1, 2, 3, None, "malformed"), "95010203c0a96d616c666f726d6564"),
        (
            SubjectRow(1, b"", "none", 2, 3, b"", (), None, 4, 5, 6, 7, 8, 9, 10, 11, (1, 300)),
            "dc001101c400a46e6f6e650203c40090c00405060708090a0b9201cd012c",
        ),
        (
            EngagementRow(1, bytes(32), bytes(32), 2, 3, 4, None, 5, None, ((1, 2, 300),)),
            "9a01c420" + "00" * 32 + "c420" + "00" * 32 + "020304c005c091930102cd012c",
        ),
        (PairRow(300, 1), "92cd012c01"),
        (SummaryRow(64, b"\x90", b""), "9340c40190c400"),
    ],
)
def test_frozen_rows(row: object, frozen: str) -> None:
    assert encode(row).hex() == frozen


@pytest.mark.parametrize(
    ("height", "expected"), [(9, b"old"), (10, b"new"), (11, b"new"), (UINT_MAX, b"new")]
)
def test_summary_at_a_height(height: int, expected: bytes) -> None:
    assert SummaryRow(10, b"new", b"old").at(height) == expected


def test_summary_before_its_first_copy() -> None:
    assert SummaryRow(10, b"new", b"").at(9) is None


def test_keys_keep_number_order() -> None:
    for make in (block_key, leaf_key, validators_key):
        keys = [make(n) for n in (0, 1, 255, 256, 2**32, 2**53 - 1)]
        assert keys == sorted(keys)
    assert lane_key(1, 2**40) < lane_key(2, 1)
    assert submission_key(bytes(32), 255) < submission_key(bytes(32), 256)
    assert tile_key(0, 2**40) < tile_key(1, 0)
    assert len(pair_key(bytes(36), bytes(36))) == 73


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (block_key(7), "block row 7"),
        (leaf_key(300), "leaf row 300"),
        (erasure_key(300), "erasure row 300"),
        (lane_key(2, 9), "lane row 2/9"),
        (tile_key(1, 5), "tile 01/5"),
        (submission_key(b"\x01" * 32, 4), "submission 4 of batch 0101"),
        (header_key(b"\x02" * 32), "batch header 0202"),
        (record_key(b"\x03" * 32), "record row 0303"),
        (refusal_key(b"\x03" * 32, 1, 2, 3), f"record row {'03' * 32}"),
        (b"Mhead", "meta row head"),
        (validators_key(3), "meta row validators"),
        (b"\xfe", "row"),
        (b"", "row"),
    ],
)
def test_names_for_people(key: bytes, words: str) -> None:
    assert describe_key(key).startswith(words)
    assert key.hex() in describe_key(key)


def test_missing_and_damaged_rows() -> None:
    store = MemoryStore()
    assert read_row(store, PairRow, b"Pa") is None
    with pytest.raises(StoreDamaged, match="is missing"):
        need_row(store, PairRow, b"Pa")
    store.write({b"Pa": b"\x92\x01"})
    with pytest.raises(StoreDamaged) as error:
        read_row(store, PairRow, b"Pa")
    assert error.value.where == describe_key(b"Pa")


def test_live_rows_are_fresh_copies() -> None:
    store = MemoryStore()
    store.write({b"Pa": encode(PairRow(1, 1))})
    one = need_row(store, PairRow, b"Pa")
    one.outcomes += 1
    assert need_row(store, PairRow, b"Pa").outcomes == 1
    assert isinstance(one, LiveRow)
