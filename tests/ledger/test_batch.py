"""Batches: commitments, roots, names and what is signed."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.batch import (
    ENTRY_BYTES,
    SIGNATURES_MAX,
    Batch,
    Header,
    Submission,
    batch_root,
    commitment,
    entry_of,
    header_hash,
    header_message,
)
from ledger.encoding import decode, encode
from ledger.errors import Malformed
from tests.ledger.strategies import batches, headers, submissions

CHAIN = bytes([7]) * 32
HEADER = Header(1, 2, 3, bytes([4]) * 32, 5, bytes([6]) * 32, 1_700_000_000_000)


def test_frozen_commitment() -> None:
    submission = Submission(bytes(range(16)), b"record", b"s" * 64)
    expected = sha256(bytes(range(16)) + b"\x00\x00\x00\x06record" + b"s" * 64).digest()
    assert commitment(submission) == expected
    assert encode(submission).hex() == (
        "93c410000102030405060708090a0b0c0d0e0fc4067265636f7264c440" + "73" * 64
    )


@given(submissions, st.data())
def test_commitment_tells_record_from_signatures(item: Submission, data: st.DataObject) -> None:
    """The length before the record keeps its end from moving into the signatures."""
    if not item.record:
        return
    cut = data.draw(st.integers(0, len(item.record) - 1))
    moved = Submission(item.salt, item.record[:cut], item.record[cut:] + item.signatures)
    assert commitment(moved) != commitment(item)


def test_frozen_header() -> None:
    raw = "97010203c420" + "04" * 32 + "05c420" + "06" * 32 + "cf0000018bcfe56800"
    assert encode(HEADER).hex() == raw
    name = sha256(b"standing/header/v1\0" + CHAIN + bytes.fromhex(raw)).digest()
    assert header_hash(CHAIN, HEADER) == name
    assert header_message(CHAIN, HEADER) == b"standing/batch/v1\0" + CHAIN + bytes.fromhex(raw)


def test_frozen_entry() -> None:
    entry = entry_of(258, 3, 4, bytes([9]) * 32)
    assert entry.hex() == "00" + "00000102" + "0000000000000003" + "0004" + "09" * 32
    assert len(entry) == ENTRY_BYTES


def test_roots() -> None:
    one, two = bytes([1]) * 32, bytes([2]) * 32
    assert batch_root([]) == sha256(b"").digest()
    assert batch_root([one]) == sha256(b"\x00" + one).digest()
    both = sha256(b"\x00" + one).digest() + sha256(b"\x00" + two).digest()
    assert batch_root([one, two]) == sha256(b"\x01" + both).digest()


@given(batches)
def test_round_trip(batch: Batch) -> None:
    assert decode(Batch, encode(batch), bytes_max=100_000) == batch


@given(batches, st.data())
def test_any_changed_byte_is_refused_or_another_one_form(batch: Batch, data: st.DataObject) -> None:
    raw = bytearray(encode(batch))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(Batch, bytes(raw), bytes_max=100_000)
    except Malformed:
        return
    assert encode(other) == bytes(raw)
    assert other != batch


@given(headers, headers)
def test_names_are_distinct(one: Header, two: Header) -> None:
    assert (header_hash(CHAIN, one) == header_hash(CHAIN, two)) == (one == two)
    assert header_hash(CHAIN, one) != header_hash(bytes(32), one)


def test_too_many_signatures_are_malformed() -> None:
    item = Submission(bytes(16), b"r", bytes(64 * SIGNATURES_MAX + 1))
    with pytest.raises(Malformed):
        decode(Submission, encode(item), bytes_max=1_000)


@given(batches, st.lists(submissions, max_size=3).map(tuple))
def test_commitments_are_kept_and_belong_to_one_value(
    batch: Batch, others: tuple[Submission, ...]
) -> None:
    assert batch.commitments == tuple(commitment(each) for each in batch.submissions)
    assert batch.commitments is batch.commitments
    changed = replace(batch, submissions=others)
    assert changed.commitments == tuple(commitment(each) for each in others)
    again = decode(Batch, encode(batch), bytes_max=10_000)
    assert again == batch, "what is kept beside the fields is no part of the value"
    assert hash(again) == hash(batch)
