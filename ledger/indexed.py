"""What the index holds, from the rows that it is a function of.

The index has no rows of its own. Under a subject's file stands what its subject row says (length
and head), under a rater's or platform's summary the newest copy that an epoch's end has entered
(`SummaryRow`). So the root that a block has sealed vouches for these rows, too.

The keys are hashes: they are gathered in 256 parts by their first byte, and each part is sorted.
That takes 64 bytes a key, which are given free part by part while they are read.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256 as _sha256
from typing import Final

import msgspec

from ledger.encoding import decoder
from ledger.errors import Malformed, StoreDamaged
from ledger.files import file_value, summary_value
from ledger.mapproof import KEY_BYTES, LEAF_BYTES
from ledger.merkle import frontier_root
from ledger.rows import REPAIR, SubjectRow, SummaryRow, describe_key
from ledger.store import SUBJECT, SUMMARY, Reader, after

_PARTS: Final = 256


class Indexed:
    """All keys with their values as they are now, to be looked up by what keys begin with, and
    read once."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        """Gather them; each leaf is key ‖ value, in any order."""
        parts = [bytearray() for _ in range(_PARTS)]
        for leaf in leaves:
            parts[leaf[0]] += leaf
        self._parts: list[bytes] = []
        while parts:
            self._parts.append(_sorted(parts.pop()))
        self._parts.reverse()

    def find(self, prefix: bytes) -> Iterator[bytes]:
        """The keys that begin with a prefix of at least one byte, in ascending order."""
        part = self._parts[prefix[0]]
        places = range(0, len(part), LEAF_BYTES)
        at = bisect_left(places, prefix, key=lambda place: part[place : place + KEY_BYTES])
        for place in places[at:]:
            if not part.startswith(prefix, place):
                return
            yield part[place : place + KEY_BYTES]

    def take(self) -> Iterator[tuple[bytes, bytes]]:
        """All pairs in ascending order of keys. Afterwards there are none."""
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            for at in range(0, len(part), LEAF_BYTES):
                middle = at + KEY_BYTES
                yield part[at:middle], part[middle : at + LEAF_BYTES]


def index_leaves(reader: Reader) -> Iterator[bytes]:
    """key ‖ value of all that the index holds, in no order.

    Raises:
        StoreDamaged: a row has not the form of one.
    """
    key = b""
    try:
        # Plain decoding is enough: the sealed root says whether it was the right row.
        decode_subject, sha = decoder(SubjectRow).decode, _sha256
        for key, data in reader.scan(SUBJECT, after(SUBJECT)):
            row = decode_subject(data)
            value = file_value(row.length, frontier_root(row.length, row.frontier))
            yield sha(b"\x00" + key[1:]).digest() + value
        decode_summary = decoder(SummaryRow).decode
        for key, data in reader.scan(SUMMARY, after(SUMMARY)):
            yield sha(key[1:]).digest() + summary_value(decode_summary(data).data)
    except (msgspec.MsgspecError, UnicodeDecodeError, Malformed) as error:
        raise StoreDamaged(describe_key(key), f"cannot be read: {error}; {REPAIR}") from error


def _sorted(part: bytearray) -> bytes:
    leaves = [bytes(part[at : at + LEAF_BYTES]) for at in range(0, len(part), LEAF_BYTES)]
    leaves.sort()
    return b"".join(leaves)
