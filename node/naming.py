"""Names of records at their platform's own node.

Names (what makes a retry a retry, and other content under the same name a conflict):

| record | named by |
|---|---|
| subject.register | platform, handle |
| engagement.open, .outcome | platform, reference |
| rating | platform, reference, direction |
| subject.link | both platforms and handles |
| erasure | platform, handle, time |
| erasure.ack | the erasure |
| member.propose | platform, new lane key, time |
| key.rotate | platform, new lane key |
| member.approve | platform, change |
| member.ready | platform, change, epoch |
| member.remove | platform, number, time |
| member.leave | platform, time |
| model.activate | platform, model's id, time |
| evidence | platform, number, kind, epoch, slot |

Row `N` "i" ‖ type ‖ name remembers one (node/intake.py).
"""

from ledger.governance_rows import slot_name
from ledger.records import Governance, Record, tag_of
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
from ledger.store import NODE, subject_key


def record_name(record: Record) -> bytes:
    """What names a record on its platform: its type's tag and the fields of the table above."""
    tag = bytes([tag_of(record)])
    platform = record.platform.to_bytes(4)
    match record:
        case SubjectRegister():
            return tag + platform + record.handle
        case EngagementOpen() | EngagementOutcome():
            return tag + platform + record.reference
        case Rating():
            direction = b"w" if record.direction == "of-worker" else b"c"
            return tag + platform + record.reference + direction
        case SubjectLink():
            first = subject_key(record.first_platform, record.first_handle)
            return tag + first + subject_key(record.second_platform, record.second_handle)
        case Erasure():
            return tag + platform + record.handle + record.at.to_bytes(8)
        case ErasureAck():
            return tag + platform + record.erasure
        case _:
            return tag + platform + _network_name(record)


def _network_name(record: Governance) -> bytes:
    """What names a record about the network itself, behind its platform."""
    match record:
        case MemberPropose():  # what has lapsed may be proposed once more
            return record.validator.lane_key + record.at.to_bytes(8)
        case KeyRotate():
            return record.validator.lane_key
        case MemberApprove():
            return record.change
        case MemberReady():
            return record.change + record.epoch.to_bytes(8)
        case MemberRemove():
            return record.number.to_bytes(4) + record.at.to_bytes(8)
        case MemberLeave():
            return record.at.to_bytes(8)
        case ModelActivate():
            return record.model.id.encode() + record.at.to_bytes(8)
        case Evidence():
            return slot_name(record.number, record.kind, record.epoch, record.slot)


def name_key(record: Record) -> bytes:
    """The key of the row that remembers a name."""
    return NODE + b"i" + record_name(record)
