"""Rules of `engagement.open` and `engagement.outcome`, and what they change in the registry.

`CONSISTENT` says which fault, lateness and acceptance fit each status.
"""

from typing import Final

from ledger.errors import Refused
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.rows import EngagementRow
from ledger.rules.codes import (
    DATED_BEFORE_OPEN,
    DOMAINS_UNSORTED,
    DUE_WINDOW,
    ENGAGEMENT_EXISTS,
    OUTCOME_EXISTS,
    OUTCOME_INCONSISTENT,
    SAME_PARTY,
    UNKNOWN_DOMAIN,
    UNKNOWN_ENGAGEMENT,
)
from ledger.rules.registry import Registry, need_subject
from ledger.rules.signatures import check_no_signatures

DUE_MS_MAX: Final = 5 * 366 * 86_400_000

_ANYONE: Final = frozenset({"none", "worker", "client", "shared"})
_ANY_ACCEPTANCE: Final = frozenset({"accepted", "partial", "rejected", "unknown"})
_UNKNOWN: Final = frozenset({"unknown"})
_ON_TIME: Final = range(1)

CONSISTENT: Final = {
    "completed": (_ANYONE, _ON_TIME, _ANY_ACCEPTANCE),
    "late": (_ANYONE, range(1, 6), _ANY_ACCEPTANCE),
    "cancelled-by-worker": (_ANYONE, _ON_TIME, _UNKNOWN),
    "cancelled-by-client": (_ANYONE, _ON_TIME, _UNKNOWN),
    "force-majeure": (frozenset({"none"}), _ON_TIME, _UNKNOWN),
    "no-show": (_ANYONE, _ON_TIME, _UNKNOWN),
    "unresolved": (frozenset({"none"}), _ON_TIME, _UNKNOWN),
}
"""Status → the faults, lateness bands and acceptances that it may stand with."""


def engagement_key(platform: int, reference: bytes) -> bytes:
    """How an engagement is named: platform (u32) ‖ reference."""
    return platform.to_bytes(4) + reference


def need_engagement(
    registry: Registry, record_platform: int, reference: bytes, at: int
) -> EngagementRow:
    """The engagement that a record speaks of, opened not after it.

    Raises:
        Refused: not opened, or opened later.
    """
    row = registry.engagements.get(engagement_key(record_platform, reference))
    if row is None:
        raise Refused(
            UNKNOWN_ENGAGEMENT, "this platform has not opened this reference", field="reference"
        )
    if at < row.at:
        raise Refused(DATED_BEFORE_OPEN, "is dated before the engagement's open", field="at")
    return row


def check_open(chain: bytes, record: EngagementOpen, signatures: bytes) -> None:
    """Stateless: two parties, domains in their one order, a window that can be met."""
    del chain
    check_no_signatures(signatures)
    if record.worker == record.client:
        raise Refused(SAME_PARTY, "is the worker", field="client")
    domains = record.domains
    if len(domains) > 1 and list(domains) != sorted(set(domains)):
        raise Refused(DOMAINS_UNSORTED, "do not ascend, each once", field="domains")
    if record.due_from > record.due_until:
        raise Refused(DUE_WINDOW, "is after due_until", field="due_from")
    if not record.at <= record.due_until <= record.at + DUE_MS_MAX:
        raise Refused(DUE_WINDOW, "is not within 5 years from `at`", field="due_until")


def judge_open(registry: Registry, record: EngagementOpen) -> None:
    """Stateful: the reference is new, both parties are registered here, the domains known."""
    platform = record.platform
    if registry.engagements.get(engagement_key(platform, record.reference)) is not None:
        raise Refused(ENGAGEMENT_EXISTS, "is opened already", field="reference")
    need_subject(registry, platform, record.worker, field="worker")
    need_subject(registry, platform, record.client, field="client")
    known = registry.vocabulary.domains
    for domain in record.domains:
        if domain not in known:
            raise Refused(UNKNOWN_DOMAIN, f"{domain} is not registered", field="domains")


def enact_open(registry: Registry, record: EngagementOpen, log_index: int, batch_time: int) -> None:
    """The engagement exists from now on."""
    row = EngagementRow(
        open=log_index,
        worker=record.worker,
        client=record.client,
        at=record.at,
        known=batch_time,
        due_until=record.due_until,
        outcome=None,
        of_worker=None,
        of_client=None,
    )
    registry.engagements.put(engagement_key(record.platform, record.reference), row)


def check_outcome(chain: bytes, record: EngagementOutcome, signatures: bytes) -> None:
    """Stateless: fault, lateness and acceptance fit the status."""
    del chain
    check_no_signatures(signatures)
    status = record.status
    faults, bands, acceptances = CONSISTENT[status]
    if record.fault not in faults:
        raise Refused(OUTCOME_INCONSISTENT, f"does not fit {status}", field="fault")
    if record.lateness_band not in bands:
        raise Refused(OUTCOME_INCONSISTENT, f"does not fit {status}", field="lateness_band")
    if record.acceptance not in acceptances:
        raise Refused(OUTCOME_INCONSISTENT, f"does not fit {status}", field="acceptance")


def judge_outcome(registry: Registry, record: EngagementOutcome) -> None:
    """Stateful: the engagement is open and has no live outcome."""
    row = need_engagement(registry, record.platform, record.reference, record.at)
    if row.outcome is not None:
        raise Refused(OUTCOME_EXISTS, "has an outcome already", field="reference")


def enact_outcome(
    registry: Registry, record: EngagementOutcome, log_index: int, batch_time: int
) -> None:
    """The engagement has its outcome."""
    del batch_time
    key = engagement_key(record.platform, record.reference)
    row = registry.engagements.get(key)
    assert row is not None, "an outcome was judged before it is enacted"
    row.outcome = log_index
    registry.engagements.put(key, row)
