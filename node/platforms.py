"""The platforms that are or ever were members: their codes outlive their membership."""

from collections.abc import Mapping, Sequence

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.binding import PROPOSE
from ledger.governing import read_changes
from ledger.membership import Validator
from ledger.position import Applied
from ledger.rows import CheckpointRow
from ledger.store import Reader


def codes_of(reader: Reader, first: Sequence[Validator]) -> dict[int, str]:
    """Number → code of genesis's members, and of all who have joined since."""
    codes = {each.number: each.code for each in first}
    for _, row in read_changes(reader):
        if row.type == PROPOSE and row.bound is not None and row.validator is not None:
            codes[row.number] = row.validator.code
    return dict(sorted(codes.items()))


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
