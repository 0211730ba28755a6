"""What nodes say to each other: canonical MessagePack arrays, the tag first.

| tag | message | fields after the tag |
|---|---|---|
| 1 | proposal | block, the leader's signature, again |
| 2 | vote | kind, epoch, view, hash, signature, again |
| 3 | certificate | certificate, block or nil |
| 4 | cosignature | height, size, root, time in s, signature, again |
| 5 | checkpoint | certified checkpoint row |
| 6 | hint | tips ('I durably hold these and all below them'), again |
| 7 | batches | batches, ascending by height within a lane |
| 8 | fetch batches | lane, above, tip: 'send what lies above that height, up to this tip' |
| 9 | fetch views | epoch, first view, last view: 'send the certificates of these' |
| 10 | fetch blocks | first height: 'send final blocks from here' |
| 11 | blocks | final blocks of one epoch, tail block or nil, finalization, checkpoint row or nil |
| 12 | status | epoch, view, last final height, last certified height, tips |
| 13 | remains | batches as in 7, some of them in part erased: remains forms (ledger/residue.py) |
| 14 | question | start: 'what do you hold signed by me?' |
| 15 | answer | start, epoch, final view and height, headers, proposals, votes, cosignature or nil |

The sender is the link's authenticated peer; a vote's signer is its sender. `again` marks what was
sent before: who gets such a message for something that it has completed answers with what completed
it. A message longer than `MESSAGE_BYTES_MAX` is not read.
"""

from typing import Annotated, Any, Final, cast

import msgspec

from consensus.certificate import Certificate, Kind
from ledger.batch import Batch
from ledger.block import Block, Tip
from ledger.encoding import Hash, PlatformNumber, Signature, Uint, Value, decode, encode
from ledger.membership import VALIDATORS_MAX
from ledger.residue import RemainsForm
from ledger.rows import CheckpointRow, HeaderRow

MESSAGE_BYTES_MAX: Final = 8 * 1_024 * 1_024

Tips = Annotated[tuple[Tip, ...], msgspec.Meta(max_length=VALIDATORS_MAX)]


class Proposal(Value, tag=1):
    """A leader's block for its view; the signature covers the statement `propose`."""

    block: Block
    signature: Signature
    again: bool


class Vote(Value, tag=2):
    """The sender's notarize, nullify or finalize."""

    kind: Kind
    epoch: Uint
    view: Uint
    hash: Hash
    signature: Signature
    again: bool


class CertificateMessage(Value, tag=3):
    """A certificate; a notarization or finalization travels with its block where it is known."""

    certificate: Certificate
    block: Block | None


class Cosignature(Value, tag=4):
    """The sender's cosignature/v1 of the checkpoint after a block."""

    height: Uint
    size: Uint
    root: Hash
    time_s: Uint
    signature: Signature
    again: bool


class CheckpointMessage(Value, tag=5):
    """q cosignatures of one checkpoint."""

    row: CheckpointRow


class Hint(Value, tag=6):
    """Unsigned: the sender durably holds these tips and all batches below them. `again`: it lacks
    hints, and asks what the receiver holds of these lanes."""

    tips: Tips
    again: bool


class Batches(Value, tag=7):
    """Batches, pushed or asked for."""

    batches: Annotated[tuple[Batch, ...], msgspec.Meta(max_length=1_024)]


class FetchBatches(Value, tag=8):
    """Ask for a lane's batches above a height, up to and with a tip, the lowest first."""

    lane: PlatformNumber
    above: Uint
    tip: Tip


class FetchViews(Value, tag=9):
    """Ask for the certificates of an epoch's views, first to last."""

    epoch: Uint
    first: Uint
    last: Uint


class FetchBlocks(Value, tag=10):
    """Ask for final blocks from a height up."""

    first: Uint


class Blocks(Value, tag=11):
    """Consecutive final blocks of one epoch. The finalization is of the last of them or of `tail`,
    a dropped block of the epoch's end whose parent is the last of them."""

    blocks: Annotated[tuple[Block, ...], msgspec.Meta(min_length=1, max_length=1_024)]
    tail: Block | None
    finalization: Certificate
    checkpoint: CheckpointRow | None


class Status(Value, tag=12):
    """Where the sender stands: the first thing on every new link."""

    epoch: Uint
    view: Uint
    final_height: Uint
    certified_height: Uint
    tips: Tips


class RemainsMessage(Value, tag=13):
    """Batches that were asked for, of which at least one is in part erased (`Batches`: none).

    Raises ValueError where none is.
    """

    batches: Annotated[tuple[RemainsForm, ...], msgspec.Meta(max_length=1_024)]

    def __post_init__(self) -> None:
        if not any(form.residues for form in self.batches):
            raise ValueError("whole batches travel as batches")


class Question(Value, tag=14):
    """'What do you hold signed by me?', after a start; `start` tells this start from others."""

    start: Uint


class Answer(Value, tag=15):
    """What the sender holds under the receiver's signatures (consensus.holdings), and where it
    stands. `start` is the question's."""

    start: Uint
    epoch: Uint
    final_view: Uint
    final_height: Uint
    headers: Annotated[tuple[HeaderRow, ...], msgspec.Meta(max_length=16)]
    proposals: Annotated[tuple[Proposal, ...], msgspec.Meta(max_length=64)]
    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=512)]
    cosignature: Cosignature | None


Message = (
    Proposal
    | Vote
    | CertificateMessage
    | Cosignature
    | CheckpointMessage
    | Hint
    | Batches
    | FetchBatches
    | FetchViews
    | FetchBlocks
    | Blocks
    | Status
    | Question
    | Answer
    | RemainsMessage
)


def encode_message(message: Message) -> bytes:
    """The message's bytes."""
    return encode(message)


def decode_message(data: bytes) -> Message:
    """Read a message in its one canonical form.

    Raises:
        Malformed: too long, undecodable, out of bounds, or not canonical.
    """
    kind = cast("type[Any]", Message)
    return cast("Message", decode(kind, data, bytes_max=MESSAGE_BYTES_MAX, what="message"))
