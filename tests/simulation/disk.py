"""How a node reads its store: what it was told to write is seen at once, before it is durable; a
damaged row is never given out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consensus.effects import Effect, Persist
from ledger.errors import StoreDamaged
from ledger.store import Changes, MemoryStore


@dataclass(frozen=True)
class Seen:
    """`outbox`: effects that are still to be carried out, some of which write."""

    store: MemoryStore
    damaged: set[bytes]
    outbox: Sequence[Effect]

    def get(self, key: bytes) -> bytes | None:
        for effect in reversed(self.outbox):
            if isinstance(effect, Persist) and key in effect.changes:
                return effect.changes[key]
        self._check(key)
        return self.store.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        written = self._written(start, stop)
        if not written:
            for key, value in self.store.scan(start, stop, reverse=reverse):
                self._check(key)
                yield key, value
            return
        rows: Changes = dict(self.store.scan(start, stop))
        for key in rows.keys() - written.keys():
            self._check(key)
        rows.update(written)
        for key in sorted(rows, reverse=reverse):
            found = rows[key]
            if found is not None:
                yield key, found

    def _written(self, start: bytes, stop: bytes) -> Changes:
        written: Changes = {}
        for effect in self.outbox:
            if isinstance(effect, Persist):
                written |= {k: v for k, v in effect.changes.items() if start <= k < stop}
        return written

    def _check(self, key: bytes) -> None:
        if key in self.damaged:
            raise StoreDamaged("a row", "its checksum does not hold")
