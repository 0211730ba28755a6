"""Strict JSON: UTF-8, bounded in bytes and depth, whole numbers only, no key twice.

A key that stands twice in an object is not an error of the parser but a `Duplicate` in the object's
place: whoever reads the object knows its path, and refuses it by name.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ledger.errors import Malformed

DEPTH_MAX: Final = 16

# Strings are taken whole, so that brackets in them do not count; no alternative can backtrack.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)

# What `\ud800` escapes yield when alone: it cannot be written as UTF-8, in an answer neither.
_LONE: Final = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Stands where an object was that had this key twice."""

    key: str


class Oversize(Malformed):
    """A text or body beyond its bound in bytes."""


def parse_json(data: bytes | str, *, bytes_max: int, what: str = "the JSON text") -> Any:
    """Parse a JSON text. Objects with a key twice become `Duplicate`.

    Raises:
        Oversize: more than `bytes_max` bytes.
        Malformed: not UTF-8 or JSON, deeper than `DEPTH_MAX`, or with a fraction or exponent.
    """
    if len(data) > bytes_max:
        raise Oversize(f"{what} has {len(data)} bytes, at most {bytes_max} are allowed")
    try:
        text = data if isinstance(data, str) else data.decode()
        _check_depth(text, what)
        return json.loads(
            text, object_pairs_hook=_object, parse_float=_number, parse_constant=_number
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not valid JSON: {error}") from error


def refuse_duplicates(value: Any) -> None:
    """Refuse a parsed text that has a key twice anywhere.

    Raises:
        Malformed: names the key.
    """
    if isinstance(value, Duplicate):
        raise Malformed("stands there twice", field=value.key)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            refuse_duplicates(item)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any] | Duplicate:
    for key, _ in pairs:
        if not key.isascii() and _LONE.search(key):
            raise ValueError("a key holds a lone surrogate, which no text has")
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    return Duplicate(key)


def _number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a whole number")


def _check_depth(text: str, what: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise Malformed(f"{what} is nested deeper than {DEPTH_MAX}")
        elif mark in "]}":
            depth -= 1
