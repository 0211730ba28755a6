"""A seeded disk: writes become durable in groups, after a while; a crash loses the others."""

from ledger.store import Changes, MemoryStore


class Disk:
    """The durable rows of one node. `write` is called when a flush has ended."""

    def __init__(self) -> None:
        self.rows = MemoryStore()
        self.flushes = 0

    def write(self, changes: Changes) -> None:
        self.rows.write(changes)
