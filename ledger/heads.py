"""Files against their heads: the leaves that rows tell of are those that the index vouches for.

A subject's row (`W`) has its file's length and frontier, and from them follows what the index holds
of the file. Its leaves follow from the file's rows (`F`) and the leaf rows (`E`) that they name. So
whoever has compared an index root with a seal, and these, has every leaf of every file.
"""

from collections.abc import Iterator
from typing import Final

from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.files import leaf_of, place_of, read_leaf
from ledger.merkle import Frontier, leaf_hash
from ledger.rows import REPAIR, SubjectRow, decode_row, describe_key
from ledger.store import FILE, SUBJECT, Reader, after

TURN_LEAVES: Final = 256
"""After so many leaves whoever checks may do other things."""

_SUBJECT_BYTES: Final = 36
_POSITION_BYTES: Final = 4


def check_heads(reader: Reader) -> Iterator[None]:
    """Demand that each file has exactly the leaves under its head. Yields now and then.

    Raises:
        StoreDamaged: it has not, or a row is missing or no row.
    """
    files = reader.scan(FILE, after(FILE))
    waiting = next(files, None)
    leaves = 0
    for key, data in reader.scan(SUBJECT, after(SUBJECT)):
        row, prefix = decode_row(SubjectRow, key, data), FILE + key[1:]
        hashes: list[bytes] = []
        while waiting is not None and waiting[0].startswith(prefix):
            if waiting[0] != prefix + len(hashes).to_bytes(_POSITION_BYTES):
                raise _wrong(waiting[0], "is not the next place of its file")
            place = place_of(*waiting)
            leaf = leaf_of(place, read_leaf(reader, place.log_index))
            hashes.append(leaf_hash(encode(leaf)))
            waiting = next(files, None)
            leaves += 1
            if leaves % TURN_LEAVES == 0:
                yield
        log = Frontier().extend(hashes)
        if len(key) != 1 + _SUBJECT_BYTES or (log.size, log.encode()) != (row.length, row.frontier):
            raise _wrong(key, "has another head than the leaves of its file")
    if waiting is not None:
        raise _wrong(waiting[0], "belongs to no subject's file")


def _wrong(key: bytes, message: str) -> StoreDamaged:
    return StoreDamaged(describe_key(key), f"{message}; {REPAIR}")
