"""Where records go: a node by HTTP, or a dry run on this machine.

Both answer alike, so that a dry run goes the same way as the real one up to the last step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from node.importing.plan import Reference

Outcome = Literal["accepted", "duplicate", "conflict", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one record. `record_id` is hex, or empty; `reason` says why not."""

    outcome: Outcome
    record_id: str = ""
    reason: str = ""


class Target(Protocol):
    """Takes records in order; a later record may rest on an earlier one."""

    @property
    def platform(self) -> int:
        """The number of the platform that the records are of."""

    async def handles(self, references: Sequence[Reference]) -> list[bytes]:
        """The platform's own random handle (32 bytes) of each reference, always the same."""

    async def offer(self, records: Sequence[bytes]) -> list[Answer]:
        """Hand in records; one answer each, in order. The accepted ones are durable."""

    async def settle(self, record_ids: Sequence[str]) -> dict[str, str]:
        """Wait until the records are final; the reason of each that execution refused."""
