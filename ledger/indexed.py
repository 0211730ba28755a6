"""What the index holds, from the rows that it is a function of.

The index has no rows of its own. Under a subject's file stands what its subject row says (length
and head), under a rater's or platform's summary the newest copy that an epoch's end has entered
(`SummaryRow`). So the root that a block has sealed vouches for these rows, too.

The keys are hashes: they are gathered in 256 parts by their first byte, and a part is sorted when
it is taken. That takes 64 bytes a key, which are given free part by part.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256 as _sha256
from typing import Final

import msgspec

from ledger.encoding import decoder
from ledger.errors import Malformed, StoreDamaged
from ledger.files import file_value, summary_value
from ledger.mapproof import LEAF_BYTES
from ledger.merkle import frontier_root
from ledger.rows import REPAIR, SubjectRow, SummaryRow, describe_key
from ledger.store import SUBJECT, SUMMARY, Reader, after

PARTS: Final = 256


class Indexed:
    """All leaves (key ‖ value) as they are now, in parts by the first byte of the key, to be taken
    once, in order."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        """Gather them; they may come in any order."""
        parts = [bytearray() for _ in range(PARTS)]
        for leaf in leaves:
            parts[leaf[0]] += leaf
        parts.reverse()
        self._parts = parts

    def parts(self) -> Iterator[list[bytes]]:
        """The leaves of each part in ascending order of keys, part by part; some may be empty.
        Afterwards there are none."""
        while self._parts:
            part = bytes(self._parts.pop())
            leaves = [part[at : at + LEAF_BYTES] for at in range(0, len(part), LEAF_BYTES)]
            leaves.sort()
            yield leaves

    def take(self) -> bytearray:
        """All leaves in ascending order of keys, end to end. Afterwards there are none."""
        taken = bytearray()
        for part in self.parts():
            taken += b"".join(part)
        return taken


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
