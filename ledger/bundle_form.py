"""The one form of a bundle: one answer with everything that proves it, in canonical MessagePack.

    bundle  = ["standing-bundle/v1", chain id, question, answer hash, checkpoint, inclusion, seal,
               block, parameters, summary, [file, …]]
    question   = [platform, handle, role, domain, as_of]
    answer hash = SHA-256(canonical bytes of the answer)
    checkpoint = the note's bytes: one log line, exactly q cosignature lines in policy order
    inclusion  = [hash, …]: from the seal, leaf (size − 1), to the checkpoint's root
    seal       = the seal's entry in the log (bin)
    block      = [epoch, view, height, parent, tips, time]; its hash, which covers the chain id,
                 stands in the seal
    parameters = the parameters' bytes (bin); their SHA-256 stands in the seal
    summary    = [the bytes of the platform's tally (bin) or nil, index proof]: presence or absence
    file       = [platform, handle, [leaf, …], [opening, …], index proof]
    opening    = [salt, record, signatures, annotation]

Files ascend by (platform, handle), and have together at most 131,072 leaves of types 30 and 31
(what erasing leaves) and 65,536 of others. A file has all of its leaves, and openings of exactly
those whose type the score reads and that no erasure leaf of the file targets, in the same order.
Everything is either covered by a hash or a signature that is checked, or recomputed and compared,
so that no byte can be changed.
"""

from typing import Annotated, Final, Literal

import msgspec

from ledger.batch import SIGNATURES_MAX, Submission
from ledger.block import Block
from ledger.bureau.answer import Answer, Question
from ledger.bureau.reading import (
    ANNOTATION_BYTES_MAX,
    ERASING_LEAVES_MAX,
    FILE_LEAVES_MAX,
    SUMMARY_BYTES_MAX,
)
from ledger.encoding import Handle, Hash, PlatformNumber, Salt, Value, decode, encode
from ledger.files import CLOSURE_FILES_MAX, FileLeaf
from ledger.hashing import sha256
from ledger.mapproof import PROOF_BYTES_MAX
from ledger.merkle import PROOF_HASHES_MAX
from ledger.note import NOTE_BYTES_MAX
from ledger.parameters import PARAMETERS_BYTES_MAX
from ledger.records import RECORD_BYTES_MAX

BUNDLE_BYTES_MAX: Final = 64 * 1_024 * 1_024
_LEAVES_MAX: Final = FILE_LEAVES_MAX + ERASING_LEAVES_MAX

MapProof = Annotated[bytes, msgspec.Meta(max_length=PROOF_BYTES_MAX)]


class Opening(Value):
    """What opens a leaf: the submission that it commits to, and its annotation."""

    salt: Salt
    record: Annotated[bytes, msgspec.Meta(max_length=RECORD_BYTES_MAX)]
    signatures: Annotated[bytes, msgspec.Meta(max_length=64 * SIGNATURES_MAX)]
    annotation: Annotated[bytes, msgspec.Meta(max_length=ANNOTATION_BYTES_MAX)]

    def submission(self) -> Submission:
        """The submission alone."""
        return Submission(self.salt, self.record, self.signatures)


class SummaryProof(Value):
    """A platform's summary as the index holds it, or the proof that it holds none."""

    data: Annotated[bytes, msgspec.Meta(max_length=SUMMARY_BYTES_MAX)] | None
    proof: MapProof


class FileProof(Value):
    """One whole file: its leaves, the openings that the score reads, its place in the index."""

    platform: PlatformNumber
    handle: Handle
    leaves: Annotated[tuple[FileLeaf, ...], msgspec.Meta(max_length=_LEAVES_MAX)]
    openings: Annotated[tuple[Opening, ...], msgspec.Meta(max_length=FILE_LEAVES_MAX)]
    proof: MapProof


class Bundle(Value):
    """A proven answer, as the module describes."""

    form: Literal["standing-bundle/v1"]
    chain: Hash
    question: Question
    answer_hash: Hash
    checkpoint: Annotated[bytes, msgspec.Meta(max_length=NOTE_BYTES_MAX)]
    inclusion: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=PROOF_HASHES_MAX)]
    seal: bytes
    block: Block
    parameters: Annotated[bytes, msgspec.Meta(max_length=PARAMETERS_BYTES_MAX)]
    summary: SummaryProof
    files: Annotated[
        tuple[FileProof, ...], msgspec.Meta(min_length=1, max_length=CLOSURE_FILES_MAX)
    ]


def decode_bundle(data: bytes) -> Bundle:
    """Read a bundle; nothing is verified yet.

    Raises:
        Malformed: not a bundle in its one form.
    """
    return decode(Bundle, data, bytes_max=BUNDLE_BYTES_MAX, what="bundle")


def answer_hash(answer: Answer) -> bytes:
    """What a bundle holds of the answer that it proves."""
    return sha256(encode(answer))
