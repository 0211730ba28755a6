"""Bundles: one answer of the bureau, proven. Built here; verified with a policy and nothing else.

The form is that of `ledger/bundle_form.py`, the verification that of `ledger/bundle_verify.py`;
`ledger/bureau/README.md` has both byte for byte.
"""

from collections.abc import Sequence

from ledger import merkle
from ledger.batch import Submission
from ledger.block import encode_seal
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
from ledger.bureau.erased import check_erasures
from ledger.bureau.reading import (
    Certified,
    decode_tally,
    is_read,
    opened_file,
    read_closure,
    read_parameters,
)
from ledger.bureau.score import score
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.files import KIND_FILE, KIND_PLATFORM, FileItem, index_key, read_summary
from ledger.index import Index
from ledger.rows import BlockRow, block_key, need_row, tile_key
from ledger.store import Reader
from ledger.tiles import TileReader

__all__ = ["Step", "Verified", "build_bundle", "decode_bundle", "verify_bundle"]


def build_bundle(reader: Reader, index: Index, certified: Certified, question: Question) -> bytes:
    """The bundle that proves the answer to a question at a certified checkpoint.

    The index must still keep the checkpoint's block as a version. `ledger.bureau.reading.ask` makes
    the question.

    Raises:
        InvalidInput: no such subject or domain, `as_of` after the seal's time, a block that the
            index keeps no longer, or a file too large to be carried.
        Erased: the checkpoint is older than an erasure of what it needs.
        StoreDamaged: a row that is missing or not what was written.
    """
    row = need_row(reader, BlockRow, block_key(certified.height))
    if question.as_of > row.seal.time:
        raise InvalidInput("lies behind the seal's time", field="as_of")
    parameters = read_parameters(reader, row.seal)
    closure = read_closure(reader, certified, question.platform, question.handle)
    summary = read_summary(reader, KIND_PLATFORM, question.platform, b"", certified.height)
    answer = score(
        [opened_file(*each) for each in closure],
        None if summary is None else decode_tally(summary),
        parameters,
        question,
    )
    version = certified.height
    bundle = Bundle(
        form="standing-bundle/v1",
        chain=need_row(reader, BlockRow, block_key(0)).hash,
        question=question,
        answer_hash=answer_hash(answer),
        checkpoint=certified.note,
        inclusion=_inclusion(reader, certified.size),
        seal=encode_seal(row.seal),
        block=row.block,
        parameters=encode(parameters),
        summary=SummaryProof(
            summary, index.prove(index_key(KIND_PLATFORM, question.platform), version)
        ),
        files=tuple(_file_proof(index, version, *each) for each in closure),
    )
    data = encode(bundle)
    if len(data) > BUNDLE_BYTES_MAX:
        raise InvalidInput(f"the bundle would have {len(data)} bytes")
    return data


def _inclusion(reader: Reader, size: int) -> tuple[bytes, ...]:
    """The inclusion proof of the last of `size` leaves."""
    tiles = TileReader(lambda level, at: reader.get(tile_key(level, at)) or b"")
    return tuple(merkle.inclusion_proof(tiles.read_node, size - 1, size))


def _file_proof(
    index: Index, version: int, platform: int, handle: bytes, items: Sequence[FileItem]
) -> FileProof:
    erased = check_erasures(item.leaf for item in items)
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
        proof=index.prove(index_key(KIND_FILE, platform, handle), version),
    )


def _opening(submission: Submission, annotation: bytes) -> Opening:
    return Opening(submission.salt, submission.record, submission.signatures, annotation)
