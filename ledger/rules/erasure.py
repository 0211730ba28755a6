"""Rules of `erasure` and `erasure.ack`, and what they change in the registry.

An erasure is a right: no bound on files stands against it. One at a time per file: while leaves of
the last one are outstanding, the next has to wait. It is good once: every member keeps the signed
record, and none may hand it in again to destroy what has come since, so each is dated after the
batch of the last one. It is good soon or never: one that was refused, or signed and kept back, lies
in no drawer for a later day. What it takes is fixed when it is accepted: each file in its scope as
long as it is then.
"""

from typing import Final

from ledger.erasure_rows import ErasureRow, FileRange
from ledger.errors import Refused
from ledger.hashing import ZERO_HASH
from ledger.records import encode_record
from ledger.records.erasure import Erasure, ErasureAck
from ledger.rules.codes import (
    ACK_EXISTS,
    ERASURE_NOT_DONE,
    ERASURE_STALE,
    ERASURE_UNDER_WAY,
    UNKNOWN_ERASURE,
)
from ledger.rules.registry import Registry, need_dated_after_erasure, need_subject
from ledger.rules.signatures import check_no_signatures, check_registered, check_signatures
from ledger.rules.subject import joined
from ledger.store import subject_key

ERASURE_DAYS_MAX: Final = 7
"""How long a signed erasure can be handed in, in days."""

_DAY_MS: Final = 86_400_000


def scope_of(registry: Registry, record: Erasure) -> tuple[bytes, ...]:
    """The subject keys of the files that an erasure covers if it is accepted now, ascending."""
    subject = subject_key(record.platform, record.handle)
    if record.scope == "platform":
        return (subject,)
    return tuple(sorted(joined(registry, subject)))


def check_erasure(chain: bytes, record: Erasure, signatures: bytes) -> None:
    """Stateless: the subject has signed."""
    check_signatures(chain, encode_record(record), signatures, (record.key,))


def need_recent(record: Erasure, batch_time: int) -> None:
    """An erasure comes into a batch (its time in ms) soon after it was signed.

    Raises:
        Refused: it is older.
    """
    if batch_time - record.at > ERASURE_DAYS_MAX * _DAY_MS:
        raise Refused(
            ERASURE_STALE,
            f"is more than {ERASURE_DAYS_MAX} days before the time of its batch: sign a new one",
            field="at",
        )


def judge_erasure(registry: Registry, record: Erasure) -> None:
    """Stateful: by the registered key; nothing in its scope is still being erased; it is new."""
    row = need_subject(registry, record.platform, record.handle, field="handle")
    check_registered(row, record.key, field="key")
    for subject in scope_of(registry, record):
        covered = registry.subjects.get(subject)
        if covered is not None and covered.erasing is not None:
            raise Refused(
                ERASURE_UNDER_WAY, "an earlier erasure is not done yet: wait for it", field="handle"
            )
        if covered is not None:
            need_dated_after_erasure(covered, record.at)


def enact_erasure(registry: Registry, record: Erasure, log_index: int, batch_time: int) -> None:
    """What stands in the files in scope, up to here, is to be erased."""
    ranges = []
    for subject in scope_of(registry, record):
        row = registry.subjects.get(subject)
        assert row is not None, "an erasure was judged before it is enacted"
        row.erasing, row.erased_at = log_index, batch_time
        ranges.append(FileRange(subject, row.cleared, row.length))
        registry.subjects.put(subject, row)
    made = ErasureRow(
        platform=record.platform,
        handle=record.handle,
        commitment=ZERO_HASH,  # execution knows it
        files=tuple(ranges),
        acks=(),
        done=None,
    )
    registry.erasures.put(log_index.to_bytes(8), made)


def check_ack(chain: bytes, record: ErasureAck, signatures: bytes) -> None:
    """Stateless: signed by the batch alone."""
    del chain, record
    check_no_signatures(signatures)


def judge_ack(registry: Registry, record: ErasureAck) -> None:
    """Stateful: of an accepted erasure, when it is done, once."""
    _, row = _find(registry, record)
    if row.done is None:
        raise Refused(ERASURE_NOT_DONE, "its leaves are not all appended", field="erasure")
    if record.platform in row.acks:
        raise Refused(ACK_EXISTS, "is acknowledged by this platform already", field="erasure")


def enact_ack(registry: Registry, record: ErasureAck, log_index: int, batch_time: int) -> None:
    """The platform is one of those that have acknowledged the erasure."""
    del log_index, batch_time
    key, row = _find(registry, record)
    row.acks = tuple(sorted((*row.acks, record.platform)))
    registry.erasures.put(key, row)


def _find(registry: Registry, record: ErasureAck) -> tuple[bytes, ErasureRow]:
    log_index = registry.log_index_of(record.erasure)
    if log_index is not None:
        key = log_index.to_bytes(8)
        row = registry.erasures.get(key)
        if row is not None:
            return key, row
    raise Refused(UNKNOWN_ERASURE, "is no accepted erasure", field="erasure")
