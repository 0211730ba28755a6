"""The JSON form of records: one reading, refusals that name their field."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import Seal
from ledger.encoding import Value
from ledger.errors import Malformed
from ledger.membership import Validator
from ledger.records import encode_record
from ledger.records.engagement import EngagementOpen
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from node.api.json_records import (
    record_from_json,
    record_to_json,
    value_from_json,
    value_to_json,
)
from node.api.json_text import DEPTH_MAX, Duplicate, Oversize, parse_json, refuse_duplicates

OPEN = {
    "type": "engagement.open",
    "platform": 1,
    "at": 1_700_000_000_000,
    "reference": "aa" * 32,
    "worker": "bb" * 32,
    "client": "cc" * 32,
    "format": "gig",
    "domains": ["work", "software.web"],
    "role": "lead",
    "due_from": 0,
    "due_until": 5,
    "value_band": 3,
}
RATING = {
    "type": "rating",
    "platform": 2,
    "at": 5,
    "reference": "aa" * 32,
    "direction": "of-worker",
    "rater": "bb" * 32,
    "rater_key": "",
    "scale": "stars-5",
    "value": 4,
    "dimensions": [["care", 3], ["speed", 5]],
}


def refusal(change: dict, base: dict = OPEN) -> Malformed:
    with pytest.raises(Malformed) as caught:
        record_from_json(json.dumps({**base, **change}))
    return caught.value


def test_open_reads_into_its_bytes_and_back() -> None:
    record, signatures = record_from_json(json.dumps(OPEN))
    expected = EngagementOpen(
        1,
        1_700_000_000_000,
        b"\xaa" * 32,
        b"\xbb" * 32,
        b"\xcc" * 32,
        "gig",
        ("work", "software.web"),
        "lead",
        0,
        5,
        3,
    )
    assert record == encode_record(expected)
    assert signatures == b""
    assert record_to_json(record) == OPEN
    assert record_from_json(OPEN) == (record, b"")


def test_signatures_stand_end_to_end() -> None:
    with_signatures = {**RATING, "rater_key": "11" * 32, "signatures": ["22" * 64, "33" * 64]}
    record, signatures = record_from_json(json.dumps(with_signatures).encode())
    assert signatures == b"\x22" * 64 + b"\x33" * 64
    assert record_to_json(record, signatures) == with_signatures


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"worker": "BB" * 32}, "worker"),
        ({"worker": "bb" * 31}, "worker"),
        ({"worker": "bb" * 32 + "b"}, "worker"),
        ({"worker": "bb" * 31 + "b\n"}, "worker"),
        ({"worker": 7}, "worker"),
        ({"at": True}, "at"),
        ({"at": "5"}, "at"),
        ({"at": -1}, "at"),
        ({"at": 2**53}, "at"),
        ({"platform": 0}, "platform"),
        ({"value_band": 10}, "value_band"),
        ({"format": "job"}, "format"),
        ({"format": None}, "format"),
        ({"domains": []}, "domains"),
        ({"domains": ["work"] * 5}, "domains"),
        ({"domains": "work"}, "domains"),
        ({"domains": ["work", "Software"]}, "domains[1]"),
        ({"domains": ["work\n"]}, "domains[0]"),
        ({"colour": 1}, "colour"),
        ({"signatures": "22" * 64}, "signatures"),
        ({"signatures": ["22" * 64, "22" * 63]}, "signatures[1]"),
        ({"signatures": ["22" * 64] * 5}, "signatures"),
    ],
)
def test_a_wrong_field_is_named(change: dict, field: str) -> None:
    error = refusal(change)
    assert error.field == field
    assert str(error).startswith(f"{field}: ")


def test_nested_parts_are_named() -> None:
    assert refusal({"dimensions": [["care", 3], ["speed", 256]]}, RATING).field == (
        "dimensions[1][1]"
    )
    assert refusal({"dimensions": [["care"]]}, RATING).field == "dimensions[0]"


def test_missing_and_unknown_types() -> None:
    assert refusal({}, {k: v for k, v in OPEN.items() if k != "role"}).field == "role"
    assert refusal({}, {k: v for k, v in OPEN.items() if k != "type"}).field == "type"
    for name in ("engagement.close", 10, None, ["rating"]):
        with pytest.raises(Malformed) as caught:
            record_from_json(json.dumps({**OPEN, "type": name}))
        assert caught.value.field == "type"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nil",
        b"[]",
        b"7",
        b'"x"',
        b'{"type": "rating", "value": 1.0}',
        b'{"type": "rating", "value": 1e3}',
        b'{"type": "rating", "value": NaN}',
        b'{"type": "rating", "value": Infinity}',
        b'\xff\xfe{"type": "rating"}',
        '{"type": "rating"}'.encode("utf-16"),
        '\ufeff{"type": "rating"}'.encode(),
        b'{"type": "rating"} {}',
        b'{"value": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_of_ours(text: bytes) -> None:
    with pytest.raises(Malformed):
        record_from_json(text)


def test_a_key_twice_is_named_with_its_path() -> None:
    text = json.dumps(OPEN)
    with pytest.raises(Malformed) as caught:
        record_from_json(text[:-1] + ', "role": "crew"}')
    assert caught.value.field == "role"
    validator = json.dumps(value_to_json(_validator()))[:-1] + ', "code": "b"}'
    with pytest.raises(Malformed) as caught:
        value_from_json(Seal, f'{{"validators": [{validator}], {_seal_text()[1:]}')
    assert caught.value.field == "validators[0].code"
    with pytest.raises(Malformed):
        refuse_duplicates(parse_json('[{"a": [{"b": 1, "b": 2}]}]', bytes_max=100))


def test_a_key_twice_among_very_many_is_found_at_once() -> None:
    """In one pass: with a pass for each key this would take hours."""
    text = "{" + ",".join(f'"k{nth}":0' for nth in range(300_000)) + ',"k299999":1}'
    assert parse_json(text, bytes_max=len(text)) == Duplicate("k299999")


def _validator() -> Validator:
    keys = [bytes([n]) * 32 for n in range(5)]
    return Validator(1, "a", *keys, b"\x30\x01")


def _seal() -> Seal:
    return Seal(1, b"a" * 32, b"b" * 32, 7, b"c" * 32, b"d" * 32, b"e" * 32, None)


def _seal_text() -> str:
    made = value_to_json(_seal())
    del made["validators"]
    return json.dumps(made)


def test_optional_is_null() -> None:
    assert value_to_json(_seal())["validators"] is None
    assert value_from_json(Seal, json.dumps(value_to_json(_seal()))) == _seal()


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(Oversize):
        record_from_json(json.dumps({**OPEN, "more": "x" * 20_000}))
    deep = b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1)
    with pytest.raises(Malformed, match="nested deeper"):
        parse_json(deep, bytes_max=1_000)
    parse_json(deep[1:-1], bytes_max=1_000)
    parse_json(json.dumps("[{" * 50), bytes_max=1_000)
    parse_json(json.dumps(['a"b\\"[', {"x": [1]}] * 40), bytes_max=10_000)
    for hostile in (b"[" * 1_000_000, b'["' + b'\\"' * 400_000 + b"\\", b'{"a":' * 200_000):
        with pytest.raises(Malformed):
            parse_json(hostile, bytes_max=2_000_000)


class Text(Value):
    text: str


def test_text_is_unicode_in_its_normal_form() -> None:
    assert value_from_json(Text, {"text": "é"}).text == "é"
    for bad in ('{"text": "e\\u0301"}', '{"text": "\\ud800"}'):
        with pytest.raises(Malformed):
            value_from_json(Text, bad)


handles = st.binary(min_size=32, max_size=32)
times = st.integers(0, 2**53 - 1)
numbers = st.integers(1, 2**32 - 1)
codes = st.from_regex(r"\A[a-z0-9]{1,8}(\.[a-z0-9]{1,8})?\Z")
records = st.one_of(
    st.builds(SubjectRegister, numbers, times, handles, st.just(b"") | handles, st.just("none")),
    st.builds(SubjectLink, numbers, times, numbers, handles, handles, numbers, handles, handles),
    st.builds(
        Rating,
        numbers,
        times,
        handles,
        st.sampled_from(["of-worker", "of-client"]),
        handles,
        st.just(b"") | handles,
        codes,
        st.integers(0, 255),
        st.lists(st.tuples(codes, st.integers(0, 255)), max_size=8).map(tuple),
    ),
)


@settings(max_examples=100, deadline=None)
@given(records, st.integers(0, 4))
def test_there_and_back(record, count: int) -> None:  # type: ignore[no-untyped-def]
    signatures = bytes(range(64)) * count
    text = msgspec.json.encode(record_to_json(record, signatures))
    assert record_from_json(text) == (encode_record(record), signatures)
