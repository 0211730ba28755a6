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
| 16 | fetch ends | nothing: 'of which epochs' ends can you give a snapshot?' |
| 17 | ends | [height, digest of its manifest, or nil where that is not made yet], ascending |
| 18 | fetch manifest | height |
| 19 | manifest | a snapshot's manifest (ledger/snapshot.py) |
| 20 | fetch chunk | height, index in the manifest |
| 21 | chunk | height, index, chunk: bin |

The sender is the link's authenticated peer; a vote's signer is its sender. `again` marks what was
sent before: who gets such a message for something that it has completed answers with what completed
it. A message longer than `MESSAGE_BYTES_MAX` is not read. Those from 16 on are for nodes whose
store is empty; consensus itself takes no part in them.
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
from ledger.snapshot import CHUNK_BYTES_MAX, CHUNKS_MAX, Manifest

ENDS_MAX: Final = 4
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


class FetchEnds(Value, tag=16):
    """'Of which epochs' ends can you give a snapshot?'"""


class End(Value):
    """A snapshot that can be had: the height of its block, and its manifest's digest, if known."""

    height: Uint
    digest: Hash | None


class Ends(Value, tag=17):
    """The snapshots that the sender can give, ascending by height."""

    ends: Annotated[tuple[End, ...], msgspec.Meta(max_length=ENDS_MAX)]


class FetchManifest(Value, tag=18):
    """Ask for the manifest of an epoch's end. It is made then: whoever gets none asks again."""

    height: Uint


class ManifestMessage(Value, tag=19):
    """A snapshot's manifest."""

    manifest: Manifest


class FetchChunk(Value, tag=20):
    """Ask for a chunk of a snapshot, by its index in the manifest."""

    height: Uint
    index: Annotated[int, msgspec.Meta(ge=0, lt=CHUNKS_MAX)]


class ChunkMessage(Value, tag=21):
    """A chunk's bytes, still encoded: its hash tells whether they are what was asked for."""

    height: Uint
    index: Annotated[int, msgspec.Meta(ge=0, lt=CHUNKS_MAX)]
    data: Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES_MAX)]


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
    | FetchEnds
    | Ends
    | FetchManifest
    | ManifestMessage
    | FetchChunk
    | ChunkMessage
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
