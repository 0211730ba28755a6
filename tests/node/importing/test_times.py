"""Times: decimal text to integer milliseconds, never by way of a float."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.importing.times import BadTime, parse_time


@pytest.mark.parametrize(
    ("text", "unit", "ms"),
    [
        ("1289241911.72836", "s", 1289241911728),
        ("1289241911", "s", 1289241911000),
        ("1289241911.5", "s", 1289241911500),
        ("1453684323.9999999999", "s", 1453684323999),
        ("1289241911728", "ms", 1289241911728),
        ("1970-01-01T00:00:01Z", "iso", 1000),
        ("1970-01-01T02:00:00.25+02:00", "iso", 250),
        ("1970-01-02", "iso-utc", 86_400_000),
    ],
)
def test_times(text: str, unit, ms: int) -> None:
    assert parse_time(text, unit) == ms


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1e9", "s"),
        ("-1", "s"),
        ("", "s"),
        (" 1", "s"),
        ("1.", "s"),
        ("١", "s"),
        ("nan", "s"),
        ("1970-01-01T00:00:01", "iso"),
        ("1970-01-01T00:00:01Z", "iso-utc"),
        ("yesterday", "iso"),
    ],
)
def test_what_is_no_time(text: str, unit) -> None:
    with pytest.raises(BadTime):
        parse_time(text, unit)


@given(st.integers(0, 2**40), st.integers(0, 999), st.text("0123456789", max_size=9))
def test_every_millisecond_comes_back(seconds: int, ms: int, finer: str) -> None:
    assert parse_time(f"{seconds}.{ms:03d}{finer}", "s") == seconds * 1000 + ms
