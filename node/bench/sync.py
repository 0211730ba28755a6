"""`standing bench sync`: how fast a node that was away comes back, while the others go on.

In order: create and start four nodes; register the population; stop the last node, as a power
failure would; feed the others until so many records are final; a light load on them, and lone
records in between; start the node that was away, under the same load; and wait until it has
certified what the others had certified when it started.

`replay`: its store is as it left it. `snapshot`: its store is emptied first, so that it takes the
ledger's state at an epoch's end from the others (where they offer one) and replays from there; the
records that count are then all of the ledger's. What its process costs ends with the measurement.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ledger.errors import StandingError
from node.bench import measure
from node.bench.cluster import CHUNK_RECORDS, STREAMS, WINDOW_RECORDS
from node.bench.feeder import Certified, Feeder, LoadFailed
from node.bench.load import PlatformLoad, Population
from node.client import Client
from node.federation import Federation

CODES: Final = ("a", "b", "c", "d")
AWAY: Final = CODES[-1]
SIZE_METRIC: Final = "standing_certified_size"
POLL_S: Final = 0.1
LONE_GAP_S: Final = 0.05
LOAD_SECONDS_MAX: Final = 3_600.0
SYNC_SECONDS_MAX: Final = 1_800.0
SETTLE_SECONDS_MAX: Final = 120.0

Mode = Literal["replay", "snapshot"]
MODES: Final[dict[str, Mode]] = {"replay": "replay", "snapshot": "snapshot"}
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `records` while the node is away, and the light load beside its return."""

    records: int = 200_000
    mode: Mode = "replay"
    records_per_s: float = 200.0
    """The light load, on all the others together."""
    lone_samples: int = 60
    """Lone records before the node starts."""
    seed: int = 1
    population: Population = field(default_factory=Population)


@dataclass(slots=True)
class _Return:
    """The node's way back, in seconds of `perf_counter`: when its process was started, when it
    answered first, and when it had certified what the others had at its start."""

    started: float
    up: float = 0.0
    done: float = 0.0
    cpu_us: int = 0
    """CPU time of its process until then."""


async def measure_sync(federation: Federation, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Run the plan on a started federation of `CODES` and return its figures.

    Raises:
        StandingError: a node ended, or refused the load.
        TimeoutError: the load, or the node's return, took too long.
    """
    async with contextlib.AsyncExitStack() as stack:
        feeders = []
        for place, seat in enumerate(federation.seats):
            client = await stack.enter_async_context(Client(seat.url, seat.token))
            share = (place, len(CODES))
            load = PlatformLoad(federation.chain, seat.number, share, plan.population, plan.seed)
            feeders.append(Feeder(client, seat, load, CHUNK_RECORDS))
        *others, away = feeders
        progress("registering", 0.0)
        await asyncio.gather(*(each.register(window_records=WINDOW_RECORDS) for each in feeders))
        left = await _settled(feeders)
        federation.kill(AWAY)
        await _load(federation, others, plan, progress)
        if plan.mode == "snapshot":
            left = Certified(0, 1)
            shutil.rmtree(away.seat.config.data)
        async with _fed(others, plan.records_per_s):
            before = await _lones(others, plan.lone_samples, progress)
            target = max([await each.certified() for each in others], key=lambda each: each.size)
            during, way = await _come_back(federation, others, away, target, progress)
    records = target.records - left.records
    return _figures(plan, way, records, before, during) | {"log_size": target.size}


def _figures(
    plan: Plan, way: _Return, records: int, before: Sequence[float], during: Sequence[float]
) -> dict[str, Any]:
    seconds = way.done - way.started
    return {
        "mode": plan.mode,
        "records": records,
        "records_per_s": round(records / seconds, 1),
        "records_per_s_since_up": round(records / (way.done - way.up), 1),
        "seconds": round(seconds, 2),
        "start_seconds": round(way.up - way.started, 2),
        "cpu_us_per_record": measure.per_record(way.cpu_us, records),
        "finality_ms": {
            "before": measure.percentiles(before),
            "during": measure.percentiles(during),
            "samples": [len(before), len(during)],
        },
        "light_load_records_per_s": plan.records_per_s,
        "load_average": round(os.getloadavg()[0], 2),
    }


# --- the load ---


async def _settled(feeders: Sequence[Feeder]) -> Certified:
    """Wait until every node has certified the same; that."""
    await asyncio.gather(*(each.drain() for each in feeders))
    async with asyncio.timeout(SETTLE_SECONDS_MAX):
        while True:
            told = {await each.certified() for each in feeders}
            if len(told) == 1:
                return told.pop()
            await asyncio.sleep(POLL_S)


async def _load(
    federation: Federation, others: Sequence[Feeder], plan: Plan, progress: Progress
) -> None:
    """Feed the others as fast as they take it, until so many records more are final."""
    begun = (await others[0].certified()).records
    runs = [each.run(streams=STREAMS, window_records=WINDOW_RECORDS) for each in others]
    async with _running(runs), asyncio.timeout(LOAD_SECONDS_MAX):
        while (done := (await others[0].certified()).records - begun) < plan.records:
            progress("while away", done / plan.records)
            await asyncio.sleep(0.5)
            federation.check_alive()
    await _settled(others)
    progress("while away", 1.0)


@contextlib.asynccontextmanager
async def _running(runs: Sequence[Any]) -> AsyncIterator[None]:
    """These coroutines in the background; what fails in one of them fails here."""
    tasks = [asyncio.create_task(each) for each in runs]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _fed(others: Sequence[Feeder], records_per_s: float) -> AsyncIterator[None]:
    """The light load on all the others together."""
    rate = records_per_s / len(others)
    runs = [
        each.run(streams=1, window_records=WINDOW_RECORDS, records_per_s=rate) for each in others
    ]
    async with _running(runs):
        yield


async def _lones(others: Sequence[Feeder], count: int, progress: Progress) -> list[float]:
    samples: list[float] = []
    while len(samples) < count:
        samples.append(await _lone(others, len(samples)))
        progress("lone records", len(samples) / count)
    return samples


async def _lone(others: Sequence[Feeder], nth: int) -> float:
    await asyncio.sleep(LONE_GAP_S * (1 + secrets.randbelow(1_000) / 1_000))
    return await others[nth % len(others)].lone()


# --- the return ---


async def _come_back(
    federation: Federation,
    others: Sequence[Feeder],
    away: Feeder,
    target: Certified,
    progress: Progress,
) -> tuple[list[float], _Return]:
    """Start the node and wait until it has certified the target: lone records' latencies at the
    others meanwhile, and how it came back."""
    samples: list[float] = []

    async def go_on() -> None:
        while True:
            samples.append(await _lone(others, len(samples)))

    async with _running([go_on()]):
        way = _Return(time.perf_counter())
        federation.start(AWAY)
        await _watch(federation, away, target, way, progress)
        pid = federation.pid(AWAY)
        way.cpu_us = measure.cpu_us(pid) if pid is not None else 0
    if not samples:
        raise LoadFailed("no lone record was final while the node came back")
    return samples, way


async def _watch(
    federation: Federation, away: Feeder, target: Certified, way: _Return, progress: Progress
) -> None:
    """Look again and again how far the node is: its counters tell it before it is ready."""
    async with asyncio.timeout(SYNC_SECONDS_MAX):
        while True:
            federation.check_alive()
            size = await _certified_size(away.client)
            if size is not None:
                if not way.up:
                    way.up = time.perf_counter()
                progress("coming back", size / target.size)
                if size >= target.size:
                    way.done = time.perf_counter()
                    return
            await asyncio.sleep(POLL_S)


async def _certified_size(client: Client) -> int | None:
    """Log entries under the node's newest certified checkpoint; None where it does not answer."""
    try:
        return int(measure.counter(await client.metrics(), SIZE_METRIC))
    except StandingError:
        return None
