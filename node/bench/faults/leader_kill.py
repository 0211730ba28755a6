"""The leader of the current view killed with SIGKILL under load, again and again.

Measured each time: from just before the kill until each of the other nodes has made a record final
that was handed in to it right after the kill; the slowest of them counts. The killed node is
started again and must be ready before the next kill: its store is whole, so its keys sign on.
"""

import asyncio
import random
import time
from statistics import median
from typing import Any, Final

from node.bench.faults.ground import CODES, Ground, Progress

PAUSE_S: Final = 1.5


async def measure_leader_kill(ground: Ground, progress: Progress) -> dict[str, Any]:
    """The figures `leader_kill_s`, in seconds: median, worst, and each kill's."""
    kills, rng = ground.plan.kills, random.Random(ground.plan.seed)  # noqa: S311 - no secret
    samples: list[float] = []
    async with ground.loaded():
        while len(samples) < kills:
            progress("leader kills", len(samples) / kills)
            await asyncio.sleep(PAUSE_S + rng.random())
            ground.federation.check_alive()
            samples.append(await _kill_leader(ground, rng.choice(CODES)))
    return {
        "leader_kill_s": {
            "median": round(median(samples), 3),
            "worst": round(max(samples), 3),
            "each": [round(each, 3) for each in samples],
        }
    }


async def _kill_leader(ground: Ground, asked: str) -> float:
    leader = await ground.leader(asked)
    begun = time.perf_counter()
    ground.federation.kill(leader)
    others = [code for code in CODES if code != leader]
    final = await asyncio.gather(*(ground.fresh(code) for code in others))
    ground.federation.start(leader)
    await ground.federation.wait_ready([leader])
    return max(final) - begun
