"""The commonest records from JSON, quickly: decoded once, straight into typed values.

It reads a part of what node/api/json_records.py reads, and reads that part alike: whatever is not
clearly a whole record of `COMMON`, right or wrong, is left to the strict reading, which says what
is amiss and where. For each type there is a twin whose fields are JSON's: hex strings for bytes.

The decoder takes the last of two equal keys, where the strict reading refuses both. No string of
these types can hold a colon (they are hex digits, codes and words of closed vocabularies), so an
object has as many colons as members: one more, and a key stands there twice.
"""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect
from msgspec.structs import astuple

from ledger.batch import SIGNATURES_MAX
from ledger.encoding import UINT_MAX, encode
from ledger.records import NAMES, RECORD_BYTES_MAX, TAGS, Record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.signing import SIGNATURE_BYTES

COMMON: Final[tuple[type[Record], ...]] = (
    SubjectRegister,
    EngagementOpen,
    EngagementOutcome,
    Rating,
)
LINE_BYTES_MAX: Final = 4 * RECORD_BYTES_MAX

_SIGNATURE_DIGITS: Final = 2 * SIGNATURE_BYTES
_Signature = Annotated[str, Meta(min_length=_SIGNATURE_DIGITS, max_length=_SIGNATURE_DIGITS)]
_Signatures = Annotated[list[_Signature], Meta(max_length=SIGNATURES_MAX)]
_from_hex: Final = bytes.fromhex


@dataclass(frozen=True, slots=True)
class _Form:
    """A type's tag, how many members its object has without signatures, and which are hex."""

    tag: int
    members: int
    hex: tuple[int, ...]


def read_common(text: bytes) -> tuple[bytes, bytes] | None:
    """A record's canonical bytes, and its signatures end to end; None: the strict reading tells."""
    if len(text) > LINE_BYTES_MAX:
        return None
    try:
        twin = _decode(text)
        form = _FORMS[type(twin)]
        *values, signatures = astuple(twin)
        members = form.members + (signatures is not UNSET)
        if text.count(b":") != members:
            return None
        for at in form.hex:
            digits = values[at]
            values[at] = data = _from_hex(digits)
            if data.hex() != digits:
                return None
        record = encode((form.tag, *values))
        return record, b"" if signatures is UNSET else _signatures(signatures)
    except (msgspec.MsgspecError, ValueError):  # of text that is no UTF-8, and of digits, too
        return None


def _signatures(given: list[str]) -> bytes:
    made = b"".join([_from_hex(each) for each in given])
    if made.hex() != "".join(given):
        raise ValueError("not lowercase hex")
    return made


# --- twins ---


def _json_type(info: inspect.Type) -> Any:
    """The type of a field's JSON value, with its bounds."""
    match info:
        case inspect.Metadata():
            return _json_type(info.type)
        case inspect.IntType(ge=low, le=high):
            most = UINT_MAX if high is None else high
            return Annotated[int, Meta(ge=low or 0, le=most)]
        case inspect.BytesType(min_length=low, max_length=high) if high is not None:
            return Annotated[str, Meta(min_length=2 * (low or 0), max_length=2 * high)]
        case inspect.StrType(pattern=pattern) if pattern is not None:
            bounds = Meta(min_length=info.min_length, max_length=info.max_length, pattern=pattern)
            return Annotated[str, bounds]
        case inspect.LiteralType(values=values):
            return Literal[tuple(values)]
        case inspect.TupleType(item_types=items):
            return tuple[tuple(_json_type(each) for each in items)]  # type: ignore[misc]
        case inspect.VarTupleType(item_type=item):
            bounds = Meta(min_length=info.min_length, max_length=info.max_length)
            return Annotated[tuple[_json_type(item), ...], bounds]  # type: ignore[misc]
    raise TypeError(f"{info} is no field of a common record")


def _is_hex(info: inspect.Type) -> bool:
    inner = info.type if isinstance(info, inspect.Metadata) else info
    return isinstance(inner, inspect.BytesType)


def _make(kind: type[Record]) -> tuple[type[msgspec.Struct], _Form]:
    fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    twin = msgspec.defstruct(
        kind.__name__,
        [
            *((each.name, _json_type(each.type)) for each in fields),
            ("signatures", _Signatures | UnsetType, UNSET),
        ],
        tag=NAMES[kind],
        tag_field="type",
        forbid_unknown_fields=True,
        gc=False,
    )
    hexed = tuple(at for at, each in enumerate(fields) if _is_hex(each.type))
    return twin, _Form(TAGS[kind], len(fields) + 1, hexed)


_FORMS: Final = dict(map(_make, COMMON))
_decode: Final = msgspec.json.Decoder(reduce(or_, _FORMS)).decode
