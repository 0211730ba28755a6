"""A node's store with blocks executed into it, as the pump does it, and its pins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from consensus.effects import Execute
from ledger.genesis import FIRST_BOUNDS
from ledger.position import Applied
from ledger.snapshot import Manifest, make_manifest
from ledger.store import Reader
from node.bounds import BOUNDS
from node.snapshot.pins import Pins
from node.storage.leveldb import LevelStore
from tests.ledger.world import World, genesis_of

EPOCH = 4


def manifest_of(reader: Reader, world: World) -> Manifest:
    """The manifest of the ledger's state."""
    state = world.state
    turns = make_manifest(reader, world.chain, state.height, state.size, state.log.root())
    while True:
        try:
            next(turns)
        except StopIteration as end:
            manifest: Manifest = end.value
            return manifest


def new_world(platforms: int = 2) -> World:
    """A world with short epochs."""
    return World(genesis_of(platforms, replace(FIRST_BOUNDS, epoch_blocks=EPOCH)))


@dataclass
class Ground:
    """`world` executes; its rows go to the store, and the pins hear of it, in the pump's order."""

    world: World
    store: LevelStore
    pins: Pins
    clock_s: float = 1_000.0
    manifests: dict[int, Manifest] = field(default_factory=dict)

    def executed(self, applied: Applied) -> None:
        """What the pump does behind a block."""
        block: Any = None
        height = applied.seal.height
        effect: Execute = block
        self.pins.executed(effect, applied)
        self.store.submit(applied.changes)
        if height % EPOCH == 0:
            self.manifests[height] = manifest_of(self.world.store, self.world)

    async def run(self, *records: Any, lane: int = 1) -> Applied:
        """One block, and what the event loop has to do behind it. Nothing waits for the disk."""
        applied = self.world.run(*records, lane=lane)
        self.executed(applied)
        await asyncio.sleep(0)
        return applied

    async def run_to(self, height: int) -> None:
        """Empty blocks, up to a height."""
        while self.world.state.height < height:
            await self.run()

    async def settle(self) -> None:
        """Until all that was submitted is on disk, and whoever waited for it was told."""
        loop = asyncio.get_running_loop()
        for _ in range(2):
            done = loop.create_future()
            self.store.submit({}, lambda done=done: done.set_result(None))
            await asyncio.wait_for(done, 10)

    def heights(self) -> list[int]:
        """The ends that can be given."""
        return [pin.height for pin in self.pins.held()]


@asynccontextmanager
async def ground(folder: Path, world: World | None = None, **bounds: Any) -> AsyncIterator[Ground]:
    """A store in a folder, with the world's rows in it."""
    world = world or new_world()
    limits = with_fields(BOUNDS, **bounds)
    loop = asyncio.get_running_loop()
    store = LevelStore(folder / "data", limits, loop.call_soon_threadsafe)
    store.submit(dict(world.store.scan(b"\0", b"\xff")))
    made: list[Ground] = []
    pins = Pins(store, limits, EPOCH, lambda: made[0].clock_s)
    made.append(Ground(world, store, pins))
    pins.start(world.state)
    try:
        yield made[0]
    finally:
        pins.close()
        await asyncio.to_thread(store.close)
