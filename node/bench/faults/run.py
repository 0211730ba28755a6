"""The faults in order, on one federation of four."""

import os
from typing import Any

from node.bench.faults.flood import measure_flood
from node.bench.faults.freeze import measure_freeze
from node.bench.faults.ground import Ground, Plan, Progress
from node.bench.faults.leader_kill import measure_leader_kill
from node.federation import Federation


async def measure_faults(federation: Federation, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Run the plan on a started federation of a, b, c, d. A part of 0 kills or seconds is left out.

    Raises:
        StandingError: a node ended by itself, or something was not final in time.
    """
    figures: dict[str, Any] = {}
    progress("registering", 0.0)
    async with Ground.of(federation, plan) as ground:
        progress("full load", 0.0)
        figures["full_load_records_per_s"] = round(await ground.measure_full(), 1)
        figures["load_records_per_s"] = round(ground.records_per_s, 1)
        if plan.kills:
            figures |= await measure_leader_kill(ground, progress)
        if plan.freeze_seconds:
            figures |= await measure_freeze(ground, progress)
        if plan.flood_seconds:
            figures |= await measure_flood(ground, progress)
    federation.check_alive()
    return figures | {"machine_load": round(os.getloadavg()[0], 2), "cores": os.cpu_count()}
