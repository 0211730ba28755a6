"""Who is told what the pump has done."""

from typing import Protocol

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.position import Applied
from ledger.rows import CheckpointRow


class Watcher(Protocol):
    """Who is told what the pump has done. Called in the event loop; must not block."""

    def sealed(self, effect: BatchSealed) -> None:
        """An own batch is on disk."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """An own batch lost its place, or has another, or got none: the set or its keys changed."""

    def executed(self, block: Execute, applied: Applied) -> None:
        """A block was executed; `applied.changes` may be added to and are written next."""

    def certified(self, row: CheckpointRow) -> None:
        """A checkpoint has its quorum."""
