"""Feeding one node: opens first, and each engagement's outcome and rating when it is ripe.

A chunk of records goes in one POST /v1/records as MessagePack. An acknowledged chunk (202: durable
at the node) is asked after by its last record's id; when that is final, so is all of the chunk, for
a lane has one order. Opens that were final at certified height h are ripe at height
h + RIPE_BLOCKS: their outcome and rating then stand at least that many blocks after the open. Where
something is ripe, a chunk of opens and one of as many outcomes and ratings take turns.

Bounds: at most `window_records` acknowledged and not yet final, and OPEN_ENGAGEMENTS_MAX unripe.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.errors import StandingError
from node.bench.load import Engagement, Offer, PlatformLoad
from node.client import Client
from node.federation import Seat

RIPE_BLOCKS: Final = 10
OPEN_ENGAGEMENTS_MAX: Final = 200_000
POLL_S: Final = 0.1
_IDLE_S: Final = 0.01


class LoadFailed(StandingError):
    """A node refused a record of the load, or did not take it in time."""


@dataclass(frozen=True, slots=True)
class Certified:
    """The newest certified checkpoint of a node, as it tells it."""

    height: int
    size: int

    @property
    def records(self) -> int:
        """Final records: every entry of the log but the seals, one per block with genesis's."""
        return self.size - self.height - 1


@dataclass(frozen=True, slots=True)
class _Chunk:
    last_id: str
    records: int
    opened: tuple[Engagement, ...]


class Feeder:
    """One node's feeding. `run` feeds until cancelled; the counts may be read at any time."""

    def __init__(self, client: Client, seat: Seat, load: PlatformLoad, chunk_records: int) -> None:
        self.client = client
        self.seat = seat
        self.load = load
        self.acknowledged = 0
        self.confirmed = 0
        self.opened = 0
        self.closed = 0
        self.height = 0
        self._chunk_records = chunk_records
        self._waiting: deque[_Chunk] = deque()
        self._unripe: deque[tuple[int, tuple[Engagement, ...]]] = deque()
        self._unripe_count = 0
        self._close_next = False

    async def certified(self) -> Certified:
        """The node's newest certified checkpoint."""
        checkpoint = (await self.client.network())["checkpoint"]
        if checkpoint is None:
            return Certified(0, 1)
        return Certified(checkpoint["height"], checkpoint["size"])

    async def run(
        self, *, streams: int, window_records: int, records_per_s: float | None = None
    ) -> None:
        """Feed until cancelled: as fast as the node takes it, or at a steady rate."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._confirm())
            if records_per_s is not None:
                group.create_task(self._feed_steadily(records_per_s))
                return
            for _ in range(streams):
                group.create_task(self._feed(window_records))

    async def register(self, *, window_records: int) -> None:
        """Register the platform's workers and clients, and wait until they are final."""
        offers = self.load.registrations(_now_ms())
        while chunk := [
            offer for _, offer in zip(range(self._chunk_records), offers, strict=False)
        ]:
            await self._post(chunk, ())
            while self.acknowledged - self.confirmed > window_records:
                await self._confirm_some()
        await self.drain()

    async def drain(self) -> None:
        """Wait until all that was acknowledged is final."""
        while self._waiting:
            await self._confirm_some()

    async def lone(self) -> float:
        """Submit one open and wait until it is final: the time this took, in ms."""
        engagement = self.load.engagements(1)[0]
        offers = [self.load.open(engagement, _now_ms())]
        begun = time.perf_counter()
        answers = _accepted(await self.client.submit_msgpack(offers, wait_final=True))
        if answers[0]["state"] != "final":
            raise LoadFailed(f"a lone record at {self.seat.code} is not final: {answers[0]}")
        return (time.perf_counter() - begun) * 1_000

    async def _feed(self, window_records: int) -> None:
        while True:
            ahead = self.acknowledged - self.confirmed
            if ahead > window_records or self._unripe_count > OPEN_ENGAGEMENTS_MAX:
                await asyncio.sleep(_IDLE_S)
                continue
            await self._post(*self._next_chunk(self._chunk_records))

    async def _feed_steadily(self, records_per_s: float) -> None:
        due = time.perf_counter()
        while True:
            records = max(1, min(self._chunk_records, int(records_per_s / 10)))
            offers, opened = self._next_chunk(records)
            due += len(offers) / records_per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self._post(offers, opened)

    def _next_chunk(self, records: int) -> tuple[list[Offer], tuple[Engagement, ...]]:
        now_ms = _now_ms()
        ripe = bool(self._unripe) and self._unripe[0][0] + RIPE_BLOCKS <= self.height
        self._close_next = ripe and not self._close_next
        if self._close_next:
            _, closing = self._unripe.popleft()
            self._unripe_count -= len(closing)
            self.closed += len(closing)
            return [each for e in closing for each in self.load.close(e, now_ms)], ()
        opened = tuple(self.load.engagements(records))
        self.opened += len(opened)
        return [self.load.open(e, now_ms) for e in opened], opened

    async def _post(self, offers: Sequence[Offer], opened: tuple[Engagement, ...]) -> None:
        answers = _accepted(await self.client.submit_msgpack(offers))
        self.acknowledged += len(offers)
        self._waiting.append(_Chunk(answers[-1]["id"], len(offers), opened))

    async def _confirm(self) -> None:
        while True:
            await self._confirm_some()

    async def _confirm_some(self) -> None:
        opened: list[tuple[Engagement, ...]] = []
        while self._waiting and await self._is_final(self._waiting[0].last_id):
            chunk = self._waiting.popleft()
            self.confirmed += chunk.records
            if chunk.opened:
                opened.append(chunk.opened)
        self.height = (await self.certified()).height  # at or above every block just seen final
        self._unripe.extend((self.height, each) for each in opened)
        self._unripe_count += sum(map(len, opened))
        await asyncio.sleep(POLL_S)

    async def _is_final(self, record_id: str) -> bool:
        state = (await self.client.record(record_id))["state"]
        if state == "refused":
            raise LoadFailed(f"{self.seat.code} refused record {record_id} of the load")
        return bool(state == "final")


def _accepted(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for each in answers:
        if "id" not in each:
            raise LoadFailed(f"a record of the load was not taken: {each}")
    return answers


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
