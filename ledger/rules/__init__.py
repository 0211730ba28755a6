"""The rules of records: one module per family, the same for intake (early) and execution.

A family gives three functions for each of its types:

    check_…(chain, record, signatures)              what the bytes alone tell; may be done ahead
    judge_…(registry, record)                       what needs the records before it
    enact_…(registry, record, log_index, batch_time)   what an accepted record changes there

Order of judgement, and so which rule is named when several are broken: `malformed`, the rules that
hold for every record, `check_…`, the batch's time, the lane, the bound on files, `judge_…`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ledger.encoding import UINT_MAX
from ledger.errors import Malformed, Refused
from ledger.genesis import Bounds
from ledger.records import Record, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.evidence import Evidence
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rules.codes import (
    DATED_AFTER_BATCH,
    DATED_TOO_EARLY,
    FOREIGN_PLATFORM,
    MALFORMED,
    RULES,
    TOO_MANY_FILES,
)
from ledger.rules.engagement import (
    check_open,
    check_outcome,
    enact_open,
    enact_outcome,
    judge_open,
    judge_outcome,
)
from ledger.rules.erasure import (
    check_ack,
    check_erasure,
    enact_ack,
    enact_erasure,
    judge_ack,
    judge_erasure,
    need_recent,
)
from ledger.rules.evidence import check_evidence, enact_evidence, judge_evidence
from ledger.rules.membership import (
    check_by_batch,
    check_propose,
    check_ready,
    check_rotate,
    enact_approve,
    enact_leave,
    enact_propose,
    enact_ready,
    enact_remove,
    enact_rotate,
    judge_approve,
    judge_leave,
    judge_propose,
    judge_ready,
    judge_remove,
    judge_rotate,
)
from ledger.rules.model import check_activate, enact_activate, judge_activate
from ledger.rules.rating import check_rating, enact_rating, judge_rating
from ledger.rules.registry import Registry, Vocabulary
from ledger.rules.subject import (
    check_link,
    check_register,
    enact_link,
    enact_register,
    judge_link,
    judge_register,
)

__all__ = [
    "RULES",
    "Registry",
    "Vocabulary",
    "check_stateful",
    "check_stateless",
    "enact",
    "files_touched",
    "read_record",
]

EARLIEST_MS: Final = 631_152_000_000
"""1990-01-01: imported history is welcome, a date without a year is not."""

assert EARLIEST_MS < UINT_MAX


@dataclass(frozen=True, slots=True)
class _Rules:
    check: Callable[[bytes, Any, bytes], None]
    judge: Callable[[Registry, Any], None]
    enact: Callable[[Registry, Any, int, int], None]
    files: int
    """How many files a record touches; 0 where no bound stands against it."""


_RULES: Final[dict[type[Record], _Rules]] = {
    SubjectRegister: _Rules(check_register, judge_register, enact_register, 1),
    SubjectLink: _Rules(check_link, judge_link, enact_link, 2),
    EngagementOpen: _Rules(check_open, judge_open, enact_open, 2),
    EngagementOutcome: _Rules(check_outcome, judge_outcome, enact_outcome, 2),
    Rating: _Rules(check_rating, judge_rating, enact_rating, 2),
    Erasure: _Rules(check_erasure, judge_erasure, enact_erasure, 0),
    ErasureAck: _Rules(check_ack, judge_ack, enact_ack, 0),
    MemberPropose: _Rules(check_propose, judge_propose, enact_propose, 0),
    MemberApprove: _Rules(check_by_batch, judge_approve, enact_approve, 0),
    MemberReady: _Rules(check_ready, judge_ready, enact_ready, 0),
    MemberRemove: _Rules(check_by_batch, judge_remove, enact_remove, 0),
    MemberLeave: _Rules(check_by_batch, judge_leave, enact_leave, 0),
    KeyRotate: _Rules(check_rotate, judge_rotate, enact_rotate, 0),
    ModelActivate: _Rules(check_activate, judge_activate, enact_activate, 0),
    Evidence: _Rules(check_evidence, judge_evidence, enact_evidence, 0),
}


def read_record(data: bytes, bounds: Bounds) -> Record:
    """Decode record bytes under the rule `malformed`.

    Raises:
        Refused: too long, of an unknown type, or not in canonical form.
    """
    if len(data) > bounds.record_bytes_max:
        raise Refused(MALFORMED, f"the record has more than {bounds.record_bytes_max} bytes")
    try:
        return decode_record(data)
    except Malformed as error:
        raise Refused(MALFORMED, error.message, field=error.field) from error


def check_stateless(chain: bytes, record: Record, signatures: bytes) -> None:
    """The rules that need nothing but the record: date, shape, keys, signatures.

    Raises:
        Refused: names the rule and the field.
    """
    if record.at < EARLIEST_MS:
        raise Refused(DATED_TOO_EARLY, "is before 1990", field="at")
    _RULES[type(record)].check(chain, record, signatures)


def check_stateful(registry: Registry, record: Record, lane: int, batch_time: int) -> None:
    """The rules that need the batch's lane and time (ms) and the records before this one.

    Raises:
        Refused: names the rule and the field.
    """
    if record.at > batch_time:
        raise Refused(DATED_AFTER_BATCH, "is later than the time of its batch", field="at")
    if isinstance(record, Erasure):
        need_recent(record, batch_time)
    rules = _RULES[type(record)]
    if record.platform != lane and not _carries_its_key(record):
        raise Refused(
            FOREIGN_PLATFORM, f"is {record.platform}, the lane is {lane}'s", field="platform"
        )
    if rules.files > registry.vocabulary.bounds.record_files_max:
        raise Refused(TOO_MANY_FILES, f"touches {rules.files} files")
    rules.judge(registry, record)


def _carries_its_key(record: Record) -> bool:
    """Whether a key in the record signs it, so that it may come through any lane."""
    if isinstance(record, Rating):
        return bool(record.rater_key)
    return isinstance(record, SubjectLink | Erasure | MemberReady | KeyRotate)


def enact(registry: Registry, record: Record, log_index: int, batch_time: int) -> None:
    """Write what an accepted record changes in the registry."""
    _RULES[type(record)].enact(registry, record, log_index, batch_time)


def files_touched(kind: type[Record]) -> int:
    """How many files a record of this type touches, 0 where no bound stands against it."""
    return _RULES[kind].files
