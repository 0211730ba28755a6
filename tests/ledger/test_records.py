"""Record bytes: frozen forms, round trips, and that there is one form only."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import UINT_MAX, encode
from ledger.errors import Malformed
from ledger.records import (
    NAME_OF_TAG,
    NAMES,
    RECORD_BYTES_MAX,
    RECORD_TYPES,
    TAGS,
    TYPE_OF_NAME,
    EngagementOpen,
    EngagementOutcome,
    Erasure,
    ErasureAck,
    Rating,
    Record,
    SubjectLink,
    SubjectRegister,
    decode_record,
    encode_record,
    tag_of,
)
from tests.ledger.strategies import records

A, B, C = bytes([0xAA]) * 32, bytes([0xBB]) * 32, bytes([0xCC]) * 32
AT = 1_700_000_000_000
AT_HEX = "cf0000018bcfe56800"
FROZEN = [
    (
        SubjectRegister(1, AT, A, b"", "none"),
        f"960101{AT_HEX}c420{A.hex()}c400a46e6f6e65",
    ),
    (
        SubjectLink(1, AT, 1, A, B, 300, B, C),
        f"990401{AT_HEX}01c420{A.hex()}c420{B.hex()}cd012cc420{B.hex()}c420{C.hex()}",
    ),
    (
        EngagementOpen(1, AT, A, B, C, "gig", ("crowd", "trade"), "lead", 0, AT, 3),
        (
            f"9c0a01{AT_HEX}c420{A.hex()}c420{B.hex()}c420{C.hex()}a367696792a563726f7764a57472616465"
            f"a46c65616400{AT_HEX}03"
        ),
    ),
    (
        EngagementOutcome(1, AT, A, "late", "shared", 5, "partial", "platform"),
        f"990b01{AT_HEX}c420{A.hex()}a46c617465a673686172656405a77061727469616ca8706c6174666f726d",
    ),
    (
        Rating(7, AT, A, "of-worker", B, b"", "stars-5", 200, (("speed", 4),)),
        (
            f"9a0c07{AT_HEX}c420{A.hex()}a96f662d776f726b6572c420{B.hex()}c400a773746172732d35ccc8"
            "9192a5737065656404"
        ),
    ),
    (
        Erasure(2, AT, A, B, "whole"),
        f"961e02{AT_HEX}c420{A.hex()}c420{B.hex()}a577686f6c65",
    ),
    (ErasureAck(3, AT, C), f"941f03{AT_HEX}c420{C.hex()}"),
]


@pytest.mark.parametrize(("record", "frozen"), FROZEN, ids=lambda value: type(value).__name__)
def test_frozen_bytes(record: Record, frozen: str) -> None:
    assert encode_record(record).hex() == frozen
    assert decode_record(bytes.fromhex(frozen)) == record


def test_tags_never_change() -> None:
    assert {NAMES[kind]: TAGS[kind] for kind in RECORD_TYPES} == {
        "subject.register": 1,
        "subject.link": 4,
        "engagement.open": 10,
        "engagement.outcome": 11,
        "rating": 12,
        "erasure": 30,
        "erasure.ack": 31,
        "member.propose": 50,
        "member.approve": 51,
        "member.ready": 52,
        "member.remove": 53,
        "member.leave": 54,
        "key.rotate": 55,
        "model.activate": 56,
        "evidence": 60,
    }
    assert len(set(TAGS.values())) == len(RECORD_TYPES)
    for record, _ in FROZEN:
        assert TYPE_OF_NAME[NAME_OF_TAG[tag_of(record)]] is type(record)


@given(records)
def test_round_trip(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(records, st.data())
@settings(max_examples=300)
def test_any_changed_byte_is_refused_or_another_records_one_form(
    record: Record, data: st.DataObject
) -> None:
    raw = bytearray(encode_record(record))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_record(bytes(raw))
    except Malformed:
        return
    assert other != record
    assert encode_record(other) == bytes(raw)


@given(st.binary(max_size=200))
def test_noise_is_malformed_or_canonical(data: bytes) -> None:
    try:
        record = decode_record(data)
    except Malformed:
        return
    assert encode_record(record) == data


@given(records, st.binary(min_size=1, max_size=4))
def test_trailing_bytes_are_refused(record: Record, more: bytes) -> None:
    with pytest.raises(Malformed):
        decode_record(encode_record(record) + more)


@pytest.mark.parametrize(
    "change",
    [
        {"platform": 0},
        {"platform": 2**32},
        {"at": UINT_MAX + 1},
        {"at": -1},
        {"at": 1.5},
        {"at": None},
        {"handle": bytes(31)},
        {"handle": bytes(33)},
        {"handle": "a" * 32},
        {"key": bytes(33)},
        {"assurance": "high"},
        {"assurance": b"none"},
    ],
)
def test_fields_out_of_bounds_are_refused(change: dict[str, object]) -> None:
    record = FROZEN[0][0]
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    raw = encode([1, *({**fields, **change}).values()])
    with pytest.raises(Malformed):
        decode_record(raw)


@pytest.mark.parametrize(
    ("head", "instead"),
    [
        ("9601", "dc00060101"),  # an oversized array header
        ("960101", "96cc0101"),  # an oversized integer
        ("c400a4", "c50000a4"),  # an oversized bin header
        ("c400a4", "a0a4"),  # a string instead of bytes
        ("a46e6f6e65", "d9046e6f6e65"),  # an oversized string header
        (AT_HEX, "d3" + AT_HEX[2:]),  # a signed integer
        (AT_HEX, "cb4278bcfe56800000"),  # a float
        ("9601", "9701"),  # one field too many
        ("9601", "9501"),  # one too few
    ],
)
def test_other_forms_of_the_same_record_are_refused(head: str, instead: str) -> None:
    frozen = FROZEN[0][1]
    assert head in frozen
    with pytest.raises(Malformed):
        decode_record(bytes.fromhex(frozen.replace(head, instead, 1)))


def test_size_is_bounded_before_decoding() -> None:
    with pytest.raises(Malformed, match="at most"):
        decode_record(b"\x91" * (RECORD_BYTES_MAX + 1))


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode_record(b"\x91" * RECORD_BYTES_MAX)


def test_no_field_has_a_default_and_no_type_is_a_map() -> None:
    for kind in RECORD_TYPES:
        config = kind.__struct_config__
        assert config.array_like
        assert config.forbid_unknown_fields
        assert config.frozen
        assert kind.__struct_defaults__ == ()
        assert msgspec.structs.fields(kind)[0].name == "platform"
        assert msgspec.structs.fields(kind)[1].name == "at"
