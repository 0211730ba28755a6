"""Two nodes of four stopped (SIGSTOP) under load, so that there is no quorum, and let go on.

Measured from SIGCONT: until a node that ran on tells a checkpoint that is newer than any before;
and until each of the four has made a record final that was handed in to it then. Records wait at
the nodes that ran on meanwhile (as many as the load's window allows), and come first.
"""

import asyncio
import time
from typing import Any

from node.bench.faults.ground import CODES, POLL_S, Ground, Progress

FROZEN = ("c", "d")
RUNNING = ("a", "b")


async def measure_freeze(ground: Ground, progress: Progress) -> dict[str, Any]:
    """The figures `freeze_recovery_s` and `freeze_fresh_record_s`."""
    seconds = ground.plan.freeze_seconds
    async with ground.loaded():
        await asyncio.sleep(2.0)
        with ground.frozen(FROZEN):
            begun = time.perf_counter()
            while (passed := time.perf_counter() - begun) < seconds:
                progress("frozen", passed / seconds)
                await asyncio.sleep(min(0.5, max(0.0, seconds - passed)))
            before = await _heights(ground)
        begun = time.perf_counter()
        newer, *fresh = await asyncio.gather(
            _newer(ground, before), *(ground.fresh(code) for code in CODES)
        )
    return {
        "freeze_seconds": seconds,
        "freeze_recovery_s": round(newer - begun, 3),
        "freeze_fresh_record_s": round(max(fresh) - begun, 3),
    }


async def _heights(ground: Ground) -> int:
    told = [await ground.feeders[code].certified() for code in RUNNING]
    return max(each.height for each in told)


async def _newer(ground: Ground, height: int) -> float:
    """When (`perf_counter`) a node that ran on told a newer checkpoint."""
    async with asyncio.timeout(60):
        while await _heights(ground) <= height:  # noqa: ASYNC110 - another process, over HTTP
            await asyncio.sleep(POLL_S)
    return time.perf_counter()
