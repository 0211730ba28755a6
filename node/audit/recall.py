"""What only erasures read again: leaves of records and of files, as they were in the replay.

A replay does not keep such rows: they are most of a ledger. An erasure in some block reads the file
rows and leaf rows of what it takes, and an acknowledgement where the erasure stands. They are read
from the stored rows, which may tell of later blocks, too; so

- of a leaf row, the erasure that it names is left out: a row that the replay itself has marked
  with one stands in the replay's own rows, where whoever asks looks first;
- of a record, where it stands, if that is below the replayed log's size.

Rows that are read like this are compared like all others: with what the replay once made of them.
"""

from typing import Final

from ledger.block import SEAL_KIND
from ledger.encoding import Uint, decoder, encode
from ledger.errors import StoreDamaged
from ledger.record_rows import ACCEPTED_KEY_BYTES
from ledger.rows import decode_row, describe_key
from ledger.store import FILE, LEAF, RECORD, Reader

_NIL: Final = b"\xc0"


def is_recalled(key: bytes) -> bool:
    """Whether a row under this key may be asked for once it was handed on."""
    kind = key[:1]
    return kind in {FILE, LEAF} or (kind == RECORD and len(key) == ACCEPTED_KEY_BYTES)


def recall(stored: Reader, key: bytes, size: int) -> bytes | None:
    """A row as it was when the log had `size` entries, from the stored one.

    Raises:
        StoreDamaged: it cannot be read.
    """
    value = stored.get(key)
    if value is None:
        return None
    if key[:1] == LEAF:
        return unmarked(key, value)
    if key[:1] == RECORD:
        return value if decode_row(Uint, key, value) < size else None
    return value


def unmarked(key: bytes, value: bytes) -> bytes:
    """A leaf row without the erasure, its last field.

    Raises:
        StoreDamaged: it is no leaf row.
    """
    if value[:1] == SEAL_KIND or value[-1:] == _NIL:
        return value
    try:
        *fields, _ = decoder(list[object]).decode(value)
    except ValueError as error:  # of msgspec, too
        raise StoreDamaged(describe_key(key), f"cannot be read: {error}") from error
    return encode((*fields, None))
