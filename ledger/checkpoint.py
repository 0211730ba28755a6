"""Checkpoints, the lines that sign them, and the policy that says whose lines count.

Text of a checkpoint (C2SP tlog-checkpoint, without extension lines), each line ended by a newline:

    <origin>
    <number of leaves, decimal, no leading zeros>
    <base64 of the 32-byte root>

The origin is a schema-less URL, the name of every log key and the prefix of the log's address. A
checkpoint is served as a signed note (ledger.note) with

- log lines: algorithm 0x01, key name = origin; each validator has a log key of its own;
- cosignature lines: algorithm 0x04 (cosignature/v1), key name = `<origin>/<platform code>`, one
  key per validator. q lines of distinct validators are the finality certificate.

Two rules of acceptance. *Tolerant* (`verify_checkpoint`, for notes from anywhere): at least one
known log key and at least q distinct known witnesses signed; unknown lines are ignored; a known key
that fails refuses the note. *Strict* (`verify_checkpoint_strict`, for bundles): exactly one log
line, then exactly q cosignature lines in the policy's order, nothing else, and the note's bytes are
the ones that formatting it again yields; so one answer has one form.
"""

import base64
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from ledger.errors import BadProof, Malformed
from ledger.hashing import HASH_BYTES
from ledger.note import (
    COSIGNATURE_V1,
    ED25519,
    TIME_BYTES,
    TIME_S_MAX,
    SignatureLine,
    Verifier,
    check_key_name,
    cosignature_message,
    cosignature_time_s,
    decode_base64,
    format_note,
    format_vkey,
    key_id,
    open_note,
    parse_note,
    sign,
)
from ledger.policy import COSIGNERS_MAX, Policy, check_origin, parse_decimal
from ledger.signing import SigningKey

__all__ = [
    "COSIGNERS_MAX",
    "Checkpoint",
    "Policy",
    "cosignature_message",
    "cosignature_time_s",
    "cosigner_name",
    "cosigner_vkey",
    "format_checkpoint",
    "log_vkey",
    "parse_decimal",
    "sign_cosignature",
    "sign_log_line",
    "verify_checkpoint",
    "verify_checkpoint_strict",
    "verify_cosignature",
]

CHECKPOINT_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log `origin` had `size` leaves and this 32-byte Merkle root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """The three lines that are signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The checkpoint of a text in its one canonical form.

        Raises:
            Malformed: not three lines, or a line out of form.
        """
        try:
            lines = text.decode().split("\n")
        except UnicodeDecodeError as error:
            raise Malformed("a checkpoint is UTF-8") from error
        if len(lines) != CHECKPOINT_LINES + 1 or lines[-1]:
            raise Malformed("a checkpoint is origin, size and root, each ended by a newline")
        origin, size, root, _ = lines
        check_origin(origin)
        checkpoint = cls(
            origin,
            parse_decimal(size, what="the size of a checkpoint"),
            decode_base64(root, what="the root of a checkpoint"),
        )
        if len(checkpoint.root) != HASH_BYTES:
            raise Malformed(f"the root of a checkpoint has {HASH_BYTES} bytes")
        return checkpoint


def format_checkpoint(
    checkpoint: Checkpoint, log_line: SignatureLine, cosignature_lines: Iterable[SignatureLine]
) -> bytes:
    """The note: text, empty line, the log line, the cosignature lines as given."""
    return format_note(checkpoint.text(), (log_line, *cosignature_lines))


# --- log lines and cosignatures ---


def cosigner_name(origin: str, platform_code: str) -> str:
    """The key name of a platform's cosigner: `<origin>/<platform code>`."""
    return f"{origin}/{platform_code}"


def log_vkey(origin: str, public_key: bytes) -> str:
    """The vkey of a log key."""
    return format_vkey(origin, ED25519, public_key)


def cosigner_vkey(name: str, public_key: bytes) -> str:
    """The vkey of a cosigner key; `name` as `cosigner_name` makes it."""
    return format_vkey(name, COSIGNATURE_V1, public_key)


def sign_log_line(key: SigningKey, origin: str, checkpoint: Checkpoint) -> SignatureLine:
    """The log line of a log key named `origin`, which must be the checkpoint's."""
    assert origin == checkpoint.origin, "a log key signs its own log only"
    return sign(key, origin, checkpoint.text())


def sign_cosignature(
    key: SigningKey, name: str, time_s: int, checkpoint: Checkpoint
) -> SignatureLine:
    """The cosignature/v1 line of the cosigner `name` at `time_s` (Unix seconds)."""
    assert 0 <= time_s <= TIME_S_MAX, "a cosignature's time is below 2^63 s"
    check_key_name(name)
    signature = key.sign(cosignature_message(time_s, checkpoint.text()))
    stamp = time_s.to_bytes(TIME_BYTES, "big")
    return SignatureLine(name, key_id(name, COSIGNATURE_V1, key.public), stamp + signature)


def verify_cosignature(verifier: Verifier, checkpoint: Checkpoint, line: SignatureLine) -> int:
    """Demand that the line is the verifier's cosignature of the checkpoint; its Unix seconds.

    Raises:
        BadProof: of another key or algorithm, or it does not hold.
    """
    if verifier.algorithm != COSIGNATURE_V1 or not verifier.signs(line):
        raise BadProof(f"the line is not a cosignature of {verifier.name}")
    if not verifier.holds(checkpoint.text(), line):
        raise BadProof(f"the cosignature of {verifier.name} does not hold")
    return cosignature_time_s(line)


# --- acceptance ---


def verify_checkpoint(data: bytes, policy: Policy) -> Checkpoint:
    """The tolerant rule: the checkpoint of a note that the policy holds to be final.

    Raises:
        Malformed: not a note, or not a checkpoint.
        BadSignature: a known key's line does not hold, or no known key signed.
        BadProof: no log line, too few cosignatures, or another origin.
    """
    opened = open_note(data, policy.verifiers)
    checkpoint = Checkpoint.parse(opened.text)
    if checkpoint.origin != policy.origin:
        raise BadProof(f"the checkpoint is of {checkpoint.origin}, not of {policy.origin}")
    from_log = sum(any(key.signs(line) for key in policy.log_keys) for line in opened.verified)
    cosigned = len(opened.verified) - from_log
    if not from_log:
        raise BadProof("no known log key signed the checkpoint")
    if cosigned < policy.quorum:
        raise BadProof(f"{cosigned} validators cosigned, {policy.quorum} are needed")
    return checkpoint


def verify_checkpoint_strict(data: bytes, policy: Policy) -> Checkpoint:
    """The strict rule: one log line, then exactly q cosignature lines in the policy's order.

    Raises:
        Malformed, BadSignature, BadProof: as the tolerant rule, or not in this one form.
    """
    note = parse_note(data)
    if note.format() != data or len(note.lines) != 1 + policy.quorum:
        raise BadProof(f"the checkpoint has not exactly 1 log line and {policy.quorum} others")
    log_line, *others = note.lines
    if not any(key.signs(log_line) for key in policy.log_keys):
        raise BadProof("the first line of the checkpoint is not of a known log key")
    order = {(key.name, key.key_id): at for at, (_, key) in enumerate(policy.witnesses)}
    places = [order.get((line.name, line.key_id), -1) for line in others]
    if -1 in places or any(a >= b for a, b in itertools.pairwise(places)):
        raise BadProof("the cosignatures are not of distinct validators in the policy's order")
    return verify_checkpoint(data, policy)
