"""Canonical MessagePack: fixed arrays of integers, bytes and short strings, in exactly one form.

`decode` reads bytes as a type, encodes the value again and demands the same bytes: so an
oversized header, a float, a map, a trailing byte or an omitted field is refused. Strings must be in
NFC. Every decoder exception becomes `Malformed`.
"""

import unicodedata
from typing import Annotated, Any, Final, TypeVar, dataclass_transform

import msgspec

from ledger.errors import Malformed

T = TypeVar("T")

UINT_MAX: Final = 2**53 - 1

Uint = Annotated[int, msgspec.Meta(ge=0, le=UINT_MAX)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=UINT_MAX, description="milliseconds since 1970, UTC")]
Small = Annotated[int, msgspec.Meta(ge=0, le=255)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Handle = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
PublicKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Salt = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
PlatformNumber = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
Code = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=48,
        pattern=r"^[a-z0-9]+(?:[.-][a-z0-9]+)*\Z",
        description="a code of a closed vocabulary",
    ),
]


@dataclass_transform(frozen_default=True)
class Value(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, eq=True, gc=False
):
    """Base of everything that is encoded: a frozen MessagePack array of fixed shape."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

encode = _encoder.encode


def decoder(kind: type[T]) -> "msgspec.msgpack.Decoder[T]":
    """The one decoder of a type, made on first use."""
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return found


def decode(kind: type[T], data: bytes, *, bytes_max: int, what: str = "value") -> T:
    """Decode canonical bytes.

    Raises:
        Malformed: too long, undecodable, out of bounds, or not in canonical form.
    """
    return decode_with(decoder(kind), data, bytes_max=bytes_max, what=what)


def decode_with(
    decoder: "msgspec.msgpack.Decoder[T]", data: bytes, *, bytes_max: int, what: str
) -> T:
    """`decode` by a decoder that the caller keeps: finding that of a union takes its time.

    Raises:
        Malformed: as `decode`.
    """
    if len(data) > bytes_max:
        raise Malformed(f"{what} has {len(data)} bytes, at most {bytes_max} are allowed")
    try:
        value = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed(f"{what} cannot be decoded: {error}") from error
    if encode(value) != data:
        raise Malformed(f"{what} is not in canonical MessagePack")
    return value


def check_nfc(text: str, *, field: str) -> None:
    """Refuse a string that is not in Unicode normal form C."""
    if not unicodedata.is_normalized("NFC", text):
        raise Malformed("is not in Unicode normal form C", field=field)
