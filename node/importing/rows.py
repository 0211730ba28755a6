"""Rows of a file: CSV or JSONL, strict UTF-8, bounded, with the line where each one starts.

A row is never lost: what cannot be read is yielded as `BadRow` with its reason and its bytes, and
reading goes on at the next line. Blank lines are no rows.

CSV: fields apart by one delimiter, quoted by `"` with `""` for a quote inside; a quoted field may
run over line ends; line ends are LF or CRLF; a byte-order mark is skipped. A quote that is never
closed spoils only the line where it stands. JSONL: one object a line; numbers keep their text
(they never become floats), true and false become `true` and `false`, null is an absent column.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from ledger.errors import Malformed

LINE_BYTES_MAX: Final = 256 * 1_024
ROW_LINES_MAX: Final = 1_000
COLUMNS_MAX: Final = 512
_KEPT_BYTES: Final = 4_096
_BOM: Final = b"\xef\xbb\xbf"
_LONE: Final = re.compile(r"[\ud800-\udfff]")  # of a JSON escape alone: it has no UTF-8

Format = Literal["csv", "jsonl"]


@dataclass(frozen=True, slots=True)
class Source:
    """How a file is to be read. `columns` names the columns that must be there.

    For CSV without a header, `columns` names all of them in order.
    """

    format: Format
    columns: tuple[str, ...]
    header: bool = True
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its first line (from 1), its place among all rows (from 0), its cells."""

    line: int
    index: int
    raw: bytes
    end: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why; `raw` holds its bytes as they stand in the file."""

    line: int
    index: int
    raw: bytes
    end: int
    reason: str


class _Unreadable(Exception):
    """Why a row cannot be read."""


def read_rows(path: Path, source: Source) -> Iterator[Row | BadRow]:
    """The rows of a file, in order. `end` is the offset of the byte behind each row.

    Raises:
        Malformed: the header does not fit, or the file is not text in UTF-8 at all.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        _refuse_other_encodings(file, path)
        lines = _Lines(file)
        if source.format == "jsonl":
            yield from _jsonl(lines, source)
        else:
            yield from _csv(lines, source, path)


def _refuse_other_encodings(file: BinaryIO, path: Path) -> None:
    start = file.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Malformed(f"{path} is in UTF-16; save it as UTF-8 and import it again")
    file.seek(len(_BOM) if start.startswith(_BOM) else 0)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    raw: bytes
    whole: bool


class _Lines:
    """Lines of bounded length, with one line of putting back for unclosed quotes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self._back: list[_Line] = []
        self.offset = file.tell()

    def next(self) -> _Line | None:
        if self._back:
            line = self._back.pop()
            self.offset += len(line.raw)
            return line
        raw = self._file.readline(LINE_BYTES_MAX + 1)
        if not raw:
            return None
        self._number += 1
        whole = len(raw) <= LINE_BYTES_MAX or raw.endswith(b"\n")
        self.offset += len(raw)
        if not whole:
            self._skip_rest()
        return _Line(self._number, raw, whole)

    def put_back(self, lines: Sequence[_Line]) -> None:
        self._back.extend(reversed(lines))
        self.offset -= sum(len(line.raw) for line in lines)

    def _skip_rest(self) -> None:
        while True:
            more = self._file.readline(LINE_BYTES_MAX)
            self.offset += len(more)
            if not more or more.endswith(b"\n"):
                return


def _text(line: _Line) -> str:
    if not line.whole:
        raise _Unreadable(f"the line is longer than {LINE_BYTES_MAX} bytes (its start is kept)")
    try:
        text = line.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"byte {error.start + 1} of the line is not UTF-8") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if "\0" in text:
        raise _Unreadable("there is a NUL character in it")
    return text


def _kept(line: _Line) -> bytes:
    return line.raw if line.whole else line.raw[:_KEPT_BYTES]


def _csv(lines: _Lines, source: Source, path: Path) -> Iterator[Row | BadRow]:
    columns = source.columns
    if source.header:
        columns = _header(lines, source, path)
    index = 0
    while (line := lines.next()) is not None:
        if line.raw.strip(b"\r\n") == b"":
            continue
        raw = _kept(line)
        try:
            fields, raw = _csv_fields(lines, line, source.delimiter)
            _check_count(fields, columns)
        except _Unreadable as error:
            yield BadRow(line.number, index, raw, lines.offset, str(error))
        else:
            cells = dict(zip(columns, fields, strict=True))
            yield Row(line.number, index, raw, lines.offset, cells)
        index += 1


def _check_count(fields: Sequence[str], columns: Sequence[str]) -> None:
    if len(fields) != len(columns):
        raise _Unreadable(f"{len(fields)} fields where there are {len(columns)} columns")


def _csv_fields(lines: _Lines, first: _Line, delimiter: str) -> tuple[list[str], bytes]:
    text = _text(first)
    if '"' not in text:
        if "\r" in text:
            raise _Unreadable("there is a carriage return inside the line")
        return text.split(delimiter), first.raw
    taken: list[_Line] = []
    raw = first.raw
    while text.count('"') % 2:
        following = lines.next() if len(taken) < ROW_LINES_MAX else None
        if following is None:
            lines.put_back(taken)
            raise _Unreadable("a quote is opened and never closed")
        taken.append(following)
        raw += following.raw
        if len(raw) > LINE_BYTES_MAX:
            lines.put_back(taken)
            raise _Unreadable(f"the quoted row is longer than {LINE_BYTES_MAX} bytes")
        try:
            text += "\n" + _text(following)
        except _Unreadable:
            lines.put_back(taken)
            raise
    try:
        return _parse_quoted(text, delimiter), raw
    except _Unreadable:
        lines.put_back(taken)
        raise


def _parse_quoted(text: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _Unreadable(f"the quotes do not fit: {error}") from error
    if len(rows) != 1:
        raise _Unreadable("the quotes do not fit: the row falls apart")
    return rows[0]


def _header(lines: _Lines, source: Source, path: Path) -> tuple[str, ...]:
    line = lines.next()
    if line is None:
        raise Malformed(f"{path} is empty; a header with {', '.join(source.columns)} was expected")
    try:
        columns, _ = _csv_fields(lines, line, source.delimiter)
    except _Unreadable as error:
        raise Malformed(f"{path}, line 1: the header cannot be read: {error}") from error
    _check_header(columns, source, path)
    return tuple(columns)


def _check_header(columns: Sequence[str], source: Source, path: Path) -> None:
    if len(columns) > COLUMNS_MAX:
        raise Malformed(f"{path}, line 1: more than {COLUMNS_MAX} columns")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise Malformed(f"{path}, line 1: column {twice[0]!r} stands there twice")
    for name in source.columns:
        if name not in columns:
            near = get_close_matches(name, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            there = ", ".join(columns)[:200]
            raise Malformed(f"{path}, line 1: there is no column {name!r} among {there}{hint}")


def _jsonl(lines: _Lines, source: Source) -> Iterator[Row | BadRow]:
    index = 0
    while (line := lines.next()) is not None:
        if not line.raw.strip():
            continue
        try:
            cells = _json_cells(_text(line), source)
        except _Unreadable as error:
            yield BadRow(line.number, index, _kept(line), lines.offset, str(error))
        else:
            yield Row(line.number, index, line.raw, lines.offset, cells)
        index += 1


def _json_cells(text: str, source: Source) -> dict[str, str]:
    try:
        value = json.loads(
            text,
            parse_float=str,
            parse_int=str,
            parse_constant=_no_constant,
            object_pairs_hook=_no_twins,
        )
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _Unreadable("the line is JSON, and not an object")
    return {name: _cell(name, value[name]) for name in source.columns if _has(value, name)}


def _has(value: dict[str, Any], name: str) -> bool:
    return value.get(name) is not None


def _cell(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise _Unreadable(f"column {name!r} is not a text or a number")
    if not value.isascii() and _LONE.search(value):
        raise _Unreadable(f"column {name!r} holds a lone surrogate, which no text has")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise ValueError("a key stands there twice")
    return whole
