"""The JSON form of every value of the ledger, derived from the Structs themselves.

| in the Struct | in JSON |
|---|---|
| `bytes` | lowercase hex of exactly the same length, twice the characters |
| `int` | a whole number, never a fraction, a boolean or a string |
| `Literal`, `str` | a string |
| tuple | an array |
| nested Struct | an object with the Struct's field names, all of them and no others |
| `… | None` | null |

A record is an object with `type` (its name, as "engagement.open") beside its fields, and may have
`signatures`, an array of 128-digit hex strings. There is one reading for each value: unknown,
missing and doubled keys are refused at every depth, and every error names the path of its field.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from ledger.batch import SIGNATURES_MAX
from ledger.errors import Malformed
from ledger.records import (
    NAMES,
    RECORD_BYTES_MAX,
    TYPE_OF_NAME,
    Record,
    decode_record,
    encode_record,
)
from ledger.signing import SIGNATURE_BYTES
from node.api.json_common import read_common
from node.api.json_text import Duplicate, Oversize, parse_json

T = TypeVar("T")
Read = Callable[[Any], Any]

JSON_RECORD_BYTES_MAX: Final = 16_384
JSON_VALUE_BYTES_MAX: Final = 16 * 1_024 * 1_024

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*\Z", re.ASCII)
_ALIKE: Final = frozenset((int, str, float, bool, type(None)))
"""What is the same in JSON."""
_BESIDE: Final = frozenset(("type", "signatures"))
_readers: dict[Any, Read] = {}


# --- writing ---


def value_to_json(value: Any) -> Any:
    """The JSON form of a value: what `msgspec.json.encode` or `json.dumps` can print."""
    if type(value) in _ALIKE:
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: value_to_json(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [value_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {name: value_to_json(item) for name, item in value.items()}
    return value


def record_to_json(record: Record | bytes, signatures: bytes = b"") -> dict[str, Any]:
    """The JSON form of a record (or of its bytes), with `signatures` if there are any.

    Raises:
        Malformed: bytes that are no record.
    """
    if isinstance(record, bytes):
        record = decode_record(record)
    made = {"type": NAMES[type(record)], **value_to_json(record)}
    if signatures:
        starts = range(0, len(signatures), SIGNATURE_BYTES)
        made["signatures"] = [signatures[at : at + SIGNATURE_BYTES].hex() for at in starts]
    return made


# --- reading ---


def record_from_json(data: bytes | str | Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Read a record: its canonical bytes, and its signatures end to end.

    Raises:
        Malformed: not JSON, an unknown type, or not the fields of its type; `field` is the path.
    """
    common = read_common(data) if isinstance(data, bytes) else None
    return read_strictly(data) if common is None else common


def read_strictly(data: bytes | str | Mapping[str, Any]) -> tuple[bytes, bytes]:
    """`record_from_json` of any record, and of what is none: field by field.

    Raises:
        Malformed: as `record_from_json`.
    """
    if isinstance(data, bytes | str):
        data = parse_json(data, bytes_max=JSON_RECORD_BYTES_MAX, what="the record")
    given = _fields(data)
    name = given.get("type")
    if name is None:
        raise Malformed("is missing", field="type")
    kind = TYPE_OF_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(TYPE_OF_NAME)
        raise Malformed(f"is no record type; there are {known}", field="type")
    record = encode_record(_reader(kind, beside=_BESIDE)(given))
    if len(record) > RECORD_BYTES_MAX:
        raise Oversize(f"a record has {len(record)} bytes, at most {RECORD_BYTES_MAX} are allowed")
    return record, _read_signatures(given["signatures"]) if "signatures" in given else b""


def value_from_json(
    kind: type[T], data: bytes | str | Mapping[str, Any], *, bytes_max: int = JSON_VALUE_BYTES_MAX
) -> T:
    """Read a value of any Struct (a Genesis, a request) from its JSON form.

    Raises:
        Malformed: not JSON, or not the fields of its type; `field` is the path.
    """
    if isinstance(data, bytes | str):
        data = parse_json(data, bytes_max=bytes_max)
    return cast("T", _reader(kind)(data))


def _read_signatures(value: Any) -> bytes:
    if not isinstance(value, list):
        raise Malformed("is not an array", field="signatures")
    if len(value) > SIGNATURES_MAX:
        raise Malformed(f"has more than {SIGNATURES_MAX} items", field="signatures")
    read = _bytes_reader(inspect.BytesType(SIGNATURE_BYTES, SIGNATURE_BYTES))
    return b"".join(_at(f"signatures[{at}]", read, item) for at, item in enumerate(value))


def _reader(kind: Any, *, beside: frozenset[str] = frozenset()) -> Read:
    found = _readers.get(kind)
    if found is None:
        found = _readers[kind] = _compile(inspect.type_info(kind), beside)
    return found


def _compile(info: inspect.Type, beside: frozenset[str] = frozenset()) -> Read:
    """The reader of a type: takes a parsed JSON value, returns the Struct's."""
    match info:
        case inspect.Metadata():
            return _compile(info.type, beside)
        case inspect.IntType():
            return _int_reader(info)
        case inspect.BytesType():
            return _bytes_reader(info)
        case inspect.StrType():
            return _str_reader(info)
        case inspect.BoolType():
            return _bool
        case inspect.LiteralType():
            return _literal_reader(tuple(info.values))
        case inspect.VarTupleType() | inspect.ListType():
            return _array_reader(info)
        case inspect.TupleType():
            return _tuple_reader(info)
        case inspect.StructType():
            return _struct_reader(info, beside)
        case inspect.UnionType(types) if len(types) == 2 and info.includes_none:
            return _optional_reader(next(t for t in types if not isinstance(t, inspect.NoneType)))
    raise TypeError(f"no JSON form is defined for {info}")


def _int_reader(info: inspect.IntType) -> Read:
    low = info.ge if info.ge is not None else 0
    high = info.le if info.le is not None else 2**53 - 1

    def read(value: Any) -> int:
        if type(value) is not int:
            raise Malformed("is not a whole number")
        if not low <= value <= high:
            raise Malformed(f"is not from {low} to {high}")
        return value

    return read


def _bytes_reader(info: inspect.BytesType) -> Read:
    low = info.min_length or 0
    high = info.max_length if info.max_length is not None else JSON_VALUE_BYTES_MAX
    digits = f"{2 * low}" if low == high else f"{2 * low} to {2 * high}"

    def read(value: Any) -> bytes:
        if type(value) is not str or not _HEX.match(value) or not 2 * low <= len(value) <= 2 * high:
            raise Malformed(f"is not {digits} lowercase hex digits")
        return bytes.fromhex(value)

    return read


def _str_reader(info: inspect.StrType) -> Read:
    low = info.min_length or 0
    high = info.max_length if info.max_length is not None else JSON_VALUE_BYTES_MAX
    pattern = re.compile(info.pattern) if info.pattern else None

    def read(value: Any) -> str:
        if type(value) is not str:
            raise Malformed("is not a string")
        if not low <= len(value) <= high:
            raise Malformed(f"has not {low} to {high} characters")
        if pattern is not None and not pattern.search(value):
            raise Malformed(f"does not match {info.pattern}")
        if not value.isascii() and not _is_text(value):
            raise Malformed("is not text in Unicode normal form C")
        return value

    return read


def _is_text(value: str) -> bool:
    """No lone surrogate, and in normal form C."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return unicodedata.is_normalized("NFC", value)


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise Malformed("is not true or false")
    return value


def _literal_reader(values: tuple[Any, ...]) -> Read:
    allowed = frozenset(values)
    listed = ", ".join(str(value) for value in values)

    def read(value: Any) -> Any:
        if type(value) is not str or value not in allowed:
            raise Malformed(f"is not one of: {listed}")
        return value

    return read


def _array_reader(info: inspect.VarTupleType | inspect.ListType) -> Read:
    item_reader = _compile(info.item_type)
    low, high = info.min_length or 0, info.max_length
    make: Callable[[list[Any]], Any] = list if isinstance(info, inspect.ListType) else tuple

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise Malformed("is not an array")
        if len(value) < low or (high is not None and len(value) > high):
            raise Malformed(f"has {len(value)} items, not {low} to {high or 'any number'}")
        return make([_at(f"[{at}]", item_reader, item) for at, item in enumerate(value)])

    return read


def _tuple_reader(info: inspect.TupleType) -> Read:
    readers = [_compile(each) for each in info.item_types]

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise Malformed(f"is not an array of {len(readers)} items")
        pairs = enumerate(zip(readers, value, strict=True))
        return tuple(_at(f"[{at}]", reader, item) for at, (reader, item) in pairs)

    return read


def _optional_reader(info: inspect.Type) -> Read:
    inner = _compile(info)
    return lambda value: None if value is None else inner(value)


def _struct_reader(info: inspect.StructType, beside: frozenset[str]) -> Read:
    readers = {field.name: _compile(field.type) for field in info.fields}
    required = frozenset(field.name for field in info.fields if field.required)
    allowed = beside | readers.keys()
    make = info.cls

    def read(value: Any) -> Any:
        given = _fields(value)
        for name in given.keys() - allowed:
            raise Malformed("is not a field of this object", field=name[:64])
        for name in sorted(required - given.keys()):
            raise Malformed("is missing", field=name)
        return make(
            **{
                name: _at(name, reader, given[name])
                for name, reader in readers.items()
                if name in given
            }
        )

    return read


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Duplicate):
        raise Malformed("stands there twice", field=value.key[:64])
    if not isinstance(value, Mapping):
        raise Malformed("is not an object")
    return value


def _at(step: str, read: Read, value: Any) -> Any:
    """Read a part, and put its place before the path of whatever is wrong in it."""
    try:
        return read(value)
    except Malformed as error:
        inner = error.field
        joint = "" if not inner or inner.startswith("[") else "."
        raise Malformed(error.message, field=f"{step}{joint}{inner}") from error
