"""What a hostile member sends, kind by kind: endless streams of frames, as fast as they are taken.

Each kind is a function of what the flooder knows (`Known`: its own keys and number, the chain, and
where the victim last said it stands) and yields WebSocket frames for ever. All that can be signed
with the flooder's own keys is, so that it is refused as late as possible.
"""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from consensus.certificate import NOTARIZE, NULLIFY, Certificate, Signed, statement_message
from consensus.messages import (
    Batches,
    CertificateMessage,
    FetchBatches,
    FetchBlocks,
    FetchViews,
    Hint,
    Message,
    Proposal,
    Question,
    Status,
    Vote,
    encode_message,
)
from ledger.batch import Batch, Header, Submission, batch_root, commitment, header_message
from ledger.block import Block, Tip
from ledger.encoding import encode
from ledger.hashing import ZERO_HASH, sha256
from ledger.signing import SIGNATURE_BYTES
from node.bounds import BOUNDS
from node.keystore import Keystore
from node.links.wire import LENGTH_BYTES, PIECE, SEVERAL

VIEWS_AHEAD: Final = 64
SIGNED_AT_ONCE: Final = 256
BATCH_RECORDS: Final = 450
RECORD_BYTES: Final = 4_000
NESTING: Final = 200_000
FAR: Final = 10**9


@dataclass(slots=True)
class Known:
    """What the flooder signs with, and where its victim stands."""

    keys: Keystore
    number: int
    chain: bytes
    platforms: tuple[int, ...]
    status: Status


Garbage = Callable[[Known], Iterator[bytes]]


def several(*messages: bytes) -> bytes:
    """Messages in one frame."""
    parts = (len(each).to_bytes(LENGTH_BYTES) + each for each in messages)
    return bytes([SEVERAL]) + b"".join(parts)


def in_pieces(message: bytes) -> Iterator[bytes]:
    """One long message as frames."""
    step = BOUNDS.frame_bytes_max - 2
    for at in range(0, len(message), step):
        yield bytes([PIECE, at + step >= len(message)]) + message[at : at + step]


def _packed(messages: Iterator[Message], at_once: int) -> Iterator[bytes]:
    for group in _groups(messages, at_once):
        yield several(*map(encode_message, group))


def _groups(messages: Iterator[Message], at_once: int) -> Iterator[list[Message]]:
    while group := list(itertools.islice(messages, at_once)):
        yield group


def future_votes(known: Known) -> Iterator[bytes]:
    """Signed votes for many blocks in all views that are still kept, and beyond; proposals, too."""

    def made() -> Iterator[Message]:
        for turn in itertools.count():
            epoch, view = known.status.epoch, known.status.view
            for at in range(SIGNED_AT_ONCE):
                yield _vote(known, epoch + at % 2, view + 1 + at % (2 * VIEWS_AHEAD))
                if at % 16 == 0:
                    yield _proposal(known, epoch + at % 2, view + 1 + (turn + at) % VIEWS_AHEAD)

    return _packed(made(), 64)


def _vote(known: Known, epoch: int, view: int) -> Vote:
    kind, hash_ = random.choice((NOTARIZE, NULLIFY)), os.urandom(32)  # noqa: S311 - garbage
    hash_ = ZERO_HASH if kind == NULLIFY else hash_
    message = statement_message(known.chain, kind, epoch, view, hash_)
    return Vote(kind, epoch, view, hash_, known.keys.vote.sign(message), True)


def _proposal(known: Known, epoch: int, view: int) -> Proposal:
    tips = tuple(Tip(number, FAR, os.urandom(32)) for number in known.platforms)
    block = Block(epoch, view, known.status.final_height + 1, os.urandom(32), tips, 1)
    return Proposal(block, os.urandom(SIGNATURE_BYTES), True)


def stale_certificates(known: Known) -> Iterator[bytes]:
    """Certificates of past, present and future views whose signatures do not hold."""

    def made() -> Iterator[Message]:
        while True:
            status = known.status
            view = max(1, status.view + random.randrange(-200, 200))  # noqa: S311 - garbage
            signed = tuple(Signed(number, os.urandom(64)) for number in known.platforms[:3])
            certificate = Certificate(NOTARIZE, status.epoch, view, os.urandom(32), signed)
            yield CertificateMessage(certificate, None)

    return _packed(made(), 64)


def huge_frames(_: Known) -> Iterator[bytes]:
    """Random bytes in as many pieces as are taken, without an end."""
    piece = bytes([PIECE, 0]) + os.urandom(BOUNDS.frame_bytes_max - 2)
    while True:
        yield piece


def huge_messages(_: Known) -> Iterator[bytes]:
    """Messages as long as may be, of random bytes."""
    message = os.urandom(BOUNDS.message_bytes_max)
    while True:
        yield from in_pieces(message)


def nested(_: Known) -> Iterator[bytes]:
    """Arrays within arrays within arrays."""
    frame = several(b"\x91" * NESTING, b"\x93\x07" + b"\x91" * 1_000)
    while True:
        yield frame


def tiny(_: Known) -> Iterator[bytes]:
    """As many messages in a frame as fit: of one byte, without form."""
    frame = several(*(b"\xc0" for _ in range(50_000)))
    while True:
        yield frame


def far_hints(known: Known) -> Iterator[bytes]:
    """Hints, asking for an answer, for batches that do not exist."""

    def made() -> Iterator[Message]:
        while True:
            tips = (Tip(number, FAR, os.urandom(32)) for number in known.platforms)
            yield Hint(tuple(tips), True)

    return _packed(made(), 256)


def unwanted_batches(known: Known) -> Iterator[bytes]:
    """Large batches of the own lane whose predecessors do not exist, or that are siblings."""
    submission = Submission(os.urandom(32)[:16], os.urandom(RECORD_BYTES), b"")
    submissions = (submission,) * BATCH_RECORDS
    root = batch_root([commitment(each) for each in submissions])
    for turn in itertools.count():
        tips = {tip.lane: tip for tip in known.status.tips}
        lane = known.number if turn % 2 else known.platforms[turn // 2 % len(known.platforms)]
        tip = tips.get(lane, Tip(lane, 0, ZERO_HASH))
        previous = tip.hash if turn % 4 == 1 else os.urandom(32)
        header = Header(
            known.status.epoch, lane, tip.height + 1, previous, len(submissions), root, turn + 1
        )
        signature = known.keys.lane.sign(header_message(known.chain, header))
        yield from in_pieces(encode_message(Batches((Batch(header, signature, submissions),))))


def fetches(known: Known) -> Iterator[bytes]:
    """Everything asked for, again and again, from the beginning."""

    def made() -> Iterator[Message]:
        while True:
            for tip in known.status.tips:
                yield FetchBatches(tip.lane, 0, tip)
            yield FetchBlocks(1)
            yield FetchViews(known.status.epoch, 1, known.status.view + VIEWS_AHEAD)

    return _packed(made(), 64)


def questions(_: Known) -> Iterator[bytes]:
    """What do you hold signed by me, after each of endless starts?"""
    return _packed((Question(start) for start in itertools.count(1)), 256)


def formless_frames(_: Known) -> Iterator[bytes]:
    """Frames of no known kind: each ends the link, which is dialled again at once."""
    while True:
        yield b"\x7f" + sha256(b"no frame")


def statuses(known: Known) -> Iterator[bytes]:
    """The status of one who is behind, which is answered."""
    status = Status(1, 1, 0, 0, ())
    frame = several(*[encode(status)] * 256)
    assert known.number, "a member asks"
    while True:
        yield frame


KINDS: Final[dict[str, Garbage]] = {
    "future-votes": future_votes,
    "stale-certificates": stale_certificates,
    "huge-frames": huge_frames,
    "huge-messages": huge_messages,
    "nested": nested,
    "tiny": tiny,
    "far-hints": far_hints,
    "unwanted-batches": unwanted_batches,
    "fetches": fetches,
    "questions": questions,
    "statuses": statuses,
    "formless-frames": formless_frames,
}
UNREAD: Final = "fetches-unread"
"""`fetches`, whose answers are never read."""
HALF_OPEN: Final = "half-open"
"""No frames: connections that never shake hands."""
EVERY: Final = (*KINDS, UNREAD, HALF_OPEN)
