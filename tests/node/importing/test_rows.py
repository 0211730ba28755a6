"""Reading rows: quirks of CSV and JSONL, encodings, bounds; nothing is lost."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Malformed
from node.importing.rows import LINE_BYTES_MAX, BadRow, Row, Source, read_rows

AB = Source("csv", ("a", "b"))
BARE = Source("csv", ("a", "b"), header=False)
JSONL = Source("jsonl", ("a", "b"))


def rows(write, content, source=AB):
    return list(read_rows(write(content), source))


def cells(write, content, source=AB):
    return [row.cells for row in rows(write, content, source) if isinstance(row, Row)]


def test_plain_rows_with_lf_and_crlf_and_without_an_end(write) -> None:
    for content in ("a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\n1,2\n3,4"):
        assert cells(write, content) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_byte_order_mark_is_skipped(write) -> None:
    assert cells(write, b"\xef\xbb\xbfa,b\n1,2\n") == [{"a": "1", "b": "2"}]


def test_utf_16_is_named(write) -> None:
    with pytest.raises(Malformed, match="UTF-16"):
        rows(write, "a,b\n1,2\n".encode("utf-16"))


def test_quotes_delimiters_and_line_ends_inside_quotes(write) -> None:
    found = rows(write, 'a,b\n"x, ""y""","two\nlines"\n3,4\n')
    assert [row.cells for row in found] == [
        {"a": 'x, "y"', "b": "two\nlines"},
        {"a": "3", "b": "4"},
    ]
    assert [(row.line, row.index) for row in found] == [(2, 0), (4, 1)]
    assert found[0].raw == b'"x, ""y""","two\nlines"\n'


def test_an_unclosed_quote_spoils_its_own_line_only(write) -> None:
    bad, good = rows(write, 'a,b\n1,"2\n3,4\n')
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert "never closed" in bad.reason
    assert bad.raw == b'1,"2\n'
    assert good.cells == {"a": "3", "b": "4"}
    assert good.line == 3


def test_a_quote_in_the_middle_of_a_field_is_refused(write) -> None:
    bad, good = rows(write, 'a,b\n"1"x,2\n3,4\n')
    assert isinstance(bad, BadRow)
    assert "quotes do not fit" in bad.reason
    assert good.cells["a"] == "3"


def test_short_and_long_rows_are_bad_and_blank_lines_are_none(write) -> None:
    found = rows(write, "a,b\n1\n\n1,2,3\n\r\n1,2\n")
    assert [type(row) for row in found] == [BadRow, BadRow, Row]
    assert [row.line for row in found] == [2, 4, 6]
    assert "1 fields where there are 2 columns" in found[0].reason


def test_bad_utf_8_nul_and_carriage_return_are_bad_rows(write) -> None:
    found = rows(write, b"a,b\n\xff,2\n1\x00,2\n1\r,2\n1,2\n")
    assert [type(row) for row in found] == [BadRow, BadRow, BadRow, Row]
    assert found[0].raw == b"\xff,2\n"
    assert "not UTF-8" in found[0].reason


def test_a_line_over_the_bound_is_bad_and_the_next_one_is_read(write) -> None:
    found = rows(write, b"a,b\n" + b"x" * (3 * LINE_BYTES_MAX) + b",2\n1,2\n")
    assert isinstance(found[0], BadRow)
    assert "longer than" in found[0].reason
    assert found[1].cells == {"a": "1", "b": "2"}
    assert found[1].line == 3


def test_a_header_with_more_columns_in_another_order(write) -> None:
    assert cells(write, "z,b,a\n0,2,1\n") == [{"z": "0", "b": "2", "a": "1"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("a,B\n", "no column 'b'"),
        ("aa,b\n", "did you mean 'aa'"),
        ("a,b,a\n", "twice"),
        ('a,"b\n', "header cannot be read"),
    ],
)
def test_headers_that_do_not_fit(write, content: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        rows(write, content)


def test_without_a_header_the_columns_are_named_by_the_mapping(write) -> None:
    assert cells(write, "1,2\n", BARE) == [{"a": "1", "b": "2"}]


def test_another_delimiter(write) -> None:
    source = Source("csv", ("a", "b"), delimiter=";")
    assert cells(write, 'a;b\n1,5;"x;y"\n', source) == [{"a": "1,5", "b": "x;y"}]


def test_json_numbers_keep_their_text(write) -> None:
    content = '{"a": 1289241911.728360, "b": -7, "c": [1]}\n{"a": true, "b": null}\n'
    assert cells(write, content, JSONL) == [{"a": "1289241911.728360", "b": "-7"}, {"a": "true"}]


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "{",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": {"x": 1}}',
        "[" * 100_000,
        r'{"a": "\ud800"}',
    ],
)
def test_json_lines_that_are_refused(write, line: str) -> None:
    bad, good = rows(write, f'{line}\n{{"a": "1"}}\n', JSONL)
    assert isinstance(bad, BadRow)
    assert good.cells == {"a": "1"}


def test_end_is_the_offset_behind_the_row(write) -> None:
    content = 'a,b\n1,"2\n3,4\n'
    path = write(content)
    ends = [row.end for row in read_rows(path, AB)]
    assert ends == [len('a,b\n1,"2\n'), len(content)]


@given(st.binary(max_size=400))
def test_any_bytes_are_rows_in_order_or_one_clear_error(tmp_path_factory, data: bytes) -> None:
    path: Path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(data)
    for source in (BARE, JSONL):
        try:
            found = list(read_rows(path, source))
        except Malformed:
            continue
        assert [row.index for row in found] == list(range(len(found)))
        assert [row.line for row in found] == sorted({row.line for row in found})
        body = data.removeprefix(b"\xef\xbb\xbf")
        blank = b"\r\n" if source is BARE else b" \t\n\r\x0b\x0c"
        kept = b"".join(row.raw for row in found)
        assert kept.translate(None, blank) == body.translate(None, blank)  # nothing is lost
