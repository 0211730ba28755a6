"""Which residues an erasure justifies: an opening may be missing only where the ledger erased it.

Each residue that is executed must be of a record that an accepted erasure takes, in the same block
or a later one (`Applied.erased`), and must name that erasure. Whatever is left when the newest
block has been executed was withheld, not erased.
"""

from collections.abc import Iterator, Sequence

from ledger.position import Applied
from ledger.residue import AnyBatch, Remains, Residue
from ledger.rows import describe_key, residue_key
from ledger.source import Finding

_Place = tuple[int, int, int]


class Residues:
    """The residues met so far. Holds those only that no erasure has taken yet."""

    def __init__(self) -> None:
        self._waiting: dict[_Place, tuple[int, bytes]] = {}

    def execute(self, batches: Sequence[tuple[bytes, AnyBatch]], applied: Applied) -> None:
        """A block with these batches, as (header hash, batch), has been executed."""
        for name, batch in batches:
            if isinstance(batch, Remains):
                lane, height = batch.header.lane, batch.header.height
                for position, each in enumerate(batch.submissions):
                    if isinstance(each, Residue):
                        key = residue_key(name, position)
                        self._waiting[lane, height, position] = (each.erasure, key)
        if self._waiting:
            for *place, erasure in applied.erased:
                where: _Place = (place[0], place[1], place[2])
                if self._waiting.get(where, (None,))[0] == erasure:
                    del self._waiting[where]

    def unjustified(self) -> Iterator[Finding]:
        """A finding for each residue that no erasure up to the newest block justifies."""
        for erasure, key in self._waiting.values():
            detail = f"no erasure has taken it, though it names that at log entry {erasure}"
            yield Finding("residue", describe_key(key), detail)


def residues_in(batches: Sequence[tuple[bytes, AnyBatch]]) -> int:
    """How many submissions of these batches are erased."""
    return sum(
        isinstance(each, Residue)
        for _, batch in batches
        if isinstance(batch, Remains)
        for each in batch.submissions
    )
