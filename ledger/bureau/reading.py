"""From stored or proven leaves to what the score reads, and the answer straight from a store.

annotation of an outcome or a rating = [pair count, standing, retrospective]; of others = []
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256 as _sha256
from typing import Final

from ledger.batch import Submission, commitment
from ledger.bureau.answer import Answer, Question, SubjectRole
from ledger.bureau.basis import Basis, Certified
from ledger.bureau.erased import check_erasures
from ledger.bureau.evidence import READ_TYPES, Fact, OpenFile
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.encoding import decode
from ledger.errors import BadProof, Erased, InvalidInput, StoreDamaged
from ledger.files import (
    KIND_PLATFORM,
    FileItem,
    FileLeaf,
    LeafRoom,
    closure,
    read_file,
    read_subject,
    read_summary,
)
from ledger.records import TAGS, decode_record
from ledger.records.engagement import EngagementOutcome
from ledger.records.rating import Rating
from ledger.rows import REPAIR
from ledger.store import Reader

FILE_LEAVES_MAX: Final = 65_536
ERASING_LEAVES_MAX: Final = 2 * FILE_LEAVES_MAX  # one for each record erased, and as many besides
ANNOTATION_BYTES_MAX: Final = 32
ANNOTATIONS_KEPT_MAX: Final = 4_096
"""Annotations that are kept decoded: most are one of a few."""
SUMMARY_BYTES_MAX: Final = 8_192
NO_ANNOTATION: Final = b"\x90"  # the empty MessagePack array

Closure = list[tuple[int, bytes, Sequence[FileItem]]]
"""A subject's file and all linked ones, ascending by (platform, handle)."""

_ANNOTATED: Final = frozenset({TAGS[EngagementOutcome], TAGS[Rating]})


def closure_room() -> LeafRoom:
    """How many leaves the files that are read together may have."""
    return LeafRoom(FILE_LEAVES_MAX, ERASING_LEAVES_MAX)


def open_leaf(leaf: FileLeaf, submission: Submission, annotation: bytes) -> Fact:
    """What an opening tells, after checking that it is the one that the leaf commits to.

    Raises:
        BadProof: it is another record, another annotation, or of another type.
        Malformed: not canonical.
    """
    where = f"opening of leaf {leaf.log_index}"
    if commitment(submission) != leaf.commitment:
        raise BadProof(f"{where} is not what the leaf commits to")
    if _sha256(submission.salt + annotation).digest() != leaf.annotation_hash:
        raise BadProof(f"the annotation in the {where} is not what the leaf commits to")
    record = decode_record(submission.record)
    if TAGS[type(record)] != leaf.type:
        raise BadProof(f"{where} is of another type than the leaf")
    if leaf.type in _ANNOTATED:
        return Fact(leaf.time, record, _annotation_of(annotation))
    if annotation != NO_ANNOTATION:
        raise BadProof(f"the annotation in the {where} is not empty")
    return Fact(leaf.time, record, None)


@lru_cache(maxsize=ANNOTATIONS_KEPT_MAX)
def _annotation_of(data: bytes) -> Annotation:
    return decode(Annotation, data, bytes_max=ANNOTATION_BYTES_MAX, what="annotation")


def erased_fact(leaf: FileLeaf) -> Fact:
    """What an erased leaf tells: that it was there, and when."""
    return Fact(leaf.time, None, None)


def is_read(leaf: FileLeaf) -> bool:
    """Whether the score reads records of the leaf's type."""
    return leaf.type in READ_TYPES


def opened_file(platform: int, handle: bytes, items: Sequence[FileItem]) -> OpenFile:
    """A stored file as the score reads it.

    What is erased is told by the leaves, not by which openings are held: all nodes answer alike.

    Raises:
        Erased: a record that stood in the file at this size has been erased since.
        StoreDamaged: an opening is missing or not the leaf's, or the leaves are at odds.
    """
    try:
        erased = check_erasures(item.leaf for item in items)
    except BadProof as error:
        raise StoreDamaged(f"file {platform}:{handle.hex()}", f"{error}; {REPAIR}") from error
    facts = [
        erased_fact(item.leaf) if item.leaf.log_index in erased else _opened(item)
        for item in items
        if is_read(item.leaf)
    ]
    return OpenFile(platform, handle, facts)


def _opened(item: FileItem) -> Fact:
    if item.erasure is not None:
        raise erased_since(item.leaf.log_index, item.erasure)
    where = f"opening of log entry {item.leaf.log_index}"
    if item.submission is None:
        raise StoreDamaged(where, f"is missing; {REPAIR}")
    try:
        return open_leaf(item.leaf, item.submission, item.annotation)
    except InvalidInput as error:
        raise StoreDamaged(where, f"{error}; {REPAIR}") from error


def erased_since(log_index: int, erasure: int) -> Erased:
    """The error of asking for an older state in which a record stood that is erased by now."""
    return Erased(
        f"log entry {log_index} stood in the file at this checkpoint, and has been erased since by "
        f"log entry {erasure}: ask as of a newer checkpoint"
    )


def decode_tally(data: bytes) -> PlatformTally:
    """A platform's summary from its bytes.

    Raises:
        Malformed: not one.
    """
    return decode(PlatformTally, data, bytes_max=SUMMARY_BYTES_MAX, what="platform summary")


# --- from a store ---


def read_closure(reader: Reader, certified: Certified, platform: int, handle: bytes) -> Closure:
    """The subject's file and all linked ones at a checkpoint, ascending by subject.

    Raises:
        InvalidInput: nobody has registered the subject by then, or there are too many leaves.
    """
    row = read_subject(reader, platform, handle)
    if row is None or row.registered >= certified.size:
        raise InvalidInput(f"platform {platform} has no subject {handle.hex()}", field="subject")
    files: Closure = []
    room = closure_room()
    for number, name in closure(reader, platform, handle, certified.size):
        items = read_file(reader, number, name, certified.size, room=room)
        files.append((number, name, items))
    return files


def ask(
    reader: Reader,
    certified: Certified,
    platform: int,
    handle: bytes,
    *,
    role: SubjectRole = "worker",
    domain: str = "",
    as_of: int | None = None,
    basis: Basis | None = None,
) -> Question:
    """The question in full: `as_of` is the seal's time unless another, earlier one is asked for.

    `basis`: what the caller has read of the checkpoint already.

    Raises:
        InvalidInput: `as_of` lies behind the seal's time, when nothing is proven yet.
    """
    time = (basis or Basis(reader, certified)).seal.time
    if as_of is not None and not 0 <= as_of <= time:
        raise InvalidInput(f"{as_of} is not between 0 and the seal's time, {time}", field="as_of")
    return Question(platform, handle, role, domain, time if as_of is None else as_of)


def answer(
    reader: Reader, certified: Certified, question: Question, *, basis: Basis | None = None
) -> Answer:
    """The answer from a store, as of a certified checkpoint: the same that its bundle proves.

    `basis`: what the caller has read of the checkpoint already.

    Raises:
        InvalidInput: no such subject or domain.
        Erased: the checkpoint is older than an erasure of what it needs.
        StoreDamaged: a row that is missing or not what was written.
    """
    closure = read_closure(reader, certified, question.platform, question.handle)
    summary = summary_at(reader, certified, question.platform)
    return answer_of(closure, summary, basis or Basis(reader, certified), question)


def summary_at(reader: Reader, certified: Certified, platform: int) -> bytes | None:
    """A platform's summary as the checkpoint's index holds it."""
    return read_summary(reader, KIND_PLATFORM, platform, b"", certified.height)


def answer_of(closure: Closure, summary: bytes | None, basis: Basis, question: Question) -> Answer:
    """The answer from files that were read.

    Raises:
        InvalidInput, Erased, StoreDamaged: as `answer`.
    """
    files = [opened_file(*each) for each in closure]
    tally = None if summary is None else decode_tally(summary)
    return score(files, tally, basis.parameters, question)
