"""Records about an engagement: opened before its outcome is known, then its outcome.

An engagement is named by (platform, reference); its id is the commitment of its open.
"""

from typing import Annotated, Literal

import msgspec

from ledger.encoding import Code, Handle, PlatformNumber, TimeMs, Value

Format = Literal["freelance", "contest", "vendor", "volunteer", "employment", "gig"]
Role = Literal["lead", "learner", "mentor", "crew"]
Status = Literal[
    "completed",
    "late",
    "cancelled-by-worker",
    "cancelled-by-client",
    "force-majeure",
    "no-show",
    "unresolved",
]
Fault = Literal["none", "worker", "client", "shared"]
Acceptance = Literal["accepted", "partial", "rejected", "unknown"]
Basis = Literal["platform", "counterparty"]
Reference = Annotated[
    bytes,
    msgspec.Meta(min_length=32, max_length=32, description="the platform's name of an engagement"),
]
Domains = Annotated[tuple[Code, ...], msgspec.Meta(min_length=1, max_length=4)]
ValueBand = Annotated[int, msgspec.Meta(ge=0, le=9, description="0 unknown, 1 smallest, 9 largest")]
LatenessBand = Annotated[int, msgspec.Meta(ge=0, le=5, description="0 on time, 5 latest")]


class EngagementOpen(Value, tag=10):
    """Work agreed between a worker and a client of one platform, before its outcome is known."""

    platform: PlatformNumber
    at: TimeMs
    reference: Reference
    worker: Handle
    client: Handle
    format: Format
    domains: Domains
    role: Role
    due_from: TimeMs
    due_until: TimeMs
    value_band: ValueBand


class EngagementOutcome(Value, tag=11):
    """How an engagement ended. One live outcome each.

    `basis` says on whose word: the platform saw it itself, or the counterparty told it.
    """

    platform: PlatformNumber
    at: TimeMs
    reference: Reference
    status: Status
    fault: Fault
    lateness_band: LatenessBand
    acceptance: Acceptance
    basis: Basis
