"""Witnessing: may this checkpoint of another log be cosigned? (C2SP tlog-witness, add-checkpoint)

A witness remembers, for each log that it knows, the newest checkpoint that it has cosigned, and
cosigns another only if a proof shows that it continues that one. A request is

    old <size>                      the size that the client believes the witness to be at
    <base64 of a 32-byte hash>      the consistency proof from there, 0 to 63 lines
                                    (an empty line)
    <the checkpoint: a signed note, verbatim>

The rules, in order, and the HTTP status of each refusal:

1. the request has this form                                             Malformed       400
2. the log of the checkpoint's origin is known                           UnknownLog      404
3. a known key of it signed (a known key's bad line refuses the note)    NotSigned       403
4. old ≤ the checkpoint's size                                           Malformed       400
5. old = the size that was cosigned last, 0 if none was                  Stale           409
6. old = size > 0: no proof, and the root is the one cosigned            BadProof 422, Stale 409
7. old = 0: no proof; and size 0 has the empty root                      BadProof        422
8. otherwise the consistency proof holds                                 BadProof        422

A checkpoint of another log may carry extension lines behind its root: the cosignature covers them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import merkle
from ledger.errors import BadProof, BadSignature, InvalidInput, Malformed
from ledger.hashing import HASH_BYTES
from ledger.note import (
    COSIGNATURE_V1,
    TIME_BYTES,
    SignatureLine,
    Verifier,
    cosignature_message,
    decode_base64,
    key_id,
    open_note,
    parse_note,
)
from ledger.policy import parse_decimal
from ledger.signing import SigningKey

PROOF_LINES_MAX: Final = 63
REQUEST_BYTES_MAX: Final = 64 * 1_024
TEXT_LINES_MAX: Final = 64


class UnknownLog(InvalidInput):
    """The witness does not know the log."""


class NotSigned(InvalidInput):
    """No known key of the log signed the checkpoint."""


class Stale(InvalidInput):
    """The witness is not where the client believes it to be: its newest checkpoint has `size`."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that was cosigned; `NOTHING` before the first."""

    size: int
    root: bytes


NOTHING: Final = Seen(0, merkle.EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request; nothing is verified yet. `text` is what is signed and cosigned."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    text: bytes
    origin: str
    size: int
    root: bytes


def format_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body that asks a witness for its cosignature."""
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
    return "\n".join(lines).encode() + b"\n\n" + note


def parse_request(data: bytes) -> Request:
    """The parts of a request.

    Raises:
        Malformed: not in its one form, or over a bound.
    """
    if len(data) > REQUEST_BYTES_MAX:
        raise Malformed(f"a request has at most {REQUEST_BYTES_MAX} bytes")
    head, empty_line, note = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("the head of a request is ASCII") from error
    if not first.startswith("old ") or not empty_line:
        raise Malformed("a request is `old <size>`, hashes, an empty line and a checkpoint")
    if len(lines) > PROOF_LINES_MAX:
        raise Malformed(f"a consistency proof has at most {PROOF_LINES_MAX} lines")
    old = parse_decimal(first.removeprefix("old "), what="the old size")
    proof = tuple(decode_base64(line, what="a hash of the proof") for line in lines)
    if any(len(each) != HASH_BYTES for each in proof):
        raise Malformed(f"a hash of the proof has {HASH_BYTES} bytes")
    text = parse_note(note).text
    origin, size, root = parse_checkpoint(text)
    return Request(old, proof, note, text, origin, size, root)


def parse_checkpoint(text: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root of any log's checkpoint; extension lines are let be.

    Raises:
        Malformed: not a checkpoint.
    """
    lines = text.decode("utf-8", "replace").split("\n")[:-1]
    if not 3 <= len(lines) <= TEXT_LINES_MAX or not all(lines):
        raise Malformed("a checkpoint is origin, size, root and extension lines, none empty")
    root = decode_base64(lines[2], what="the root of the checkpoint")
    if len(root) != HASH_BYTES:
        raise Malformed(f"the root of a checkpoint has {HASH_BYTES} bytes")
    return lines[0], parse_decimal(lines[1], what="the size of the checkpoint"), root


def check_signed(request: Request, logs: Mapping[str, Sequence[Verifier]]) -> None:
    """Rules 2 and 3: `logs` gives the known keys by origin.

    Raises:
        UnknownLog, NotSigned: as the module says.
    """
    keys = logs.get(request.origin)
    if not keys:
        raise UnknownLog("this witness does not know the log", field="origin")
    try:
        open_note(request.note, keys)
    except BadSignature as error:
        raise NotSigned(str(error)) from error


def judge(request: Request, seen: Seen) -> Seen:
    """Rules 4 to 8 for a signed request; what will have been cosigned if it is granted.

    Raises:
        Malformed, Stale, BadProof: as the module says.
    """
    if request.old > request.size:
        raise Malformed("the old size is larger than the checkpoint's")
    if request.old != seen.size:
        raise Stale(f"the newest checkpoint cosigned here has size {seen.size}", seen.size)
    if request.old in {0, request.size}:
        if request.proof:
            raise BadProof("there is nothing to prove between these sizes")
        if request.size == request.old == 0 and request.root != merkle.EMPTY_ROOT:
            raise BadProof("the root of no entry is that of the empty tree")
        if request.size == request.old and request.root != seen.root:
            raise Stale("another root was cosigned at this size", seen.size)
    else:
        merkle.verify_consistency(seen.size, request.size, seen.root, request.root, request.proof)
    return Seen(request.size, request.root)


def cosign(key: SigningKey, name: str, time_s: int, text: bytes) -> SignatureLine:
    """The cosignature/v1 line of the witness `name` over a checkpoint's text."""
    signature = key.sign(cosignature_message(time_s, text))
    return SignatureLine(
        name, key_id(name, COSIGNATURE_V1, key.public), time_s.to_bytes(TIME_BYTES) + signature
    )
