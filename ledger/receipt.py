"""Receipts: one entry of the log proven against a cosigned checkpoint (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    extra <base64>                  (left out when empty)
    index <decimal>
    <base64 of a 32-byte hash>      (the inclusion proof, 0 to 63 lines)
                                    (an empty line)
    <the checkpoint: a signed note, verbatim>

Here `extra` is the entry, then the opening of its commitment: the log holds the entry only, the
holder of the receipt the record too. The format does not authenticate `extra`; the proof does so
for the entry, whose leaf hash must lead to the checkpoint's root, and whoever reads the opening
must check it against the commitment in the entry (ledger.batch).

A receipt has one form: numbers without leading zeros, strict base64, no other line.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger import merkle
from ledger.checkpoint import Checkpoint, Policy, parse_decimal, verify_checkpoint
from ledger.errors import Malformed
from ledger.hashing import HASH_BYTES
from ledger.note import NOTE_BYTES_MAX, decode_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
PROOF_LINES_MAX: Final = 63
EXTRA_BYTES_MAX: Final = 65_536
RECEIPT_BYTES_MAX: Final = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 4 // 3 + 4_096


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parsed receipt; nothing is verified yet. `note` is the checkpoint's signed note."""

    extra: bytes
    index: int
    proof: tuple[bytes, ...]
    note: bytes


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """The entry stands at `index` under `checkpoint`, which the policy accepts.

    `opening` is what followed the entry; it is not verified yet.
    """

    checkpoint: Checkpoint
    index: int
    entry: bytes
    opening: bytes


def format_receipt(
    extra: bytes, index: int, proof: Sequence[bytes], checkpoint_note: bytes
) -> bytes:
    """The receipt's bytes. `extra` is entry ‖ opening."""
    lines = [HEADER]
    if extra:
        lines.append(f"extra {base64.b64encode(extra).decode()}")
    lines.append(f"index {index}")
    lines += [base64.b64encode(sibling).decode() for sibling in proof]
    return "\n".join(lines).encode() + b"\n\n" + checkpoint_note


def _parse_hash(line: str) -> bytes:
    value = decode_base64(line, what="a hash of the receipt")
    if len(value) != HASH_BYTES:
        raise Malformed(f"a hash of the receipt has {HASH_BYTES} bytes")
    return value


def parse_receipt(data: bytes) -> Receipt:
    """The parts of a receipt. The note is left as it is.

    Raises:
        Malformed: not a receipt in its one form, or over a bound.
    """
    if len(data) > RECEIPT_BYTES_MAX:
        raise Malformed(f"a receipt has at most {RECEIPT_BYTES_MAX} bytes")
    head, empty_line, note = data.partition(b"\n\n")
    try:
        header, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("the head of a receipt is ASCII") from error
    if header != HEADER or not empty_line or not note:
        raise Malformed(f"a receipt is {HEADER}, index, hashes, an empty line and a checkpoint")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), what="the extra of the receipt")
        if not 1 <= len(extra) <= EXTRA_BYTES_MAX:
            raise Malformed(f"the extra of a receipt has 1 to {EXTRA_BYTES_MAX} bytes")
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a receipt names its index")
    index = parse_decimal(lines.pop(0).removeprefix("index "), what="the index of the receipt")
    if len(lines) > PROOF_LINES_MAX:
        raise Malformed(f"a receipt has at most {PROOF_LINES_MAX} hashes")
    return Receipt(extra, index, tuple(_parse_hash(line) for line in lines), note)


def split_extra(extra: bytes, entry_bytes: int) -> tuple[bytes, bytes]:
    """(entry, opening) of an extra whose entry has `entry_bytes` bytes.

    Raises:
        Malformed: it is shorter than an entry.
    """
    if len(extra) < entry_bytes:
        raise Malformed(f"the extra of a receipt begins with an entry of {entry_bytes} bytes")
    return extra[:entry_bytes], extra[entry_bytes:]


def verify_receipt(data: bytes, policy: Policy, entry_bytes: int) -> VerifiedReceipt:
    """Demand that the receipt proves its entry under a checkpoint that the policy accepts.

    `entry_bytes` is the fixed length of an entry of a record (ledger.batch.ENTRY_BYTES). The
    opening is handed back as it is: the caller checks it against the entry's commitment.

    Raises:
        Malformed: not a receipt, a note or a checkpoint.
        BadSignature, BadProof: as `ledger.checkpoint.verify_checkpoint`, or the entry is not there.
    """
    receipt = parse_receipt(data)
    entry, opening = split_extra(receipt.extra, entry_bytes)
    checkpoint = verify_checkpoint(receipt.note, policy)
    leaf = merkle.leaf_hash(entry)
    merkle.verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    return VerifiedReceipt(checkpoint, receipt.index, entry, opening)
