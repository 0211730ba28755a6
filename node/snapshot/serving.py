"""Giving snapshots: stands between the links and the pump, and answers what is asked for.

- *ends* are told at once.
- A manifest is made when an end is first asked for, once, in short turns with pauses in between
  (`pace.py`), while finality goes on. All who have asked get it when it is there.
- Chunks are read from the picture and sent one by one, of one peer after the other, at a bounded
  pace. Of each peer a few questions wait; what it asks beyond that is dropped, and so is what it
  asks while too much waits for it on its link.

What cannot be answered is not answered: an end may go at any time (`pins.py`), and whoever hears
nothing asks again what ends there are. What would be an answer for a node that takes a snapshot is
refused unread: this one takes none.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from consensus.messages import (
    ChunkMessage,
    End,
    Ends,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    ManifestMessage,
    decode_message,
    encode_message,
)
from ledger.errors import InvalidInput, Malformed, StandingError
from ledger.position import State
from ledger.snapshot import chunk_in_turns, make_manifest
from node.bounds import Bounds
from node.links.listener import Listener
from node.metrics import Metrics
from node.snapshot.pace import Pace
from node.snapshot.pins import Pin, Pins

log = logging.getLogger(__name__)

QUESTIONS: Final = (b"\x91\x10", b"\x92\x12", b"\x93\x14")
"""How messages 16, 18 and 20 begin."""
ANSWERS: Final = (b"\x92\x11", b"\x92\x13", b"\x94\x15")
"""How messages 17, 19 and 21 begin."""
REFUSAL: Final = "snapshot"

Ask = FetchManifest | FetchChunk


class Links(Protocol):
    """What is asked of the links."""

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        """Queue a message for a peer."""

    def handled(self, peer: int, size: int) -> None:
        """A received message has been handled."""

    def is_clogged(self, peer: int) -> bool:
        """Whether too much waits for a peer to be sent anything long."""


class Serving:
    """Gives snapshots. It is the `Listener` of the links, and hands all else to `pump`.

    `halt` stops the node for a reason: a damaged row.
    """

    def __init__(
        self,
        *,
        pump: Listener,
        links: Links,
        pins: Pins,
        chain: bytes,
        bounds: Bounds,
        metrics: Metrics,
        halt: Callable[[str], None],
    ) -> None:
        self._pump, self._links, self._chain = pump, links, chain
        self.pins = pins
        self._bounds, self._metrics, self._halt = bounds, metrics, halt
        self._asks: dict[int, deque[Ask]] = {}
        self._waiting: dict[int, set[int]] = {}  # height → who waits for its manifest
        self._asked, self._wanted = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        metrics.watch("standing_snapshot_ends", "Ends that can be given", lambda: len(pins.held()))

    # --- life ---

    def start(self, state: State) -> None:
        """Answer from now on; `state`: the ledger before anything else is executed."""
        self.pins.start(state)
        loop = asyncio.get_running_loop()
        works = (self._guarded(self._give()), self._guarded(self._make()))
        self._tasks = [loop.create_task(work) for work in works]

    async def stop(self) -> None:
        """Answer nothing more, and let the ends go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.pins.close()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StandingError as error:
            self._halt(str(error))
        except Exception as error:
            log.exception("giving snapshots failed")
            self._halt(f"a fault of this program: {type(error).__name__}: {error}")

    # --- the links' listener ---

    def link_up(self, peer: int) -> None:
        """A link stands."""
        self._pump.link_up(peer)

    def link_down(self, peer: int) -> None:
        """It is gone, and whoever is behind it asks again."""
        self._asks.pop(peer, None)
        for waiting in self._waiting.values():
            waiting.discard(peer)
        self._pump.link_down(peer)

    def refused(self, peer: int, reason: str) -> None:
        """Something of a peer's was refused."""
        self._pump.refused(peer, reason)

    def received(self, peer: int, message: bytes) -> None:
        """A message came in."""
        if message.startswith(ANSWERS):
            self._links.handled(peer, len(message))
            self._pump.refused(peer, REFUSAL)
            return
        asked = _read(message)
        if asked is None:
            self._pump.received(peer, message)
            return
        self._links.handled(peer, len(message))
        if self._links.is_clogged(peer):
            self._pump.refused(peer, REFUSAL)
        elif isinstance(asked, FetchEnds):
            ends = tuple(End(pin.height, pin.digest) for pin in self.pins.held())
            self._links.send(peer, encode_message(Ends(ends)), bulk=False)
        else:
            self._queue(peer, asked)

    def _queue(self, peer: int, asked: Ask) -> None:
        pin = self.pins.ask(asked.height, peer)
        if pin is None:
            return
        if pin.manifest is None:
            waiting = self._waiting.setdefault(pin.height, set())
            if isinstance(asked, FetchManifest):
                for others in self._waiting.values():
                    others.discard(peer)
                waiting.add(peer)
            self._wanted.set()
            return
        asks = self._asks.get(peer, deque())
        is_wrong = isinstance(asked, FetchChunk) and asked.index >= len(pin.manifest.chunks)
        if is_wrong or len(asks) >= self._bounds.snapshot_asks_max:
            self._pump.refused(peer, REFUSAL)
        elif asked not in asks:
            asks.append(asked)
            self._asks[peer] = asks
            self._asked.set()

    # --- giving ---

    async def _give(self) -> None:
        """Answer for ever, one question of each peer in turn."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._asks:
                peer, asks = next(iter(self._asks.items()))
                del self._asks[peer]
                asked = asks.popleft()
                if asks:
                    self._asks[peer] = asks
                message = await self._answer(peer, asked)
                if message and not self._links.is_clogged(peer):
                    self._links.send(peer, message, bulk=True)
                    self._metrics.snapshot_bytes.inc(len(message))
                await asyncio.sleep(len(message) / self._bounds.snapshot_bytes_per_s)

    async def _answer(self, peer: int, asked: Ask) -> bytes:
        """The answer's bytes; none where the end is gone meanwhile."""
        pin = self.pins.ask(asked.height, peer)
        if pin is None or pin.manifest is None or pin.picture is None:
            return b""
        if isinstance(asked, FetchManifest):
            return encode_message(ManifestMessage(pin.manifest))
        turns = chunk_in_turns(pin.picture, pin.manifest, asked.index)
        try:
            while not pin.is_dropped:
                next(turns)
                await asyncio.sleep(0)
        except StopIteration as end:
            return encode_message(ChunkMessage(pin.height, asked.index, end.value))
        finally:
            turns.close()
        return b""

    # --- manifests ---

    async def _make(self) -> None:
        """Make the manifests that are waited for, one after the other, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._waiting:
                height = next(iter(self._waiting))
                pin = self.pins.find(height)
                if pin is not None and pin.manifest is None:
                    await self._make_one(pin)
                for peer in self._waiting.pop(height):
                    self._queue(peer, FetchManifest(height))

    async def _make_one(self, pin: Pin) -> None:
        assert pin.picture is not None, "who may be asked for is there"
        begun_s = time.monotonic()
        pace = Pace(self._bounds, time.monotonic, time.process_time)
        turns = make_manifest(pin.picture, self._chain, pin.height, pin.size, pin.root)
        try:
            while not pin.is_dropped:
                pace.begin()
                while not pace.is_over():
                    next(turns)
                await asyncio.sleep(pace.pause_s())
                for peer in self._waiting[pin.height]:
                    self.pins.ask(pin.height, peer)
        except StopIteration as end:
            pin.made(end.value)
            self._metrics.manifests.inc()
            took_s = time.monotonic() - begun_s
            log.info("the manifest of block %d took %.1f s", pin.height, took_s)
        except InvalidInput as error:
            pin.is_unfit = True
            log.warning("no snapshot of block %d can be given: %s", pin.height, error)
        finally:
            turns.close()


def _read(message: bytes) -> FetchEnds | Ask | None:
    """A question; None: it is something else, or has no form."""
    if not message.startswith(QUESTIONS):
        return None
    try:
        asked = decode_message(message)
    except Malformed:
        return None
    return asked if isinstance(asked, FetchEnds | FetchManifest | FetchChunk) else None
