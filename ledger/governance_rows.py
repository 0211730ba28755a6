"""Rows about changes of the membership, names that are taken, and evidence. Prefix `A`.

| key | row |
|---|---|
| `A` "c" u64 log index | ChangeRow: by the log index of the record that asked |
| `A` "i" record id | its log index (u64), for a change |
| `A` "o" | OpenRow: the changes that are open |
| `A` "u" kind, name | UsedRow: a number, code, key or certificate that is taken |
| `A` "r" u64 size | root (32): checkpoints of the current epoch, and the one that it began with |
| `A` "m" id | H(model) (32): the model of that id that is, was, or is about to be in force |
| `A` "e" u64 size | u64 epoch: the log's size at that epoch's end |
| `A` "v" u32 number, u8 kind, u64 epoch, u64 slot | EvidenceRow |

Kinds of names: "n" a number (u32), "c" a code, "k" a key (32; the link key is one), "x" the SHA-256
of a certificate.
"""

from typing import Final

from ledger.bureau.model import Model
from ledger.encoding import Hash, PlatformNumber, TimeMs, Uint, Value
from ledger.hashing import sha256
from ledger.membership import PURPOSES, Validator
from ledger.rows import LiveRow
from ledger.store import GOVERNANCE

CHANGE: Final = GOVERNANCE + b"c"
CHANGE_ID: Final = GOVERNANCE + b"i"
OPEN: Final = GOVERNANCE + b"o"
USED: Final = GOVERNANCE + b"u"
RECENT: Final = GOVERNANCE + b"r"
MODEL: Final = GOVERNANCE + b"m"
ENDED: Final = GOVERNANCE + b"e"
ACCUSED: Final = GOVERNANCE + b"v"


class Approval(Value):
    """Who has approved a change, and the log index of the record that says so."""

    number: PlatformNumber
    log_index: Uint


class ChangeRow(LiveRow):
    """A change that was asked for. `type`: the tag of the record that asked; `number`: whom it is
    about (of a model: its proposer); `validator`: the keys to be (join, rotation); `model`: the
    model to be.

    `approvals` ascend by log index. `ready` is the log index of the newest `member.ready`, of the
    epoch `ready_epoch`. `bound` is the epoch from which the change holds; `void` the epoch at whose
    end it became clear that it never will. Open is what has neither. `asked`: the time (ms) of the
    batch that asked.
    """

    type: Uint
    commitment: Hash
    proposer: PlatformNumber
    number: PlatformNumber
    validator: Validator | None
    model: Model | None
    approvals: tuple[Approval, ...]
    ready: Uint | None
    ready_epoch: Uint
    bound: Uint | None
    void: Uint | None
    asked: TimeMs


class OpenRow(LiveRow):
    """The log indices of the open changes, ascending."""

    changes: tuple[Uint, ...]


class UsedRow(LiveRow):
    """For which platform a name was taken, and the log index of the record (genesis: 0). It may be
    used again once that record is a `member.propose` whose change is void."""

    number: PlatformNumber
    log_index: Uint


class EvidenceRow(LiveRow):
    """Evidence that every node has judged: its log index, who told it, and both parts."""

    log_index: Uint
    platform: PlatformNumber
    first: bytes
    second: bytes


def change_key(log_index: int) -> bytes:
    """The key of a change."""
    return CHANGE + log_index.to_bytes(8)


def change_id_key(record_id: bytes) -> bytes:
    """The key of where a change is found by its record id."""
    return CHANGE_ID + record_id


def recent_key(size: int) -> bytes:
    """The key of the root of a checkpoint of the current epoch."""
    return RECENT + size.to_bytes(8)


def ended_key(size: int) -> bytes:
    """The key of the epoch whose last checkpoint has this size."""
    return ENDED + size.to_bytes(8)


def model_key(code: str) -> bytes:
    """The key of the hash of the model that an id names."""
    return MODEL + code.encode()


def slot_name(number: int, kind: int, epoch: int, slot: int) -> bytes:
    """What names a piece of evidence, behind its prefix."""
    return b"%b%b%b%b" % (
        number.to_bytes(4),
        kind.to_bytes(1),
        epoch.to_bytes(8),
        slot.to_bytes(8),
    )


def number_name(number: int) -> bytes:
    """A platform's number, as names are kept."""
    return b"n" + number.to_bytes(4)


def code_name(code: str) -> bytes:
    """A platform's code, as names are kept."""
    return b"c" + code.encode()


def key_name(key: bytes) -> bytes:
    """A public key, as names are kept."""
    return b"k" + key


def certificate_name(certificate: bytes) -> bytes:
    """A link certificate, as names are kept."""
    return b"x" + sha256(certificate)


def key_names(validator: Validator, link_key: bytes) -> list[tuple[str, bytes]]:
    """Field and name of every key and of the certificate of a validator, its root key last."""
    fields = [f"{purpose}_key" for purpose in PURPOSES]
    named = [(field, key_name(validator.key(field[:-4]))) for field in fields]
    return [
        *named[1:],
        ("certificate", certificate_name(validator.certificate)),
        ("certificate", key_name(link_key)),
        named[0],
    ]
