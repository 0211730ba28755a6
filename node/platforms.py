"""The platforms that are or ever were members: their codes outlive their membership.

The newest of those that are members no more are recognized on links for good: one whose node was
away then is told by them that its membership has ended (node/links/farewell.py).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.binding import LEAVE, PROPOSE
from ledger.governing import read_changes
from ledger.membership import Validator
from ledger.position import Applied
from ledger.records import TAGS
from ledger.records.membership import MemberRemove
from ledger.rows import CheckpointRow, ValidatorsRow, decode_row, need_row, validators_key
from ledger.store import Reader

_EPOCH_MAX: Final = 2**64 - 1
_ENDS: Final = (LEAVE, TAGS[MemberRemove])


def codes_of(reader: Reader, first: Sequence[Validator]) -> dict[int, str]:
    """Number → code of genesis's members, and of all who have joined since."""
    codes = {each.number: each.code for each in first}
    for _, row in read_changes(reader):
        if row.type == PROPOSE and row.bound is not None and row.validator is not None:
            codes[row.number] = row.validator.code
    return dict(sorted(codes.items()))


def members_of(reader: Reader) -> frozenset[int]:
    """The numbers of the members of the newest set that the ledger names.

    Raises:
        StoreDamaged: its row cannot be read.
    """
    first, last = validators_key(0), validators_key(_EPOCH_MAX)
    for key, data in reader.scan(first, last, reverse=True):
        return frozenset(each.number for each in decode_row(ValidatorsRow, key, data).validators)
    return frozenset()


def former_of(reader: Reader, most: int) -> tuple[Validator, ...]:
    """Whose membership has ended, the newest first, each as the last set that named it did.

    Raises:
        StoreDamaged: a row is missing or not what was written.
    """
    bound = (row for _, row in read_changes(reader) if row.type in _ENDS)
    ended = {row.number: row.bound for row in bound if row.bound is not None}
    newest = sorted(ended, key=lambda number: (-ended[number], number))[:most]
    sets = {
        epoch: need_row(reader, ValidatorsRow, validators_key(epoch - 1)).validators
        for epoch in {ended[number] for number in newest}
    }
    return tuple(each for number in newest for each in sets[ended[number]] if each.number == number)


class Platforms:
    """Their codes, kept up to date. It is a `Watcher` of the pump."""

    def __init__(self, reader: Reader, first: Sequence[Validator], former_max: int) -> None:
        self._reader, self._first, self._former_max = reader, first, former_max
        self._codes: Mapping[int, str] | None = None
        self._former: tuple[Validator, ...] | None = None

    @property
    def codes(self) -> Mapping[int, str]:
        """Number → code, ascending."""
        if self._codes is None:
            self._codes = codes_of(self._reader, self._first)
        return self._codes

    @property
    def former(self) -> tuple[Validator, ...]:
        """Whose membership has ended, the newest first."""
        if self._former is None:
            self._former = former_of(self._reader, self._former_max)
        return self._former

    def sealed(self, effect: BatchSealed) -> None:
        """Says nothing of members."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Neither does this."""

    def executed(self, block: Execute, applied: Applied) -> None:  # noqa: ARG002
        """Someone may have joined: look again when asked."""
        if applied.bound:
            self._codes = self._former = None

    def certified(self, row: CheckpointRow) -> None:
        """Nor this."""
