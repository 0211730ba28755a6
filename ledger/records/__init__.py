"""Records: one signed fact each, one module per family, one closed union of all.

To add a family: write its module, list its types in `RECORD_TYPES` and in `Record`, and write its
rules in `ledger/rules/`. Tags are small integers and are never used twice; `ledger/README.md` has
their table.
"""

from typing import Final

import msgspec

from ledger.encoding import decode_with, encode
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

Governance = (
    MemberPropose
    | MemberApprove
    | MemberReady
    | MemberRemove
    | MemberLeave
    | KeyRotate
    | ModelActivate
    | Evidence
)
"""Records about the network itself: in no file, published in full, never erased."""

Record = (
    SubjectRegister
    | SubjectLink
    | EngagementOpen
    | EngagementOutcome
    | Rating
    | Erasure
    | ErasureAck
    | Governance
)

GOVERNANCE_TYPES: Final = (
    MemberPropose,
    MemberApprove,
    MemberReady,
    MemberRemove,
    MemberLeave,
    KeyRotate,
    ModelActivate,
    Evidence,
)
NEVER_ERASED: Final = (Erasure, ErasureAck, *GOVERNANCE_TYPES)
"""Types of records whose openings stay for ever."""

RECORD_TYPES: Final = (
    SubjectRegister,
    SubjectLink,
    EngagementOpen,
    EngagementOutcome,
    Rating,
    Erasure,
    ErasureAck,
    *GOVERNANCE_TYPES,
)
TAGS: Final[dict[type, int]] = {
    kind: int(kind.__struct_config__.tag)  # type: ignore[arg-type]
    for kind in RECORD_TYPES
}
RECORD_BYTES_MAX: Final = 4_096

NAMES: Final = {
    SubjectRegister: "subject.register",
    SubjectLink: "subject.link",
    EngagementOpen: "engagement.open",
    EngagementOutcome: "engagement.outcome",
    Rating: "rating",
    Erasure: "erasure",
    ErasureAck: "erasure.ack",
    MemberPropose: "member.propose",
    MemberApprove: "member.approve",
    MemberReady: "member.ready",
    MemberRemove: "member.remove",
    MemberLeave: "member.leave",
    KeyRotate: "key.rotate",
    ModelActivate: "model.activate",
    Evidence: "evidence",
}
TYPE_OF_NAME: Final = {name: kind for kind, name in NAMES.items()}
NAME_OF_TAG: Final = {TAGS[kind]: name for kind, name in NAMES.items()}


_decoder: Final["msgspec.msgpack.Decoder[Record]"] = msgspec.msgpack.Decoder(Record)


def decode_record(data: bytes) -> Record:
    """Read canonical record bytes.

    Raises:
        Malformed: not one of the record types in its one canonical form.
    """
    return decode_with(_decoder, data, bytes_max=RECORD_BYTES_MAX, what="record")


decode_checked: Final = _decoder.decode
"""Read record bytes that `decode_record` has read before; anything else is a bug of the caller."""


def encode_record(record: Record) -> bytes:
    """The canonical bytes of a record."""
    return encode(record)


def tag_of(record: Record) -> int:
    """The record type's small integer."""
    return TAGS[type(record)]
