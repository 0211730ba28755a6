"""The quick reading of common records: what it reads, the strict reading reads alike."""

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.errors import Malformed
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from node.api.json_common import COMMON, LINE_BYTES_MAX, read_common
from node.api.json_records import read_strictly, record_from_json, record_to_json

H = bytes(range(32))
AT = 1_700_000_000_000
RECORDS = (
    (SubjectRegister(1, AT, H, b"", "document"), b""),
    (SubjectRegister(1, AT, H, H, "none"), b"s" * 64),
    (
        EngagementOpen(2, AT, H, H, H, "gig", ("software.web", "a-b"), "crew", AT, AT + 5, 9),
        b"",
    ),
    (EngagementOutcome(2**32 - 1, AT, H, "late", "none", 5, "partial", "counterparty"), b""),
    (Rating(3, AT, H, "of-client", H, b"", "stars-5", 255, (("care", 1), ("pace", 0))), b""),
    (Rating(3, 0, H, "of-worker", H, H, "stars-5", 0, ()), b"s" * 64 + b"t" * 64),
)
TEXTS = [msgspec.json.encode(record_to_json(*each)) for each in RECORDS]


def test_every_common_type_is_tried() -> None:
    assert {type(record) for record, _ in RECORDS} == set(COMMON)


@pytest.mark.parametrize("text", TEXTS)
def test_it_reads_alike(text: bytes) -> None:
    assert read_common(text) == read_strictly(text) == record_from_json(text)
    spaced = json.dumps(json.loads(text), indent=1).encode()
    assert read_common(spaced) == read_strictly(text)


def _with(text: bytes, **change: object) -> bytes:
    return json.dumps({**json.loads(text), **change}).encode()


@pytest.mark.parametrize(
    "text",
    [
        TEXTS[0].replace(b'"at":', b'"platform":1,"at":'),
        TEXTS[0].replace(b'"type":', b'"type":"subject.register","type":'),
        TEXTS[1].replace(b'"signatures":', b'"signatures":[],"signatures":'),
        TEXTS[0].replace(b'"at":', b'"pl\\u0061tform":1,"at":'),
        _with(TEXTS[0], handle=H.hex().upper()),
        _with(TEXTS[0], handle=H.hex()[:-2]),
        _with(TEXTS[0], handle=H.hex()[:-2] + "  "),
        _with(TEXTS[0], key="a"),
        _with(TEXTS[0], at=1.0),
        _with(TEXTS[0], at=2**53),
        _with(TEXTS[0], at=-1),
        _with(TEXTS[0], at=True),
        _with(TEXTS[0], platform=0),
        _with(TEXTS[0], more=1),
        _with(TEXTS[0], type="subject.registers"),
        _with(TEXTS[0], assurance="Document"),
        _with(TEXTS[1], signatures=["5" * 126]),
        _with(TEXTS[1], signatures=["AB" * 64]),
        _with(TEXTS[1], signatures=["ab" * 64] * 5),
        _with(TEXTS[1], signatures=None),
        _with(TEXTS[2], domains=[]),
        _with(TEXTS[2], domains=["a:b"]),
        _with(TEXTS[4], dimensions=[["care", 1, 2]]),
        TEXTS[0][:-1],
        TEXTS[0] + b"1",
        b"[" + TEXTS[0] + b"]",
        b"\xef\xbb\xbf" + TEXTS[0],
        TEXTS[0].replace(b"document", b"docum\xffent"),
        b"",
    ],
)
def test_what_is_amiss_is_left_to_the_strict_reading(text: bytes) -> None:
    assert read_common(text) is None
    with pytest.raises(Malformed):
        record_from_json(text)


def test_what_is_long_is_not_looked_at() -> None:
    assert read_common(TEXTS[0] + b" " * LINE_BYTES_MAX) is None


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    text = bytearray(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        piece = draw(
            st.one_of(
                st.binary(max_size=2),
                st.sampled_from([b'"', b":", b",", b"{}", b"[]", b'"at":5,', b"0", b"-", b"null"]),
            )
        )
        text[at : at + draw(st.integers(0, 3))] = piece
    return bytes(text)


@settings(max_examples=600, deadline=None)
@given(mutilated())
@example(b"{}")
def test_whatever_it_reads_the_strict_reading_reads_alike(text: bytes) -> None:
    found = read_common(text)
    if found is not None:
        assert read_strictly(text) == found
