"""Where faults are measured: a running federation of four, a steady load, and what is asked of it.

The load goes on whatever happens to a node: what a dead or pushed-back node does not take is
offered to nobody else. It is of engagements' opens, at about half of what the nodes take at most
(`measure_full`), divided evenly, in posts of at most `CHUNK_RECORDS`. A record that is *fresh* is
handed in by itself after the fault; it is final when the node that took it tells it under its
certified checkpoint.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from ledger.errors import StandingError
from node.bench import measure
from node.bench.feeder import Certified, Feeder, LoadFailed
from node.bench.load import PlatformLoad, Population
from node.client import Client
from node.federation import Federation

CHUNK_RECORDS: Final = 200
WINDOW_RECORDS: Final = 4_000
"""So many records of the load may wait at one node; then it is fed no more until they move on."""
RETRY_S: Final = 0.05
FRESH_SECONDS_MAX: Final = 60.0
POLL_S: Final = 0.02
CODES: Final = ("a", "b", "c", "d")

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and for how long."""

    kills: int = 10
    freeze_seconds: float = 60.0
    flood_seconds: float = 20.0
    full_seconds: float = 8.0
    """How long full load is measured, of which the steady load is half; 0: `records_per_s`."""
    records_per_s: float = 1_000.0
    floods: tuple[str, ...] = ()
    """Kinds of garbage (`garbage.EVERY`); none named: all."""
    seed: int = 1
    population: Population = field(default_factory=lambda: Population(4_000, 800))


class Ground:
    """The federation, one feeder per node, and the rate of the steady load (records/s in all)."""

    def __init__(self, federation: Federation, feeders: Sequence[Feeder], plan: Plan) -> None:
        self.federation, self.plan = federation, plan
        self.feeders: dict[str, Feeder] = {each.seat.code: each for each in feeders}
        self.records_per_s = plan.records_per_s

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, federation: Federation, plan: Plan) -> AsyncIterator[Self]:
        """The ground on a started federation; its population is registered."""
        count = len(federation.seats)
        async with contextlib.AsyncExitStack() as stack:
            feeders = []
            for place, seat in enumerate(federation.seats):
                client = await stack.enter_async_context(Client(seat.url, seat.token))
                share = (place, count)
                load = PlatformLoad(
                    federation.chain, seat.number, share, plan.population, plan.seed
                )
                feeders.append(Feeder(client, seat, load, CHUNK_RECORDS))
            await asyncio.gather(*(each.register(window_records=2_048) for each in feeders))
            yield cls(federation, feeders, plan)

    async def measure_full(self) -> float:
        """Final records per second under as much load as the nodes take; half of it is the load."""
        seconds = self.plan.full_seconds
        if not seconds:
            return 2 * self.records_per_s
        tasks = [
            asyncio.create_task(each.run(streams=2, window_records=2_048))
            for each in self.feeders.values()
        ]
        try:
            await asyncio.sleep(seconds / 4)
            begun, clock = await self.lowest(), time.perf_counter()
            await asyncio.sleep(seconds)
            ended = await self.lowest()
            passed = time.perf_counter() - clock
        finally:
            await end(tasks)
        for each in self.feeders.values():
            await each.drain()
        full = (ended.records - begun.records) / passed
        self.records_per_s = max(1.0, full / 2)
        return full

    async def lowest(self) -> Certified:
        """The lowest certified checkpoint that the nodes tell."""
        told = await asyncio.gather(*(each.certified() for each in self.feeders.values()))
        return min(told, key=lambda each: each.size)

    async def leader(self, asked: str) -> str:
        """The code of the platform that leads the current view, as a node tells it."""
        metrics = await self.feeders[asked].client.metrics()
        number = int(measure.counter(metrics, "standing_leader"))
        return next(seat.code for seat in self.federation.seats if seat.number == number)

    async def fresh(self, code: str) -> float:
        """Hand one record in at a node; when (`perf_counter`) it was final.

        Raises:
            LoadFailed: it was refused, or not final within FRESH_SECONDS_MAX.
        """
        feeder = self.feeders[code]
        async with asyncio.timeout(FRESH_SECONDS_MAX):
            while True:
                offer = feeder.load.open(feeder.load.engagements(1)[0], time.time_ns() // 1_000_000)
                with contextlib.suppress(StandingError):
                    (answer,) = await feeder.client.submit_msgpack([offer], wait_final=True)
                    if answer.get("state") == "final":
                        return time.perf_counter()
                    if answer.get("state") == "refused":
                        raise LoadFailed(f"a fresh record at {code} was refused: {answer}")
                await asyncio.sleep(RETRY_S)

    @contextlib.asynccontextmanager
    async def loaded(self, codes: Sequence[str] = CODES) -> AsyncIterator[None]:
        """The named nodes under steady load while the context lasts."""
        rate = self.records_per_s / len(self.feeders)
        tasks = [asyncio.create_task(steadily(self.feeders[code], rate)) for code in codes]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await end(tasks)

    def pid(self, code: str) -> int:
        """The process id of a node that runs."""
        pid = self.federation.pid(code)
        assert pid is not None, f"{code} runs"
        return pid

    @contextlib.contextmanager
    def frozen(self, codes: Sequence[str]) -> Iterator[None]:
        """The named nodes stopped (SIGSTOP) while the context lasts."""
        pids = [self.pid(code) for code in codes]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


async def steadily(feeder: Feeder, records_per_s: float) -> None:
    """Feed one node at a steady rate for ever; what it does not take is dropped."""
    chunk = max(1, min(CHUNK_RECORDS, int(records_per_s / 10)))
    waiting: list[tuple[str, int]] = []
    due = time.perf_counter()
    while True:
        due = max(due + chunk / records_per_s, time.perf_counter() - 1.0)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            while waiting and await _is_settled(feeder.client, waiting[0][0]):
                waiting.pop(0)
            if sum(count for _, count in waiting) >= WINDOW_RECORDS:
                continue
            now_ms = time.time_ns() // 1_000_000
            offers = [feeder.load.open(each, now_ms) for each in feeder.load.engagements(chunk)]
            taken = [
                each["id"] for each in await feeder.client.submit_msgpack(offers) if "id" in each
            ]
        except StandingError:  # it is down
            waiting.clear()
            await asyncio.sleep(RETRY_S)
        else:
            if taken:
                waiting.append((taken[-1], len(taken)))


async def _is_settled(client: Client, record_id: str) -> bool:
    return (await client.record(record_id))["state"] in {"final", "refused"}


async def end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
