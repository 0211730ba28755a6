"""The values that every system is given: the bytes of real records of the fixed load.

Opens, outcomes and ratings in equal parts, as `standing bench cluster` sends them. Each stream's
records differ from each other's; a run that needs more than there are begins again.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.bench.load import PlatformLoad, Population

POPULATION: Final = Population(workers=1_000, clients=200)
CHAIN: Final = bytes(32)  # nothing in these records is signed, so no chain stands in them
LENGTH_BYTES: Final = 4


def records(count: int, seed: int) -> list[bytes]:
    """So many records, at least; three for each engagement."""
    load = PlatformLoad(CHAIN, 1, (0, 1), POPULATION, seed)
    now_ms = time.time_ns() // 1_000_000
    found: list[bytes] = []
    for engagement in load.engagements(-(-count // 3)):
        outcome, rating = load.close(engagement, now_ms)
        found += [load.open(engagement, now_ms)[0], outcome[0], rating[0]]
    return found


def write(path: Path, values: Sequence[bytes]) -> None:
    """Write values to a file: each a 4-byte big-endian length and its bytes."""
    path.write_bytes(b"".join(len(each).to_bytes(LENGTH_BYTES) + each for each in values))
