"""Where a record stands, and waiting until it is final; the newest certificate, and news of it.

durable   in the platform's own lane, on this node's disk
ordered   executed under a final cut; the checkpoint over it has no quorum of cosignatures yet
final     under a certified checkpoint
refused   executed, and broke a rule: it has no entry
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from ledger.errors import Malformed
from ledger.position import Applied
from ledger.record_rows import RecordRow, find_accepted, find_record
from ledger.rows import (
    BlockRow,
    CheckpointRow,
    block_key,
    need_row,
)
from ledger.store import Reader
from node.events import BlockEvent, Events
from node.intake import Intake
from node.view import Certificate, Notary

log = logging.getLogger(__name__)

RecordState = Literal["durable", "ordered", "final", "refused"]

EVENTS_AT_ONCE_MAX: Final = 256
"""While catching up, news of more blocks than this at once is told of the last ones only."""


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """A record's state and place; `log_index` is None and `rule` not empty iff it was refused."""

    record_id: bytes
    state: RecordState
    rule: str = ""
    log_index: int | None = None
    lane: int = 0
    height: int = 0
    position: int = 0


class Tracking:
    """Watches the pump; answers about records."""

    def __init__(
        self, *, reader: Reader, intake: Intake, notary: Notary, events: Events, number: int
    ) -> None:
        self._reader, self._intake, self._notary = reader, intake, notary
        self._events, self._number = events, number
        self._news = asyncio.Event()
        self.certificate: Certificate | None = notary.newest()

    # --- the pump's news ---

    def sealed(self, effect: BatchSealed) -> None:
        """An own batch is on disk: those who wait for it are told."""
        self._intake.sealed(effect)

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Own records have other places, or none."""
        match effect:
            case BatchVoid():
                lost = self._intake.voided(effect)
                if lost:
                    log.error(
                        "the membership has ended: %d own records reached no final cut", len(lost)
                    )
            case BatchResealed():
                self._intake.resealed(effect)
            case Unsealed():
                self._intake.unsealed()

    def executed(self, block: Execute, applied: Applied) -> None:
        """A block was executed: own batches under it are no longer under way."""
        for _, batch in block.batches:
            if batch.header.lane == self._number:
                applied.changes.update(self._intake.names_of(batch))
                self._intake.executed(batch.header.height)
        for record_id, _, _ in applied.records:
            self._intake.decided(record_id)
        if applied.refusals:
            self._wake()

    def certified(self, row: CheckpointRow) -> None:
        """A checkpoint has its quorum, and its block has been executed here."""
        before = self.certificate.height if self.certificate else row.height - 1
        certificate = self._notary.certify(row) if row.height > before else None
        if certificate is None:
            return  # its log line is still to come (node/loglines.py)
        self.certificate = certificate
        first = max(before + 1, row.height - EVENTS_AT_ONCE_MAX)
        for height in range(first, row.height + 1):
            self._events.publish(self._event(height))
        self._wake()

    def _event(self, height: int) -> BlockEvent:
        row = need_row(self._reader, BlockRow, block_key(height))
        return BlockEvent(
            height=height,
            size=row.size,
            root=row.root.hex(),
            time=row.block.time,
            records=row.size - row.first - 1,
            refused=len(row.refusals),
        )

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # --- questions ---

    def certificate_of(self, size: int) -> Certificate | None:
        """The certificate of the checkpoint of this size, or None if none is certified."""
        return self._notary.of_size(size)

    def status(self, record_id: bytes) -> RecordStatus | None:
        """Where a record stands, or None if this node does not know it."""
        place = self._intake.places.get(record_id)
        if place is None:
            row = find_record(self._reader, record_id, self._number)
        else:
            # Not executed yet: what was refused can only be a copy of it in another lane.
            row = find_accepted(self._reader, record_id)
            if row is None:
                return RecordStatus(
                    record_id, "durable", lane=self._number, height=place[0], position=place[1]
                )
        if row is None:
            return None
        return RecordStatus(
            record_id,
            self._state(row),
            rule=row.rule,
            log_index=row.log_index,
            lane=row.lane,
            height=row.height,
            position=row.position,
        )

    def _state(self, row: RecordRow) -> RecordState:
        if row.log_index is None:
            return "refused"
        certificate = self.certificate
        return "final" if certificate and row.log_index < certificate.size else "ordered"

    async def wait_final(self, record_ids: Sequence[bytes], timeout_s: float) -> list[RecordStatus]:
        """The records' states once all are final or refused, or the time is up.

        Raises:
            Malformed: an id that is no record's, as far as this node knows.
        """
        settled: list[RecordStatus] = []
        try:
            async with asyncio.timeout(timeout_s):
                while not self._settle(record_ids, settled):
                    await self._news.wait()
        except TimeoutError:
            pass
        return settled + [self._known(each) for each in record_ids[len(settled) :]]

    def _settle(self, record_ids: Sequence[bytes], settled: list[RecordStatus]) -> bool:
        """Go on with the statuses in order while they will not change any more; whether all are."""
        while len(settled) < len(record_ids):
            status = self._known(record_ids[len(settled)])
            if status.state not in {"final", "refused"}:
                return False
            settled.append(status)
        return True

    def _known(self, record_id: bytes) -> RecordStatus:
        status = self.status(record_id)
        if status is None:
            raise Malformed(f"this node knows no record {record_id.hex()}", field="id")
        return status
