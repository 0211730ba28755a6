"""The platforms that are or ever were members: their codes outlive their membership."""

from collections.abc import Mapping, Sequence
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.binding import PROPOSE
from ledger.governing import read_changes
from ledger.membership import Validator
from ledger.position import Applied
from ledger.rows import CheckpointRow, ValidatorsRow, decode_row, validators_key
from ledger.store import Reader

_EPOCH_MAX: Final = 2**64 - 1


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


class Platforms:
    """Their codes, kept up to date. It is a `Watcher` of the pump."""

    def __init__(self, reader: Reader, first: Sequence[Validator]) -> None:
        self._reader, self._first = reader, first
        self._codes: Mapping[int, str] | None = None

    @property
    def codes(self) -> Mapping[int, str]:
        """Number → code, ascending."""
        if self._codes is None:
            self._codes = codes_of(self._reader, self._first)
        return self._codes

    def sealed(self, effect: BatchSealed) -> None:
        """Says nothing of members."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Neither does this."""

    def executed(self, block: Execute, applied: Applied) -> None:  # noqa: ARG002
        """Someone may have joined: look again when asked."""
        if applied.bound:
            self._codes = None

    def certified(self, row: CheckpointRow) -> None:
        """Nor this."""
