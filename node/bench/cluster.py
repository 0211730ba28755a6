"""`standing bench cluster`: a federation of processes under the fixed load.

In order: create and start the nodes; register the population, unless the nodes were started with a
ledger that has it (`node/bench/preload.py`); lone records on the idle network; as many records as
the nodes take (`seconds`, after a run-in); half of that rate with lone records in between. The load
comes from this one process through the nodes' HTTP API, MessagePack, on the same cores; its own CPU
is measured apart.

A record counts when a node tells it under its newest certified checkpoint (q cosignatures); of the
nodes' counts the smallest is taken. CPU is user + system time of the node processes over the
measured seconds. Disk and wire bytes are per record and node.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from node.bench import measure
from node.bench.feeder import Certified, Feeder, LoadFailed
from node.bench.load import PlatformLoad, Population
from node.bench.measure import Cost
from node.client import Client
from node.federation import Federation
from node.sampling import METRIC, ROOMS

LONE_GAP_S: Final = 0.25  # longer than the pace of blocks, so that each finds an idle network
RUN_IN_SECONDS_MAX: Final = 120.0
CHUNK_RECORDS: Final = 250
STREAMS: Final = 2
WINDOW_RECORDS: Final = 2_048
SETTLE_SECONDS_MAX: Final = 120.0
SETTLE_POLL_S: Final = 0.5
WIRE_METRIC: Final = "standing_peer_sent_bytes_total"
SYNC_METRIC: Final = "standing_store_syncs"
CURVE_SAMPLES: Final = 20
CURVE_SHARES: Final = (0.25, 0.5, 0.75, 0.9, 1.0)

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `seconds` at full load.

    `run_in_seconds` pass at full load before that, once all kinds of records flow. `preload`
    records are in the ledger before, with so many `engagements` of each platform's load; without
    any, nobody is registered yet.
    """

    seconds: float = 60.0
    run_in_seconds: float = 5.0
    half_load_seconds: float = 20.0
    lone_samples: int = 100
    curve_shares: tuple[float, ...] = ()
    """Of the full load: at which the curve of throughput against latency has points."""
    curve_seconds: float = 8.0
    preload: int = 0
    engagements: tuple[int, ...] = ()
    seed: int = 1
    chunk_records: int = CHUNK_RECORDS
    streams: int = STREAMS
    window_records: int = WINDOW_RECORDS
    population: Population = field(default_factory=Population)


class Cluster:
    """The running federation with one feeder per node."""

    def __init__(self, federation: Federation, feeders: Sequence[Feeder], plan: Plan) -> None:
        self.federation = federation
        self.feeders = tuple(feeders)
        self.plan = plan

    async def certified(self) -> Certified:
        """The lowest of the nodes' certified checkpoints."""
        told = await asyncio.gather(*(feeder.certified() for feeder in self.feeders))
        return min(told, key=lambda each: each.size)

    async def costs(self) -> list[Cost]:
        """What each node's process has used up so far."""
        return [await self._cost(feeder) for feeder in self.feeders]

    async def _cost(self, feeder: Feeder) -> Cost:
        pid = self.federation.pid(feeder.seat.code)
        assert pid is not None, "a node that is measured runs"
        metrics = await feeder.client.metrics()
        return Cost(
            cpu_us=measure.cpu_us(pid),
            rss_max_mib=measure.rss_max_mib(pid),
            disk_bytes=await asyncio.to_thread(measure.disk_bytes, feeder.seat.config.data),
            wire_bytes=int(measure.counter(metrics, WIRE_METRIC)),
            syncs=int(measure.counter(metrics, SYNC_METRIC)),
            rooms_s={
                room: measure.counter(metrics, f"{METRIC}_total", {"room": room}) for room in ROOMS
            },
        )

    @contextlib.asynccontextmanager
    async def fed(self, records_per_s: float | None = None) -> AsyncIterator[None]:
        """All nodes under load while the context lasts."""
        tasks = [
            asyncio.create_task(
                feeder.run(
                    streams=self.plan.streams,
                    window_records=self.plan.window_records,
                    records_per_s=records_per_s and records_per_s / len(self.feeders),
                )
            )
            for feeder in self.feeders
        ]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for each in ended:
            if isinstance(each, Exception):
                raise each


async def measure_cluster(federation: Federation, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Run the plan on a started federation and return its figures (FIGURES of `bench cluster`)."""
    count = len(federation.seats)
    async with contextlib.AsyncExitStack() as stack:
        feeders = [
            Feeder(
                await stack.enter_async_context(Client(seat.url, seat.token)),
                seat,
                PlatformLoad(
                    federation.chain, seat.number, (place, count), plan.population, plan.seed
                ),
                plan.chunk_records,
            )
            for place, seat in enumerate(federation.seats)
        ]
        cluster = Cluster(federation, feeders, plan)
        if plan.engagements:
            for feeder, engagements in zip(feeders, plan.engagements, strict=True):
                feeder.load.skip(engagements)
        else:
            await _register(cluster, progress)
        lone_ms = await _lone(cluster, progress)
        full = await _full_load(cluster, progress)
        latencies = {"lone_latency_ms": measure.percentiles(lone_ms)}
        rate = full["final_records_per_s"]
        if plan.half_load_seconds:
            half_ms, _ = await _loaded(
                cluster,
                rate / 2,
                plan.half_load_seconds,
                "half load",
                progress,
                wanted=plan.lone_samples,
            )
            latencies["half_load_latency_ms"] = measure.percentiles(half_ms)
        curve = await _curve(cluster, rate, lone_ms, progress) if plan.curve_shares else None
        return {
            **full,
            **latencies,
            "curve": curve,
            "nodes": count,
            "tls": await _all_tls(federation),
            "load": asdict(plan),
        }


async def _register(cluster: Cluster, progress: Progress) -> None:
    population = cluster.plan.population
    total = population.workers + population.clients
    window = cluster.plan.window_records
    tasks = [asyncio.create_task(each.register(window_records=window)) for each in cluster.feeders]
    try:
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.5)
            progress("registering", sum(each.confirmed for each in cluster.feeders) / total)
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _settle(cluster: Cluster) -> None:
    """Wait until nothing is under way: all is final, and every node serves the same checkpoint."""
    await asyncio.gather(*(feeder.drain() for feeder in cluster.feeders))
    deadline = time.perf_counter() + SETTLE_SECONDS_MAX
    told: set[Certified] = set()
    while time.perf_counter() < deadline:
        earlier = told
        told = {await feeder.certified() for feeder in cluster.feeders}
        if len(told) == 1 and told == earlier:
            return
        await asyncio.sleep(SETTLE_POLL_S)
        cluster.federation.check_alive()
    raise LoadFailed(f"the nodes do not agree {SETTLE_SECONDS_MAX} s after the load: {told}")


async def _lone(cluster: Cluster, progress: Progress) -> list[float]:
    samples: list[float] = []
    await _settle(cluster)
    while len(samples) < cluster.plan.lone_samples:
        feeder = cluster.feeders[len(samples) % len(cluster.feeders)]
        samples.append(await feeder.lone())
        progress("lone records", len(samples) / cluster.plan.lone_samples)
        await asyncio.sleep(LONE_GAP_S * (1 + secrets.randbelow(1_000) / 1_000))
    return samples


async def _full_load(cluster: Cluster, progress: Progress) -> dict[str, Any]:
    plan = cluster.plan
    async with cluster.fed():
        await _run_in(cluster, progress)
        opened, closed = _fed(cluster)
        before, begun = await cluster.costs(), await cluster.certified()
        own_us, clock = measure.own_cpu_us(), time.perf_counter()
        await _pass(plan.seconds, "full load", cluster, progress)
        ended, seconds = await cluster.certified(), time.perf_counter() - clock
        own_us = measure.own_cpu_us() - own_us
        after = await cluster.costs()
        fed = _fed(cluster)
    records = ended.records - begun.records
    return _full_figures(before, after, records, seconds, own_us) | {
        "blocks_per_s": round((ended.height - begun.height) / seconds, 2),
        "sent": {"opens": fed[0] - opened, "outcomes_and_ratings": 2 * (fed[1] - closed)},
        "log_size": ended.size,
    }


def _fed(cluster: Cluster) -> tuple[int, int]:
    """Engagements opened and closed so far, by all feeders."""
    return (
        sum(feeder.opened for feeder in cluster.feeders),
        sum(feeder.closed for feeder in cluster.feeders),
    )


async def _run_in(cluster: Cluster, progress: Progress) -> None:
    """Until all three kinds of records flow at every node, and a few seconds more."""
    begun = time.perf_counter()
    while not all(feeder.closed for feeder in cluster.feeders):
        passed = time.perf_counter() - begun
        if passed > RUN_IN_SECONDS_MAX:
            raise LoadFailed(f"no open was ripe within {RUN_IN_SECONDS_MAX} s")
        progress("running in", passed / RUN_IN_SECONDS_MAX)
        await asyncio.sleep(0.2)
        cluster.federation.check_alive()
    await _pass(cluster.plan.run_in_seconds, "running in", cluster, progress)


def _full_figures(
    before: Sequence[Cost], after: Sequence[Cost], records: int, seconds: float, own_us: int
) -> dict[str, Any]:
    nodes = len(after)
    cpu = [late.cpu_us - early.cpu_us for early, late in zip(before, after, strict=True)]
    disk = sum(
        late.disk_bytes - early.disk_bytes for early, late in zip(before, after, strict=True)
    )
    wire = sum(
        late.wire_bytes - early.wire_bytes for early, late in zip(before, after, strict=True)
    )
    return {
        "final_records_per_s": round(records / seconds, 1),
        "records": records,
        "seconds": round(seconds, 2),
        "cpu_us_per_record": measure.per_record(sum(cpu), records),
        "cpu_us_per_record_by_node": measure.spread(cpu, records),
        "load_cpu_us_per_record": measure.per_record(own_us, records),
        "disk_bytes_per_record": measure.per_record(disk / nodes, records),
        "wire_bytes_per_record": measure.per_record(wire / nodes, records),
        "fsync": all(late.syncs > early.syncs for early, late in zip(before, after, strict=True)),
        "rss_mib_max": round(max(each.rss_max_mib for each in after), 1),
        "cpu_split": _split(before, after, sum(cpu) / 1e6),
    }


def _split(before: Sequence[Cost], after: Sequence[Cost], cpu_s: float) -> dict[str, float] | None:
    """Each room's share (%) of the processor time that was accounted for, of all nodes; None where
    no node was looked at. `accounted`: how much (%) that is of what the system says they used."""
    spent = {
        room: sum(
            late.rooms_s[room] - early.rooms_s[room]
            for early, late in zip(before, after, strict=True)
        )
        for room in ROOMS
    }
    whole_s = sum(spent.values())
    if not whole_s or not cpu_s:
        return None
    shares = {room: round(100 * spent_s / whole_s, 1) for room, spent_s in spent.items()}
    return {**shares, "accounted": round(100 * whole_s / cpu_s, 1)}


async def _loaded(
    cluster: Cluster,
    records_per_s: float | None,
    seconds: float,
    stage: str,
    progress: Progress,
    *,
    wanted: int,
) -> tuple[list[float], float]:
    """Lone records' latencies (ms) at a steady load, or at as much as the nodes take; and how many
    records per second were final meanwhile."""
    samples: list[float] = []
    await _settle(cluster)
    async with cluster.fed(records_per_s and max(records_per_s, 1.0)):
        before, begun = await cluster.certified(), time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds or len(samples) < wanted:
            samples += [await feeder.lone() for feeder in cluster.feeders]
            progress(stage, passed / seconds)
            cluster.federation.check_alive()
        after, passed = await cluster.certified(), time.perf_counter() - begun
    return samples, (after.records - before.records) / passed


async def _curve(
    cluster: Cluster, records_per_s: float, lone_ms: Sequence[float], progress: Progress
) -> list[dict[str, float]]:
    """Throughput against latency: without load, at shares of the full load, and at full load."""
    curve = [{"records_per_s": 0.0, **measure.percentiles(lone_ms)}]
    for share in cluster.plan.curve_shares:
        rate = records_per_s * share if share < 1 else None
        stage, seconds = f"curve at {share:.0%}", cluster.plan.curve_seconds
        samples, reached = await _loaded(
            cluster, rate, seconds, stage, progress, wanted=CURVE_SAMPLES
        )
        curve.append({"records_per_s": round(reached, 1), **measure.percentiles(samples)})
    return curve


async def _pass(seconds: float, stage: str, cluster: Cluster, progress: Progress) -> None:
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        progress(stage, passed / seconds)
        await asyncio.sleep(min(0.5, seconds - passed))
        cluster.federation.check_alive()


async def _all_tls(federation: Federation) -> bool:
    for seat in federation.seats:
        address = seat.config.peers_listen
        if not await measure.speaks_tls(address.host, address.port):
            return False
    return True
