"""Changes to a MessagePack value rather than to its bytes: the result is canonical again.

So it passes the form, and meets the checks behind it.
"""

import random
from typing import Any

import msgspec

_NUMBERS = (0, 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, -1)


def changed_tree(data: bytes, number: int, payload: bytes) -> bytes:
    """The value in `data` with one part changed, canonical; the bytes themselves if there is none.

    `number` draws the part and the change.
    """
    prefix = data[:1] if data[:1] in {b"\x00", b"\x01"} else b""  # a seal stands behind its kind
    try:
        root = [msgspec.msgpack.decode(data[len(prefix) :])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return data
    rng = random.Random(number)
    places = list(_places(root))
    parent, at = rng.choice(places)
    _change(rng, parent, at, payload, places)
    try:
        return prefix + b"".join(msgspec.msgpack.encode(each) for each in root)
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return data


def _places(parent: list[Any]) -> Any:
    for at, each in enumerate(parent):
        yield parent, at
        if isinstance(each, list):
            yield from _places(each)


def _change(
    rng: random.Random, parent: list[Any], at: int, payload: bytes, places: list[Any]
) -> None:
    kind = rng.randrange(8)
    here = parent[at]
    if kind == 0:
        del parent[at]
    elif kind == 1:
        parent.insert(at, here)
    elif kind == 2:
        other, there = rng.choice(places)
        if not isinstance(other[there], list):
            parent[at] = other[there]
    elif kind == 3:
        other = rng.randrange(len(parent))
        parent[at], parent[other] = parent[other], here
    elif isinstance(here, bool) or here is None:
        parent[at] = rng.choice((None, True, False, 0))
    elif isinstance(here, int):
        parent[at] = rng.choice((here + 1, here - 1, *_NUMBERS))
    elif isinstance(here, bytes):
        parent[at] = rng.choice(
            (here[:-1], here + payload, payload, bytes(len(here)), _flipped(rng, here))
        )
    elif isinstance(here, str):
        parent[at] = rng.choice((here[:-1], here + "a", here.upper(), "", "e\u0301", here * 9))
    elif isinstance(here, list):
        parent[at] = rng.choice((here[::-1], [], here + here, None))
    else:
        parent[at] = 0


def _flipped(rng: random.Random, data: bytes) -> bytes:
    made = bytearray(data or b"\0")
    made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)
