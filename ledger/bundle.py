"""Bundles: one answer of the bureau, proven. Built here; verified with a policy and nothing else.

The form is that of `ledger/bundle_form.py`, the verification that of `ledger/bundle_verify.py`;
`ledger/bureau/README.md` has both byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.batch import Submission
from ledger.bundle_form import (
    BUNDLE_BYTES_MAX,
    Bundle,
    FileProof,
    Opening,
    SummaryProof,
    answer_hash,
    decode_bundle,
)
from ledger.bundle_verify import Step, Verified, verify_bundle
from ledger.bureau.answer import Question
from ledger.bureau.basis import Basis, Certified
from ledger.bureau.reading import answer_of, is_read, read_closure, summary_at
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.files import KIND_FILE, KIND_PLATFORM, FileItem, closure, erased_in, index_key
from ledger.index import Index
from ledger.store import Reader

__all__ = ["Step", "Verified", "build_bundle", "decode_bundle", "verify_bundle"]


def build_bundle(
    reader: Reader,
    index: Index,
    certified: Certified,
    question: Question,
    *,
    basis: Basis | None = None,
) -> bytes:
    """The bundle that proves the answer to a question at a certified checkpoint.

    The index must still keep the checkpoint's block as a version. `ledger.bureau.reading.ask` makes
    the question. `basis`: what the caller has read of the checkpoint already.

    Raises:
        InvalidInput: no such subject or domain, `as_of` after the seal's time, a block that the
            index keeps no longer, or a file too large to be carried.
        Erased: the checkpoint is older than an erasure of what it needs.
        StoreDamaged: a row that is missing or not what was written.
    """
    proofs = prove_in_index(reader, index, certified, question)
    return assemble_bundle(reader, certified, question, proofs, basis or Basis(reader, certified))


@dataclass(frozen=True, slots=True)
class IndexProofs:
    """What the index proves of an answer: the platform's summary, and the files in their order."""

    summary: bytes
    files: Sequence[bytes]


def prove_in_index(
    reader: Reader, index: Index, certified: Certified, question: Question
) -> IndexProofs:
    """The part of a bundle that comes from the index, which changes with each block.

    Raises:
        InvalidInput: the index keeps the checkpoint's block no longer.
        StoreDamaged: a row that is not what was written.
    """
    version, platform = certified.height, question.platform
    subjects = closure(reader, platform, question.handle, certified.size)
    return IndexProofs(
        index.prove(index_key(KIND_PLATFORM, platform), version),
        [index.prove(index_key(KIND_FILE, *each), version) for each in subjects],
    )


def assemble_bundle(
    reader: Reader, certified: Certified, question: Question, proofs: IndexProofs, basis: Basis
) -> bytes:
    """A bundle from what the index proves, and the store.

    Raises:
        InvalidInput, Erased, StoreDamaged: as `build_bundle`.
    """
    if question.as_of > basis.seal.time:
        raise InvalidInput("lies behind the seal's time", field="as_of")
    files = read_closure(reader, certified, question.platform, question.handle)
    summary = summary_at(reader, certified, question.platform)
    bundle = Bundle(
        form="standing-bundle/v1",
        chain=basis.chain,
        question=question,
        answer_hash=answer_hash(answer_of(files, summary, basis, question)),
        checkpoint=certified.note,
        inclusion=basis.inclusion,
        seal=basis.seal_bytes,
        block=basis.block,
        parameters=basis.parameters_bytes,
        summary=SummaryProof(summary, proofs.summary),
        files=tuple(map(_file_proof, files, proofs.files)),
    )
    data = encode(bundle)
    if len(data) > BUNDLE_BYTES_MAX:
        raise InvalidInput(f"the bundle would have {len(data)} bytes")
    return data


def _file_proof(file: tuple[int, bytes, Sequence[FileItem]], proof: bytes) -> FileProof:
    platform, handle, items = file
    erased = erased_in(item.leaf for item in items)  # how they stand is checked for the answer
    openings = [
        _opening(item.submission, item.annotation)
        for item in items
        if is_read(item.leaf) and item.leaf.log_index not in erased and item.submission is not None
    ]
    return FileProof(
        platform=platform,
        handle=handle,
        leaves=tuple(item.leaf for item in items),
        openings=tuple(openings),
        proof=proof,
    )


def _opening(submission: Submission, annotation: bytes) -> Opening:
    return Opening(submission.salt, submission.record, submission.signatures, annotation)
