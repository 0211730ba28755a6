"""A member that floods: one of the four nodes is replaced by a process with its keys that sends
garbage as fast as it is taken (`flooder.py`), one kind after the other, while the load goes on.

Before each kind the three that are left are started anew, so that nobody is cut off from the kind
before, and take the same load without a flood for as long (`idle`). Told is: how much more memory
(RSS) one of them had at most than at the end of the idle time, final records per second, what the
nodes refused of the flooder's, how often they cut it off, and what the flooder got rid of. Memory
that records take is in it, since the load goes on: the figure is rather too high.

This comes last: the flooder has signed with its platform's keys what its node's store does not
know, so that node would rightly never sign again.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ledger.errors import StandingError
from node.bench import measure
from node.bench.faults.garbage import EVERY
from node.bench.faults.ground import Ground, Progress

FLOODER: Final = "d"
HONEST: Final = ("a", "b", "c")
SAMPLE_S: Final = 0.1
END_S: Final = 20.0
CUT: Final = {"reason": "cut"}
REFUSALS_METRIC: Final = "standing_peer_refusals_total"


class FlooderFailed(StandingError):
    """The flooding process ended by itself."""


@dataclass(frozen=True, slots=True)
class _Passed:
    """What a while under load came to. `rss_mib`: the most of each node, and at its end."""

    rss_mib: float
    rss_end_mib: dict[str, float]
    over_mib: float
    records_per_s: float


async def measure_flood(ground: Ground, progress: Progress) -> dict[str, Any]:
    """The figures `flood_rss_over_idle_mib` and `flood_final_records_per_s`: the worst of all
    kinds, and each kind's."""
    ground.federation.kill(FLOODER)
    floods: dict[str, dict[str, Any]] = {}
    kinds = ground.plan.floods or EVERY
    for at, kind in enumerate(kinds):
        progress("floods", at / len(kinds))
        for code in HONEST:
            ground.federation.kill(code)
            ground.federation.start(code)
        await ground.federation.wait_ready(HONEST)
        async with ground.loaded(HONEST):
            idle = await _pass(ground, ground.plan.flood_seconds, {})
            floods[kind] = await _flood(ground, kind, idle)
    return {
        "flood_rss_over_idle_mib": max(each["rss_over_idle_mib"] for each in floods.values()),
        "flood_final_records_per_s": min(each["final_records_per_s"] for each in floods.values()),
        "floods": floods,
    }


async def _flood(ground: Ground, kind: str, idle: _Passed) -> dict[str, Any]:
    before = await _counts(ground)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "node.bench.faults.flooder"),
        *(str(ground.federation.folder), FLOODER, kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        passed = await _pass(ground, ground.plan.flood_seconds, idle.rss_end_mib)
        if process.returncode is not None:
            raise FlooderFailed(f"the flooder of {kind} ended with code {process.returncode}")
        async with asyncio.timeout(END_S):
            told, _ = await process.communicate(b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    after = await _counts(ground)
    return {
        "rss_over_idle_mib": round(passed.over_mib, 1),
        "final_records_per_s": round(passed.records_per_s, 1),
        "idle_rss_mib": round(idle.rss_mib, 1),
        "idle_records_per_s": round(idle.records_per_s, 1),
        "refused": after[0] - before[0],
        "cuts": after[1] - before[1],
        "flooder": msgspec.json.decode(told),
    }


async def _counts(ground: Ground) -> tuple[int, int]:
    """What all honest nodes refused of the flooder's so far, and how often they cut it off."""
    peer = {"peer": str(ground.federation.seat(FLOODER).number)}
    texts = [await ground.feeders[code].client.metrics() for code in HONEST]
    refused = sum(measure.counter(each, REFUSALS_METRIC, peer) for each in texts)
    return int(refused), int(
        sum(measure.counter(each, REFUSALS_METRIC, peer | CUT) for each in texts)
    )


async def _pass(ground: Ground, seconds: float, idle_mib: dict[str, float]) -> _Passed:
    """Watch the memory for a while; `idle_mib` is what each node had before the floods."""
    begun, clock = await ground.feeders[HONEST[0]].certified(), time.perf_counter()
    most = over = 0.0
    told: dict[str, float] = {}
    while time.perf_counter() - clock < seconds:
        ground.federation.check_alive()
        told = {code: measure.rss_mib(ground.pid(code)) for code in HONEST}
        most = max(most, *told.values())
        over = max(over, *(told[code] - idle_mib.get(code, 0.0) for code in HONEST))
        await asyncio.sleep(SAMPLE_S)
    ended, passed = await ground.feeders[HONEST[0]].certified(), time.perf_counter() - clock
    return _Passed(most, told, over, (ended.records - begun.records) / passed)
