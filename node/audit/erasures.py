"""What an audit says of erasures, beyond that each residue is justified (`ledger/justified.py`).

- *Overdue*: a platform has not acknowledged an erasure 30 days after it was done. Without that,
  nobody has the platform's word that the openings are gone.
- *Kept*: what is read still holds the opening of a record that was erased more than a day ago.

Days are those of block time, up to the newest seal. Both are warnings: the ledger is whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from ledger.erasure_rows import ACKNOWLEDGE_DAYS, ErasureRow
from ledger.membership import Validator
from ledger.overlay import DAY_MS
from ledger.residue import AnyBatch, Remains, Residue
from ledger.rows import BlockRow, decode_row, describe_key, lane_key, place_bytes, submission_key
from ledger.source import Finding, Source
from ledger.store import ERASURE, Reader, after

ACKNOWLEDGE_MS: Final = ACKNOWLEDGE_DAYS * DAY_MS
DESTROY_MS: Final = DAY_MS

Erased = tuple[int, int, int, int]
_PLACE_BYTES: Final = 14


class NotedSource:
    """A source of blocks and batches that remembers where residues were met."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.residues: set[bytes] = set()

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        return self._source.block(height)

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch with this header hash at this place, or None if it is not held."""
        batch = self._source.batch(lane, height, name)
        if isinstance(batch, Remains):
            for position, each in enumerate(batch.submissions):
                if isinstance(each, Residue):
                    self.residues.add(place_bytes(lane, height, position))
        return batch


class Destruction:
    """What blocks have erased, and whether the openings were met all the same.

    `below`: lane → height up to which its batches are not read.
    """

    def __init__(self, below: Mapping[int, int] | None = None) -> None:
        self._below = below or {}
        self._erased: list[tuple[int, bytes]] = []

    def note(self, time: int, erased: Iterable[Erased]) -> None:
        """A block of this time (ms) has erased these records."""
        below = self._below
        read = [each[:3] for each in erased if each[1] > below.get(each[0], 0)]
        places = b"".join(place_bytes(*each) for each in read)
        if places:
            self._erased.append((time, places))

    def kept(self, residues: set[bytes], names: Reader, now: int) -> Iterator[Finding]:
        """A finding for each opening that is still held; `names` has the lane rows."""
        for time, places in self._erased:
            if now - time <= DESTROY_MS:
                return
            for at in range(0, len(places), _PLACE_BYTES):
                place = places[at : at + _PLACE_BYTES]
                if place not in residues:
                    yield Finding("erasure-kept", _where(place, names), "is erased, and still held")


def _where(place: bytes, names: Reader) -> str:
    lane, height = int.from_bytes(place[:4]), int.from_bytes(place[4:12])
    position = int.from_bytes(place[12:])
    name = names.get(lane_key(lane, height))
    if name is None:
        return f"submission {position} of batch {lane}/{height}"
    return describe_key(submission_key(name, position))


def overdue(
    rows: Reader, members: Iterable[Validator], time_of: Callable[[int], int | None], now: int
) -> Iterator[Finding]:
    """A finding for each erasure and each member that has not acknowledged it in time.

    `rows`: the executed ones; `time_of`: a block's time by its height; `now`: the newest block's.
    """
    members = tuple(members)
    for key, data in rows.scan(ERASURE, after(ERASURE)):
        row = decode_row(ErasureRow, key, data)
        missing = [each.code for each in members if each.number not in row.acks]
        if row.done is None or not missing:
            continue
        done = time_of(row.done)
        if done is not None and now - done > ACKNOWLEDGE_MS:
            days = (now - done) // DAY_MS
            detail = f"was done {days} days ago, and not acknowledged by {', '.join(missing)}"
            yield Finding("erasure-overdue", describe_key(key), detail)
