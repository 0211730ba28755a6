"""Changes to good bytes, of the kinds that decoders are known to let pass.

A change is (kind, at, other, payload): small values, so that a failing run can be shrunk and a seed
of a random generator names a whole run. `at` and `other` are taken modulo what there is.
"""

import random
import re
from collections.abc import Callable, Sequence

from tests.fuzz.tree import changed_tree

Change = tuple[str, int, int, bytes]

_NUMBER = re.compile(rb"(?<![0-9A-Za-z+/])[0-9]+")
_EXTREMES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff" * 4, b"\x7f" + b"\xff" * 7)
_HEADS = bytes.fromhex("c0c2c3c4c5c6cacbcccdcecfd0d1d2d3d9dadbdcdd80909192a0a1c7d4ff7f80e0")
_SNIPPETS = (
    b"\n",
    b"\n\n",
    b"\r\n",
    b" ",
    b"=",
    b"==",
    b"+",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xc2\x85",
    b"\xe2\x80\x83",
    b"e\xcc\x81",
    b"\xed\xa0\x80",
    b"-",
    b"0",
    b"_",
    b"\xd9\xa3",
    b"1e9",
    b"NaN",
    b"\\ud800",
    b"[" * 40,
    b'{"a":' * 40,
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 2_000,
    b"9" * 30,
)


def _flip(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place = at % (len(data) or 1)
    return data[:place] + bytes([data[place] ^ 1 << other % 8]) + data[place + 1 :] if data else b""


def _cut(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    return data[: at % (len(data) + 1)]


def _drop(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place = at % (len(data) + 1)
    return data[:place] + data[place + 1 + other % 40 :]


def _insert(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place = at % (len(data) + 1)
    return data[:place] + payload + data[place:]


def _pad(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    return data + (payload or bytes(1 + other % 64))


def _snippet(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    return _insert(data, at, 0, _SNIPPETS[other % len(_SNIPPETS)], donor)


def _extreme(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place, value = at % (len(data) + 1), _EXTREMES[other % len(_EXTREMES)]
    return data[:place] + value + data[place + len(value) :]


def _head(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place = at % (len(data) + 1)
    return data[:place] + _HEADS[other % len(_HEADS) :][:1] + data[place + 1 :]


def _longer_head(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    """A MessagePack value with a larger header than it needs."""
    place = at % (len(data) or 1)
    head = data[place] if data else 0
    if head < 0x80:
        new = (b"\xcc" + bytes([head]), b"\xcd\0" + bytes([head]))[other % 2]
    elif 0x90 <= head < 0xA0:
        new = (b"\xdc\0", b"\xdd\0\0\0")[other % 2] + bytes([head - 0x90])
    elif 0xA0 <= head < 0xC0:
        new = (b"\xd9", b"\xda\0")[other % 2] + bytes([head - 0xA0])
    else:
        new = {0xC4: b"\xc5\0", 0xC5: b"\xc6\0\0", 0xCC: b"\xcd\0", 0xCD: b"\xce\0\0"}.get(
            head, bytes([head, 0])
        )
    return data[:place] + new + data[place + 1 :]


def _repeat(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place, length = at % (len(data) + 1), 1 + other % 80
    return data[:place] + data[place : place + length] + data[place:]


def _swap(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    """Two neighbouring runs of 32 bytes change places: siblings, keys, hashes."""
    place = at % (len(data) + 1)
    return (
        data[:place] + data[place + 32 : place + 64] + data[place : place + 32] + data[place + 64 :]
    )


def _splice(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    return data[: at % (len(data) + 1)] + donor[other % (len(donor) + 1) :]


def _zeros(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    """A decimal number gets a leading zero or a sign."""
    places = [match.start() for match in _NUMBER.finditer(data)]
    if not places:
        return data
    place = places[at % len(places)]
    return data[:place] + (b"0", b"+", b"00", b" ")[other % 4] + data[place:]


def _line_ends(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    parts = data.split(b"\n")
    place = 1 + at % max(1, len(parts) - 1)
    end = (b"\r\n", b"\n\n", b"", b" \n")[other % 4]
    return b"\n".join(parts[:place]) + end + b"\n".join(parts[place:])


def _lines(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    """A line is doubled, left out, or changes places."""
    parts = data.split(b"\n")
    one, two = at % len(parts), (at // 7 + other) % len(parts)
    if other % 3 == 0:
        parts.insert(two, parts[one])
    elif other % 3 == 1:
        del parts[one]
    else:
        parts[one], parts[two] = parts[two], parts[one]
    return b"\n".join(parts)


def _base64(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    """Base64 that decodes alike and is written otherwise."""
    places = [match.start() for match in re.finditer(rb"[A-Za-z0-9+/]=", data)]
    if not places:
        return data
    place = places[at % len(places)]
    if other % 3 == 0:
        return data[:place] + bytes([data[place] + 1]) + data[place + 1 :]
    return data[: place + 1] + (b"" if other % 3 == 1 else b"==") + data[place + 2 :]


def _case(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    place = at % (len(data) + 1)
    return (
        data[:place]
        + data[place : place + 1 + other % 20].swapcase()
        + data[place + 1 + other % 20 :]
    )


def _tree(data: bytes, at: int, other: int, payload: bytes, donor: bytes) -> bytes:
    return changed_tree(data, at << 12 | other, payload)


KINDS: dict[str, Callable[[bytes, int, int, bytes, bytes], bytes]] = {
    "flip": _flip,
    "cut": _cut,
    "drop": _drop,
    "insert": _insert,
    "pad": _pad,
    "snippet": _snippet,
    "extreme": _extreme,
    "head": _head,
    "longer-head": _longer_head,
    "repeat": _repeat,
    "swap": _swap,
    "splice": _splice,
    "zeros": _zeros,
    "line-ends": _line_ends,
    "lines": _lines,
    "base64": _base64,
    "case": _case,
    "tree": _tree,
}


def changed(data: bytes, changes: Sequence[Change], donor: bytes = b"") -> bytes:
    """The bytes after these changes, in order. `donor` gives the tails of splices."""
    for kind, at, other, payload in changes:
        data = KINDS[kind](data, at, other, payload, donor)
    return data


def random_changes(rng: random.Random) -> list[Change]:
    """A few changes, mostly one."""
    names = [*KINDS, "tree", "tree", "tree"]
    return [
        (
            rng.choice(names),
            rng.getrandbits(24),
            rng.getrandbits(12),
            rng.randbytes(rng.randrange(9)),
        )
        for _ in range(rng.choice((1, 1, 1, 2, 2, 4)))
    ]


def random_input(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Bytes near one of the seeds, or, now and then, any bytes at all."""
    if rng.randrange(16) == 0:
        return rng.randbytes(rng.randrange(200))
    return changed(rng.choice(seeds), random_changes(rng), rng.choice(seeds))
