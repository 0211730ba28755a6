"""Where in a TOML text a key stands, so that an error can name its line.

`tomllib` keeps no positions. This finds the line of a table's header or of a key directly under
one; of a key inside an inline table it finds the line where that inline table's key stands. It
serves errors only: where it finds nothing it says line 1.
"""

import re
from collections.abc import Sequence
from typing import Final

_HEADER: Final = re.compile(r"^\s*(\[{1,2})\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY: Final = re.compile(r"^\s*([A-Za-z0-9_\-]+|\"[^\"]*\")\s*(?:\.|=)")

Path = Sequence[str | int]


def line_of(text: str, path: Path) -> int:
    """The line (from 1) of the deepest part of `path` that can be found."""
    best, depth = 1, 0
    for line, place in _places(text):
        matching = _common(place, path)
        if matching == len(place) and matching > depth:
            best, depth = line, matching
    return best


def _places(text: str) -> list[tuple[int, tuple[str | int, ...]]]:
    table: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    found: list[tuple[int, tuple[str | int, ...]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            table = _table(header.group(2), counts, is_array=header.group(1) == "[[")
            found.append((number, table))
            continue
        key = _KEY.match(line)
        if key:
            found.append((number, (*table, key.group(1).strip('"'))))
    return found


def _table(name: str, counts: dict[str, int], *, is_array: bool) -> tuple[str | int, ...]:
    parts: tuple[str | int, ...] = tuple(part.strip().strip('"') for part in name.split("."))
    if is_array:
        index = counts.get(name, 0)
        counts[name] = index + 1
        return (*parts, index)
    return parts


def _common(place: Path, path: Path) -> int:
    count = 0
    for ours, theirs in zip(place, path, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
