"""The mapping file: how rows of somebody's file become records. TOML, with a closed grammar.

    title = "…"                       what it is, shown when it runs                      [optional]
    note = "…"                        what a reader must know, shown with every result    [optional]

    [source]                          the file
    format = "csv" | "jsonl"
    columns = ["…", …]                columns that must be there; without header: all, in order
    header = true | false             csv only (default true)
    delimiter = ","                   csv only (default ,)

    [lookups.NAME]                    another file, in the imported file's folder
    file = "…"                        same format and delimiter, with a header
    key = "column"  value = "column"

    [values]                          named terms; each may use those above it
    NAME = term

    [times.NAME]                      a time, from a column …
    of = term                         … or synthetic, by the row's place in the file:
    unit = "s" | "ms" | "iso" | "iso-utc"        start = "2020-01-01T00:00:00Z"  step_ms = 1000
    plus_ms = 0                       added to it (default 0)

    [engagement]
    reference = term                  the platform's own name of the engagement: one a row

    [subjects.NAME]                   a worker or client, registered where first seen
    reference = term                  the platform's own name of the person
    registered = "time name"
    assurance = term                  yields none, contact, document or in-person
    key = term                        yields a public key, 64 hex digits, or ""  [optional]

    [[records]]                       the records of a row, in this order
    type = "engagement.open" | "engagement.outcome" | "rating"
    when = term                       only where it yields "yes"                          [optional]
    at, due_from, due_until = "time name"
    worker, client, rater = "subject name"
    everything else                   by the record's own field names: a term, or a list of terms

Terms: terms.py. `platform` and `reference` fill themselves. An error names the file, the line, the
key, and what was probably meant.
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ledger.encoding import UINT_MAX
from ledger.errors import Misconfigured
from node.importing.fields import Shape, compile_shape, public_key
from node.importing.rows import Format, Source
from node.importing.terms import BadTerm, Names, RowRejected, Term, compile_term, suggestion
from node.importing.times import UNITS, BadTime, Time, Unit, parse_iso
from node.importing.toml_lines import line_of
from node.toml_text import BadToml, parse_toml

MAPPING_BYTES_MAX: Final = 256 * 1_024
RECORDS_MAX: Final = 8
_TOP: Final = {
    "title", "note", "source", "lookups", "values", "times", "engagement", "subjects", "records",
}  # fmt: skip
_FORMATS: Final[tuple[Format, ...]] = ("csv", "jsonl")
_ASSURANCES: Final = ("none", "contact", "document", "in-person")


@dataclass(frozen=True, slots=True)
class Lookup:
    """Another file, of which one column finds another."""

    file: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Person:
    """A subject as the rows name it."""

    reference: Term
    registered: str
    assurance: Term
    key: Term | None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file, read and checked. `digest` is the SHA-256 of its bytes."""

    title: str
    note: str
    digest: bytes
    source: Source
    lookups: Map[str, Lookup]
    values: Map[str, Term]
    times: Map[str, Time]
    engagement: Term
    subjects: Map[str, Person]
    shapes: tuple[Shape, ...]


def read_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        Misconfigured: with file, line, key and a suggestion.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAPPING_BYTES_MAX + 1)
    except OSError as error:
        raise Misconfigured(f"the mapping {path} cannot be read: {error.strerror}") from error
    if len(data) > MAPPING_BYTES_MAX:
        raise Misconfigured(f"the mapping {path} has more than {MAPPING_BYTES_MAX} bytes")
    return parse_mapping(data, name=str(path))


def parse_mapping(data: bytes, *, name: str = "mapping") -> Mapping:
    """Read a mapping from its bytes; `name` is how errors call it."""
    try:
        text = data.decode("utf-8")
        whole = parse_toml(text)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{name}: byte {error.start + 1} is not UTF-8") from error
    except BadToml as error:
        raise Misconfigured(f"{name}: not TOML: {error}") from error
    return _Reader(name, text, whole).mapping(sha256(data).digest())


class _Reader:
    """Reads one mapping; knows where everything stands."""

    def __init__(self, name: str, text: str, whole: dict[str, Any]) -> None:
        self._name = name
        self._text = text
        self._whole = whole

    def mapping(self, digest: bytes) -> Mapping:
        self._only((), self._whole, _TOP, needed={"source", "engagement", "subjects", "records"})
        source = self._source()
        lookups = self._lookups()
        values, names = self._values(source, lookups)
        times = self._times(names)
        subjects = self._subjects(names, times)
        engagement = self._table(("engagement",), needed={"reference"})
        reference = self._term(("engagement", "reference"), engagement["reference"], names)
        return Mapping(
            title=self._text_at(("title",), self._whole.get("title", "")),
            note=self._text_at(("note",), self._whole.get("note", "")),
            digest=digest,
            source=source,
            lookups=lookups,
            values=values,
            times=times,
            engagement=reference,
            subjects=subjects,
            shapes=self._shapes(names, times, subjects),
        )

    def _source(self) -> Source:
        at = ("source",)
        table = self._table(at, needed={"format", "columns"}, also={"header", "delimiter"})
        form = self._one_of((*at, "format"), table["format"], _FORMATS)
        columns = table["columns"]
        if not isinstance(columns, list) or not columns:
            raise self._error((*at, "columns"), "must be a list of the columns' names")
        names = tuple(self._text_at((*at, "columns"), each) for each in columns)
        if len(set(names)) != len(names):
            raise self._error((*at, "columns"), "a column stands there twice")
        header = table.get("header", True)
        delimiter = self._text_at((*at, "delimiter"), table.get("delimiter", ","))
        if not isinstance(header, bool):
            raise self._error((*at, "header"), "must be true or false")
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise self._error((*at, "delimiter"), "must be one character, and no quote or line end")
        return Source("csv" if form == "csv" else "jsonl", names, header, delimiter)

    def _lookups(self) -> dict[str, Lookup]:
        found = {}
        for name in self._table(("lookups",)):
            at = ("lookups", name)
            table = self._table(at, needed={"file", "key", "value"})
            texts = {key: self._text_at((*at, key), table[key]) for key in table}
            if "/" in texts["file"] or "\\" in texts["file"] or texts["file"] in ("", ".", ".."):
                raise self._error((*at, "file"), "must be a file's name in the imported folder")
            found[name] = Lookup(**texts)
        return found

    def _values(self, source: Source, lookups: Map[str, Lookup]) -> tuple[dict[str, Term], Names]:
        names = Names(frozenset(source.columns), frozenset(), frozenset(lookups))
        found: dict[str, Term] = {}
        for name, value in self._table(("values",)).items():
            if name in source.columns:
                raise self._error(("values", name), "is the name of a column already")
            found[name] = self._term(("values", name), value, names)
            names = Names(names.columns, frozenset(found), names.lookups)
        return found, names

    def _times(self, names: Names) -> dict[str, Time]:
        found = {}
        for name, value in self._table(("times",)).items():
            at = ("times", name)
            synthetic = isinstance(value, dict) and "start" in value
            needed = {"start", "step_ms"} if synthetic else {"of", "unit"}
            table = self._table(at, needed=needed, also={"plus_ms"})
            plus = self._integer((*at, "plus_ms"), table.get("plus_ms", 0))
            if synthetic:
                step = self._integer((*at, "step_ms"), table["step_ms"])
                found[name] = Time(None, "iso", self._start((*at, "start"), table), step, plus)
            else:
                unit: Unit = self._one_of((*at, "unit"), table["unit"], UNITS)  # type: ignore[assignment]
                found[name] = Time(self._term((*at, "of"), table["of"], names), unit, 0, 0, plus)
        return found

    def _start(self, at: tuple[str, ...], table: dict[str, Any]) -> int:
        value = table["start"]
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC).isoformat()
        try:
            return parse_iso(self._text_at(at, value), is_utc=False)
        except BadTime as error:
            raise self._error(at, str(error)) from error

    def _subjects(self, names: Names, times: Map[str, Time]) -> dict[str, Person]:
        found = {}
        for name in self._table(("subjects",)):
            at = ("subjects", name)
            table = self._table(at, needed={"reference", "registered", "assurance"}, also={"key"})
            found[name] = Person(
                self._term((*at, "reference"), table["reference"], names),
                self._one_of((*at, "registered"), table["registered"], tuple(times)),
                self._assurance((*at, "assurance"), table["assurance"], names),
                self._key((*at, "key"), table["key"], names) if "key" in table else None,
            )
        return found

    def _key(self, at: tuple[str, ...], value: object, names: Names) -> Term:
        term = self._term(at, value, names)
        for each in term.outcomes if term.constant is None else (term.constant,):
            try:
                public_key(each)
            except RowRejected as error:
                raise self._error(at, str(error)) from error
        return term

    def _assurance(self, at: tuple[str, ...], value: object, names: Names) -> Term:
        term = self._term(at, value, names)
        constants = term.outcomes if term.constant is None else (term.constant,)
        for each in constants:
            self._one_of(at, each, _ASSURANCES)
        return term

    def _shapes(
        self, names: Names, times: Map[str, Time], subjects: Map[str, Person]
    ) -> tuple[Shape, ...]:
        records = self._whole["records"]
        if not isinstance(records, list) or not 1 <= len(records) <= RECORDS_MAX:
            raise self._error(("records",), f"must be 1 to {RECORDS_MAX} tables [[records]]")
        shapes = []
        for index, record in enumerate(records):
            if not isinstance(record, dict):
                raise self._error(("records", index), "must be a table [[records]]")
            try:
                shapes.append(compile_shape(record, names, set(times), set(subjects)))
            except BadTerm as error:
                key = error.args[1] if len(error.args) > 1 else ""
                raise self._error(("records", index, key), str(error.args[0])) from error
        return tuple(shapes)

    # -- small pieces ---------------------------------------------------------------------------

    def _table(
        self, at: tuple[str, ...], *, needed: set[str] | None = None, also: set[str] | None = None
    ) -> dict[str, Any]:
        table: Any = self._whole
        for part in at:
            table = table.get(part, {})
        if not isinstance(table, dict):
            raise self._error(at, "must be a table")
        if needed is not None:
            self._only(at, table, needed | (also or set()), needed=needed)
        return table

    def _only(
        self, at: tuple[str, ...], table: Map[str, Any], allowed: set[str], *, needed: set[str]
    ) -> None:
        for key in table:
            if key not in allowed:
                raise self._error((*at, key), f"is no key of a mapping{suggestion(key, allowed)}")
        for key in sorted(needed - table.keys()):
            where = f"[{'.'.join(at)}]" if at else "the mapping"
            raise self._error(at, f"{where} needs the key {key!r}")

    def _term(self, at: tuple[str, ...], value: object, names: Names) -> Term:
        try:
            return compile_term(value, names)
        except BadTerm as error:
            raise self._error(at, str(error)) from error

    def _text_at(self, at: tuple[str, ...], value: object) -> str:
        if not isinstance(value, str):
            raise self._error(at, f"must be a text, not {value!r}")
        return value

    def _integer(self, at: tuple[str, ...], value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= UINT_MAX:
            raise self._error(at, f"must be an integer of milliseconds from 0, not {value!r}")
        return value

    def _one_of(self, at: tuple[str, ...], value: object, known: tuple[str, ...]) -> str:
        text = self._text_at(at, value)
        if text not in known:
            raise self._error(at, f"{text!r} is not known{suggestion(text, set(known))}")
        return text

    def _error(self, at: tuple[str | int, ...], message: str) -> Misconfigured:
        path = [part for part in at if part != ""]
        key = ".".join(str(part) for part in path)
        line = line_of(self._text, path)
        return Misconfigured(f"{self._name}, line {line}: {key}: {message}" if key
                             else f"{self._name}, line {line}: {message}")  # fmt: skip
