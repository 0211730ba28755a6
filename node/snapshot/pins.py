"""The epochs' ends that this node can give a snapshot of: pictures of its store, a few at a time.

An end is pinned right behind its block's rows, before those of the next block: so a node that was
started since gives none until the next epoch ends, unless it stands at one. At most
`snapshot_pins_max` are held: the newest, then those that were asked for within `snapshot_lease_s`,
by how many peers, then the younger ones. A peer counts for the end alone that it asked for last: so
one that asks for the sake of asking takes one place, and not those of the others. An end goes
earlier

- when more than `snapshot_rows_since_max` rows were written since: the disk keeps what they
  overwrite as long as the picture is held;
- when an erasure takes a row out of the state that the picture still holds. That are only the rows
  that name whom a refused record is about (`J`): whatever else an erasure destroys is not in a
  snapshot, or stands in the residue that all members keep (ledger/erasing.py).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.position import Applied, State
from ledger.rows import CheckpointRow
from ledger.snapshot import Manifest, manifest_digest
from ledger.store import REFUSED
from node.bounds import Bounds
from node.storage.leveldb import LevelStore
from node.storage.picture import Picture

_SIZE: Final = slice(37, 45)
_OF_RESIDUE: Final = REFUSED + bytes(4)


class Pin:
    """One epoch's end: its block's height, the checkpoint after it, and the state then.

    `picture` is None until it is taken. `is_unfit`: no manifest can be made of it.
    """

    def __init__(self, height: int, size: int, root: bytes) -> None:
        self.height, self.size, self.root = height, size, root
        self.picture: Picture | None = None
        self.manifest: Manifest | None = None
        self.digest: bytes | None = None
        self.is_unfit = False
        self.is_dropped = False
        self.asked_s: dict[int, float] = {}
        """Who has asked for it, and when."""
        self.rows_since = 0

    def made(self, manifest: Manifest) -> None:
        """Its manifest is there."""
        self.manifest, self.digest = manifest, manifest_digest(manifest)

    def holds(self, refused: bytes) -> bool:
        """Whether a row about a refused record, which stood until now, stood already then: its key
        has the log's size when the record was refused (ledger/rows.py)."""
        return int.from_bytes(refused[_SIZE]) < self.size

    def drop(self) -> None:
        """Let the picture go."""
        self.is_dropped = True
        if self.picture is not None:
            self.picture.close()


class Pins:
    """The pinned ends of one node. It is a `Watcher` of the pump.

    `clock_s` is a steady clock; `epoch_blocks` the length of an epoch.
    """

    def __init__(
        self, store: LevelStore, bounds: Bounds, epoch_blocks: int, clock_s: Callable[[], float]
    ) -> None:
        self._store, self._bounds, self._clock_s = store, bounds, clock_s
        self._epoch_blocks = epoch_blocks
        self._executed = 0
        self._pins: dict[int, Pin] = {}
        self._is_closed = False

    def start(self, state: State) -> None:
        """Pin the state that the node starts with, if that is an epoch's end."""
        self._executed = state.height
        if state.height and state.height % self._epoch_blocks == 0:
            self._pin(state.height, state.size, state.log.root())

    def close(self) -> None:
        """Let everything go, before the store closes."""
        self._is_closed = True
        for height in list(self._pins):
            self._drop(height)

    # --- what can be had ---

    def held(self) -> list[Pin]:
        """The ends that can be given, ascending by height."""
        pins = [self._pins[height] for height in sorted(self._pins)]
        return [pin for pin in pins if pin.picture is not None and not pin.is_unfit]

    def find(self, height: int) -> Pin | None:
        """A pinned end; None: it cannot be given."""
        pin = self._pins.get(height)
        return None if pin is None or pin.picture is None or pin.is_unfit else pin

    def ask(self, height: int, peer: int) -> Pin | None:
        """`find` for a peer that asks for it: this keeps it."""
        pin = self.find(height)
        if pin is not None:
            for other in self._pins.values():
                other.asked_s.pop(peer, None)
            pin.asked_s[peer] = self._clock_s()
        return pin

    # --- the pump's news ---

    def sealed(self, effect: BatchSealed) -> None:
        """Batches are in no snapshot."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Batches are in no snapshot."""

    def certified(self, row: CheckpointRow) -> None:
        """Whoever takes a snapshot asks for certificates."""

    def executed(self, block: Execute, applied: Applied) -> None:
        """A block's rows are about to be submitted."""
        del block
        height = applied.seal.height
        self._executed = height
        removed: list[bytes] = []
        if applied.erased:
            changes = applied.changes.items()
            removed = [key for key, value in changes if value is None and _names(key)]
        for pin in list(self._pins.values()):
            pin.rows_since += len(applied.changes)
            is_long_ago = pin.rows_since > self._bounds.snapshot_rows_since_max
            if is_long_ago or any(map(pin.holds, removed)):
                self._drop(pin.height)
        if height % self._epoch_blocks == 0:
            # Behind the submission of this block's rows, and before anything else is executed.
            soon = asyncio.get_running_loop().call_soon
            soon(self._pin_executed, height, applied.size, applied.root)

    def _pin_executed(self, height: int, size: int, root: bytes) -> None:
        if self._executed == height and not self._is_closed:
            self._pin(height, size, root)

    def _pin(self, height: int, size: int, root: bytes) -> None:
        pin = self._pins[height] = Pin(height, size, root)
        self._store.picture(partial(self._taken, pin))

    def _taken(self, pin: Pin, picture: Picture) -> None:
        pin.picture = picture
        if pin.is_dropped or self._is_closed:
            picture.close()
        else:
            self._make_room()

    def _make_room(self) -> None:
        """Let go what there is no room for; the newest stays."""
        newest = max(self._pins)
        since_s = self._clock_s() - self._bounds.snapshot_lease_s

        def rank(pin: Pin) -> tuple[bool, int, int]:
            askers = sum(asked_s >= since_s for asked_s in pin.asked_s.values())
            return pin.height == newest, askers, pin.height

        ranked = sorted(self._pins.values(), key=rank, reverse=True)
        for pin in ranked[self._bounds.snapshot_pins_max :]:
            self._drop(pin.height)

    def _drop(self, height: int) -> None:
        self._pins.pop(height).drop()


def _names(key: bytes) -> bool:
    """Whether a row names whom a refused record is about."""
    return key[:1] == REFUSED and not key.startswith(_OF_RESIDUE)
