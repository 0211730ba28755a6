"""Submissions, and the keys that their rows have in a store: made up, in one form."""

from ledger.batch import Submission
from ledger.encoding import encode
from ledger.records import Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rows import submission_key

AT_MS = 1_700_000_000_000


def register(name: bytes, platform: int = 1) -> SubjectRegister:
    return SubjectRegister(platform, AT_MS, handle(name), b"", "none")


def opened(reference: bytes, platform: int = 1) -> EngagementOpen:
    return EngagementOpen(
        platform,
        AT_MS,
        handle(reference),
        handle(b"worker"),
        handle(b"client"),
        "freelance",
        ("design",),
        "lead",
        AT_MS,
        AT_MS + 1,
        3,
    )


def outcome(reference: bytes, platform: int = 1) -> EngagementOutcome:
    return EngagementOutcome(
        platform, AT_MS, handle(reference), "completed", "none", 0, "accepted", "platform"
    )


def rating(reference: bytes, platform: int = 1) -> Rating:
    return Rating(
        platform, AT_MS, handle(reference), "of-worker", handle(b"client"), b"", "stars", 5, ()
    )


def link(first: bytes, second: bytes) -> SubjectLink:
    return SubjectLink(1, AT_MS, 1, handle(first), handle(b"k1"), 2, handle(second), handle(b"k2"))


def handle(name: bytes) -> bytes:
    """32 bytes that begin with a name."""
    return name.ljust(32, b".")


def row(record: Record | bytes, number: int) -> tuple[bytes, bytes]:
    """A submission's row: key, and value."""
    data = record if isinstance(record, bytes) else encode_record(record)
    salt = (b"salt%d" % number).ljust(16, b"-")
    key = submission_key(handle(b"batch%d" % number), number)
    return key, encode(Submission(salt, data, b""))
