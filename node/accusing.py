"""Telling the ledger what was found: evidence that consensus keeps becomes a record in a lane.

Every node finds the same evidence, and one record of it is enough: the platforms take turns, each a
little later than the one before, and none says what the ledger knows already. A platform that is
accused says nothing of itself, and an observer nothing at all.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.errors import StandingError
from ledger.governance_rows import ACCUSED, slot_name
from ledger.position import Applied
from ledger.records import encode_record
from ledger.records.evidence import Evidence as EvidenceRecord
from ledger.rows import CheckpointRow
from ledger.statements import Evidence
from ledger.store import Reader
from node.driver import Driver
from node.intake import Busy, Offer, Result
from node.timers import now

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
TURN_S: Final = 1.0
TURNS_MAX: Final = 8

Submit = Callable[[Sequence[Offer]], Awaitable[list[Result]]]


class Accuser:
    """One node's teller of evidence. It is a `Watcher` of the pump."""

    def __init__(self, driver: Driver, reader: Reader, number: int, submit: Submit) -> None:
        self._driver, self._reader, self._number, self._submit = driver, reader, number, submit
        self._told: set[bytes] = set()
        self._seen: dict[bytes, float] = {}  # when found
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for evidence from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- the pump's news: evidence is looked for in its own time ---

    def sealed(self, effect: BatchSealed) -> None:
        """Nothing to tell."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Nothing to tell."""

    def executed(self, block: Execute, applied: Applied) -> None:
        """Nothing to tell."""

    def certified(self, row: CheckpointRow) -> None:
        """Nothing to tell."""

    # --- the task ---

    async def _run(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._driver.may_seal():
                    for found in list(self._driver.consensus.evidence.values()):
                        await self._tell(found)
        except StandingError as error:
            self._driver.halt(f"evidence cannot be told: {error}")

    async def _tell(self, found: Evidence) -> None:
        name = slot_name(found.number, found.kind, found.epoch, found.slot)
        if found.number == self._number or name in self._told:
            return
        loop = asyncio.get_running_loop()
        since_s = self._seen.setdefault(name, loop.time())
        if loop.time() < since_s + self._turn(found) * TURN_S:
            return
        if self._reader.get(ACCUSED + name) is None and not await self._say(found):
            return
        self._told.add(name)

    def _turn(self, found: Evidence) -> int:
        """Whose turn it is first goes round with the slot."""
        numbers = sorted(each.number for each in self._driver.ledger.validators)
        place = numbers.index(self._number) if self._number in numbers else 0
        return min(TURNS_MAX, (place + found.slot) % len(numbers))

    async def _say(self, found: Evidence) -> bool:
        record = EvidenceRecord(
            self._number,
            now().wall_ms,
            found.kind,
            found.number,
            found.epoch,
            found.slot,
            found.first,
            found.second,
        )
        (result,) = await self._submit([Offer(encode_record(record), b"")])
        log.warning("evidence against platform %d is told: %s", found.number, result)
        return not isinstance(result, Busy)
