"""The records of a mapping: each field of a record type, compiled from what the mapping says.

A shape knows the record type and, per field, where its value comes from. Constants are checked
against the record's own types when the mapping is read, so that a misspelt word is found before
the first row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from node.importing.terms import BadTerm, Names, RowRejected, Scope, Term, compile_term, suggestion

RecordKind = type[EngagementOpen] | type[EngagementOutcome] | type[Rating]

KINDS: Final[dict[str, RecordKind]] = {
    "engagement.open": EngagementOpen,
    "engagement.outcome": EngagementOutcome,
    "rating": Rating,
}
TIMES: Final = frozenset({"at", "due_from", "due_until"})
SUBJECTS: Final = frozenset({"worker", "client", "rater"})
_FILLED: Final = frozenset({"platform", "reference"})
_LIST_MAX: Final = 16
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}\Z")

Maker = Callable[[Scope], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """One record of a row: its type, and where each field's value comes from.

    `times` and `subjects` name entries of the mapping; `constants` are ready values; `makers` give
    a value for each row; `when` (if any) says whether the row has this record.
    """

    name: str
    kind: RecordKind
    when: Term | None
    times: tuple[tuple[str, str], ...]
    subjects: tuple[tuple[str, str], ...]
    constants: dict[str, Any]
    makers: tuple[tuple[str, Maker], ...]


def public_key(value: str | int) -> bytes:
    """A subject's public key as a row has it: 64 hex digits, or nothing.

    Raises:
        RowRejected: it is neither.
    """
    text = str(value)
    if text and not _KEY.match(text):
        raise RowRejected(f"key: {text!r} is no public key: 64 hex digits, or nothing")
    return bytes.fromhex(text)


def compile_shape(
    record: dict[str, Any], names: Names, times: set[str], subjects: set[str]
) -> Shape:
    """Read one [[records]] table.

    Raises:
        BadTerm: message, and the key at fault.
    """
    name = record.get("type")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None or not isinstance(name, str):
        raise BadTerm(f"{name!r} is no record type{suggestion(str(name), KINDS)}", "type")
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    wanted = fields.keys() - _FILLED
    _check_keys(record, name, set(wanted))
    shape = Shape(
        name,
        kind,
        _at_key("when", lambda: compile_term(record["when"], names)) if "when" in record else None,
        tuple((key, _one(record, key, times, "time")) for key in fields if key in TIMES),
        tuple((key, _one(record, key, subjects, "subject")) for key in fields if key in SUBJECTS),
        {},
        (),
    )
    return _with_values(shape, record, fields, names)


def _check_keys(record: dict[str, Any], name: str, wanted: set[str]) -> None:
    for key in record:
        if key not in wanted | {"type", "when"}:
            raise BadTerm(f"is no field of {name}{suggestion(key, wanted)}", key)
    for key in sorted(wanted - record.keys()):
        raise BadTerm(f"{name} needs the field {key!r}")


def _one(record: dict[str, Any], key: str, known: set[str], what: str) -> str:
    value = record[key]
    if value not in known:
        raise BadTerm(f"there is no {what} {value!r}{suggestion(str(value), known)}", key)
    return str(value)


def _with_values(
    shape: Shape, record: dict[str, Any], fields: dict[str, Any], names: Names
) -> Shape:
    constants: dict[str, Any] = {}
    makers: list[tuple[str, Maker]] = []
    for key, kind in fields.items():
        if key in _FILLED | TIMES | SUBJECTS:
            continue
        value = record[key]
        constant, maker = _at_key(key, lambda k=kind, v=value: _value(v, k, names))  # type: ignore[misc]
        if maker is None:
            constants[key] = constant
        else:
            makers.append((key, maker))
    return replace(shape, constants=constants, makers=tuple(makers))


def _at_key(key: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except BadTerm as error:
        raise BadTerm(str(error.args[0]), key) from error


def _value(value: object, kind: Any, names: Names) -> tuple[Any, Maker | None]:
    """A constant, or how to make the value from a row."""
    if isinstance(value, list):
        return _list(value, kind, names)
    term = compile_term(value, names)
    is_bytes, is_integer = _base(kind) is bytes, _base(kind) is int
    if term.constant is not None:
        return _checked(_coerced(term.constant, is_bytes, is_integer), kind), None
    for each in term.outcomes:
        _checked(_coerced(each, is_bytes, is_integer), kind)
    return None, lambda scope: _coerced_row(term.of(scope), is_bytes, is_integer)


def _list(value: list[Any], kind: Any, names: Names) -> tuple[Any, Maker | None]:
    if len(value) > _LIST_MAX:
        raise BadTerm(f"a list of more than {_LIST_MAX}")
    items = [_item(each, names) for each in value]
    if all(maker is None for _, maker in items):
        return _checked(tuple(constant for constant, _ in items), kind), None

    def make(scope: Scope) -> Any:
        whole = tuple(constant if maker is None else maker(scope) for constant, maker in items)
        try:
            return msgspec.convert(whole, kind, strict=False)
        except msgspec.ValidationError as error:
            raise RowRejected(f"{whole!r} does not fit: {error}") from error

    return None, make


def _item(value: object, names: Names) -> tuple[Any, Maker | None]:
    if isinstance(value, list):
        inner = [_item(each, names) for each in value]
        if all(maker is None for _, maker in inner):
            return tuple(constant for constant, _ in inner), None
        return None, lambda scope: tuple(
            constant if maker is None else maker(scope) for constant, maker in inner
        )
    term = compile_term(value, names)
    return (term.constant, None) if term.constant is not None else (None, term.of)


def _coerced(value: str | int, is_bytes: bool, is_integer: bool) -> Any:
    try:
        return _coerced_row(value, is_bytes, is_integer)
    except RowRejected as error:
        raise BadTerm(str(error)) from error


def _coerced_row(value: str | int, is_bytes: bool, is_integer: bool) -> Any:
    if is_integer and isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= 16):
            raise RowRejected(f"{value!r} is no integer from 0")
        return int(value)
    if is_bytes and isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError as error:
            raise RowRejected(f"{value!r} is not hexadecimal") from error
    return value


def _base(kind: Any) -> Any:
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def _checked(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        choices = _choices(kind)
        hint = suggestion(str(value), set(choices)) if choices else ""
        raise BadTerm(f"{value!r} does not fit: {error}{hint}") from error


def _choices(kind: Any) -> tuple[str, ...]:
    base = _base(kind)
    if getattr(base, "__origin__", None) is Literal:
        return tuple(str(each) for each in base.__args__)
    return ()
