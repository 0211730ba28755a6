"""Parameters of an address, read strictly: each has one form, and an error names it."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from ledger.encoding import UINT_MAX
from ledger.errors import Malformed

_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z", re.ASCII)
_HEX_32: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_CODE: Final = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*\Z", re.ASCII)
CODE_CHARS_MAX: Final = 48


def only(request: web.Request, names: Iterable[str]) -> None:
    """Refuse a query with other names, or with one name twice."""
    seen: set[str] = set()
    # Iterating over the names alone would name one that stands twice only once.
    for name, _ in request.query.items():  # noqa: PERF102
        if name not in names:
            raise Malformed("is not a parameter of this address", field=name[:64])
        if name in seen:
            raise Malformed("stands there twice", field=name)
        seen.add(name)


def whole_number(request: web.Request, name: str, low: int, high: int, default: int) -> int:
    """A query parameter that is a decimal number from low to high."""
    text = request.query.get(name)
    return default if text is None else parse_number(text, name, low, high)


def parse_number(text: str, name: str, low: int = 0, high: int = UINT_MAX) -> int:
    """A decimal number without sign or leading zeros.

    Raises:
        Malformed: anything else, or out of bounds.
    """
    if not _DECIMAL.match(text) or not low <= int(text) <= high:
        raise Malformed(f"is not a whole number from {low} to {high}", field=name)
    return int(text)


def choice(request: web.Request, name: str, among: Sequence[str], default: str) -> str:
    """A query parameter that is one of a few words."""
    text = request.query.get(name)
    if text is None:
        return default
    if text not in among:
        raise Malformed(f"is not one of: {', '.join(among)}", field=name)
    return text


def code(request: web.Request, name: str) -> str:
    """A query parameter that is a code of a vocabulary."""
    text = request.query.get(name, "")
    if len(text) > CODE_CHARS_MAX or not _CODE.match(text):
        raise Malformed("is not a code of lowercase letters, digits, dots and dashes", field=name)
    return text


def hash_in_path(request: web.Request, name: str) -> bytes:
    """A part of the path that is 32 bytes in lowercase hex."""
    return parse_hash(request.match_info[name], name)


def parse_hash(text: str, name: str) -> bytes:
    """32 bytes in lowercase hex.

    Raises:
        Malformed: anything else.
    """
    if not _HEX_32.match(text):
        raise Malformed("is not 64 lowercase hex digits", field=name)
    return bytes.fromhex(text)
