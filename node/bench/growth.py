"""`standing bench growth`: the same figures with more and more records already in the ledger.

For each size: a federation of four is laid out with the made ledger (`node/bench/preload.py`) and
started; then

- lone records on the idle network, and the full load (`node/bench/cluster.py`);
- scores with proof of its workers, drawn evenly, from one node over HTTP (`standing bench query`
  asks more);
- that node is killed (SIGKILL) and started again: `start_killed_s`, from the start of its process
  until /readyz answers 200, its peers running. What it wrote last is in LevelDB's journal only.
  Then it is stopped, and started again: `start_clean_s`.

`disk_bytes_per_record` is a node's folder over the entries of its log, with the index; it is the
made ledger's, before the load. Memory is the largest that a node ever held (VmHWM), with those
pages of the store's tables that the system has mapped; `anonymous_mib_max` is what it held itself
at the end. The first size is what the others are compared to.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from node.bench import measure
from node.bench.asking import ask, request_of
from node.bench.cluster import Plan, measure_cluster
from node.bench.load import PlatformLoad, Population
from node.bench.preload import CODES, DATA, Kept, Preloaded
from node.federation import Federation

RUN: Final = "run"
CONNECTIONS: Final = 4
READY_SECONDS_MAX: Final = 300.0
ASKED: Final = CODES[1]
"""Whose node is asked, killed and stopped."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """At which `sizes` (records) what is measured, for how long."""

    sizes: tuple[int, ...] = (0, 1_000_000, 5_000_000, 10_000_000)
    population: Population = field(default_factory=Population)
    seconds: float = 20.0
    query_seconds: float = 5.0
    lone_samples: int = 60
    seed: int = 1


async def measure_growth(kept: Kept, plan: GrowthPlan, progress: Progress) -> dict[str, Any]:
    """The figures at each size; the ledgers are made already.

    Raises:
        StandingError: a node ended, or refused what it was offered or asked.
    """
    points = [await _measure_size(kept, size, plan, progress) for size in plan.sizes]
    first = points[0]["final_records_per_s"]
    for point in points:
        point["throughput_share"] = round(point["final_records_per_s"] / first, 3)
    last = points[-1]
    return {
        "points": points,
        **{name: last[name] for name in SUMMED},
        "subjects": plan.population.workers + plan.population.clients,
        "nodes": len(CODES),
    }


SUMMED: Final = (
    "records",
    "final_records_per_s",
    "throughput_share",
    "rss_mib_max",
    "disk_bytes_per_record",
    "start_clean_s",
    "start_killed_s",
)
"""What the largest size's point tells of the whole."""


async def _measure_size(
    kept: Kept, size: int, plan: GrowthPlan, progress: Progress
) -> dict[str, Any]:
    def told(stage: str, share: float) -> None:
        progress(f"{size:,}: {stage}", share)

    place = kept.folder / RUN
    shutil.rmtree(place, ignore_errors=True)
    try:
        made = kept.lay_out(size, place)
        disk = measure.disk_bytes(place / CODES[0] / DATA)
        federation = Federation.at(place)
        begun = time.perf_counter()
        try:
            await federation.start_all(timeout_s=READY_SECONDS_MAX)
            started_s = time.perf_counter() - begun
            figures = await _measure_running(federation, made, plan, told)
        finally:
            await federation.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {
        "records": made.records,
        "disk_bytes_per_record": measure.per_record(disk, made.size),
        "start_all_s": round(started_s, 2),
        **figures,
    }


async def _measure_running(
    federation: Federation, made: Preloaded, plan: GrowthPlan, progress: Progress
) -> dict[str, Any]:
    load = Plan(
        seconds=plan.seconds,
        half_load_seconds=0,
        lone_samples=plan.lone_samples,
        preload=made.records,
        engagements=made.engagements,
        seed=plan.seed,
        population=plan.population,
    )
    loaded = await measure_cluster(federation, load, progress)
    query = await _ask(federation, plan, progress)
    anonymous = max(measure.anonymous_mib(_pid(federation, code)) for code in CODES)
    progress("starts", 0.0)
    federation.kill(ASKED)
    killed_s = await _start(federation)
    progress("starts", 0.5)
    begun = time.perf_counter()
    await federation.stop_one(ASKED)
    stop_s = time.perf_counter() - begun
    clean_s = await _start(federation)
    progress("starts", 1.0)
    kept = ("final_records_per_s", "lone_latency_ms", "cpu_us_per_record", "rss_mib_max")
    return {
        **{name: loaded[name] for name in kept},
        "disk_bytes_per_new_record": loaded["disk_bytes_per_record"],
        **query,
        "anonymous_mib_max": round(anonymous, 1),
        "stop_s": round(stop_s, 2),
        "start_clean_s": round(clean_s, 2),
        "start_killed_s": round(killed_s, 2),
    }


async def _start(federation: Federation) -> float:
    """Start the node again; the seconds until it is ready."""
    begun = time.perf_counter()
    federation.start(ASKED)
    await federation.wait_ready([ASKED], timeout_s=READY_SECONDS_MAX)
    return time.perf_counter() - begun


def _pid(federation: Federation, code: str) -> int:
    pid = federation.pid(code)
    assert pid is not None, "a node that is measured runs"
    return pid


async def _ask(federation: Federation, plan: GrowthPlan, progress: Progress) -> dict[str, Any]:
    """Scores with proof of workers drawn evenly."""
    progress("scores with proof", 0.0)
    seat = federation.seat(ASKED)
    address = seat.config.api_listen
    requests = (
        request_of(f"/v1/subjects/{each}/bundle", str(address), seat.token)
        for each in _workers(federation, plan)
    )
    pid = _pid(federation, ASKED)
    node_us = measure.cpu_us(pid)
    asked = await ask(
        address.host,
        address.port,
        requests,
        connections=CONNECTIONS,
        seconds=plan.query_seconds,
    )
    node_us = measure.cpu_us(pid) - node_us
    count = len(asked.latencies_ms)
    progress("scores with proof", 1.0)
    return {
        "proven_scores_per_s": round(count / asked.seconds, 1),
        "proven_score_ms": measure.percentiles(asked.latencies_ms),
        "node_cpu_us_per_proven_score": measure.per_record(node_us, count),
    }


def _workers(federation: Federation, plan: GrowthPlan) -> Iterator[str]:
    """Workers of all platforms, drawn evenly, for ever."""
    rng = random.Random(f"growth/{plan.seed}")  # noqa: S311 - a load, not a secret
    places = len(CODES)
    subjects = [
        f"{seat.number}:{handle.hex()}"
        for place, seat in enumerate(federation.seats)
        for handle in PlatformLoad(
            federation.chain, seat.number, (place, places), plan.population, plan.seed
        ).workers
    ]
    while True:
        yield rng.choice(subjects)
