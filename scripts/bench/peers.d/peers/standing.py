"""Standing itself: four nodes as processes, by the code of `standing bench cluster`."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Final

from node.bench.cluster import Plan, measure_cluster
from node.federation import Federation, create
from peers.figures import NODES, OURS, Measured, Say, System, Terms

HALF_LOAD_SECONDS: Final = 1.0  # its figure is not wanted here


def measure(terms: Terms, folder: Path, say: Say) -> Measured:
    """The fixed load on four nodes: its population registered, lone records, then full load."""
    return asyncio.run(_measure(terms, folder / "net", say))


async def _measure(terms: Terms, folder: Path, say: Say) -> Measured:
    create(folder, "abcd"[:NODES])
    plan = Plan(
        seconds=terms.seconds,
        run_in_seconds=terms.run_in_seconds,
        half_load_seconds=HALF_LOAD_SECONDS,
        lone_samples=terms.lone_samples,
        seed=terms.seed,
        chunk_records=terms.chunk_records,
        streams=terms.streams // NODES,
        window_records=terms.window_records // NODES,
    )
    stages: set[str] = set()

    def progress(stage: str, _share: float) -> None:
        if stage not in stages:
            say(f"Standing: {stage}")
        stages.add(stage)

    async with Federation.at(folder) as federation:
        told = await measure_cluster(federation, plan, progress)
    records = int(told["records"])
    return Measured(
        version=version("standing-ledger"),
        operations=records,
        seconds=float(told["seconds"]),
        lone_ms=told["lone_latency_ms"],
        processes=NODES,
        fsync=bool(told["fsync"]),
        tls=bool(told["tls"]),
        cpu_us=round(float(told["cpu_us_per_record"]) * records),
        how=f"{terms.streams} clients by HTTP, {terms.chunk_records} records a request, at most "
        f"{terms.window_records} records not final; all checks on, and the index kept",
    )


SYSTEM: Final = System(
    name=OURS,
    title="Standing",
    byzantine_tolerance=(NODES - 1) // 3,
    signed_records=True,
    what_it_does_not_do=(
        "run programs or arbitrary transactions: it takes the records of its formats",
    ),
    measure=measure,
)
