"""A subject's file as HTTP shows it: its leaves in order, with the records that are not erased."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.bureau.reading import erased_since
from ledger.bureau.standing import Annotation
from ledger.encoding import decode
from ledger.errors import Malformed, StoreDamaged
from ledger.files import (
    FilePlace,
    leaf_of,
    links_of,
    read_leaf,
    read_opening,
    read_place,
    read_subject,
)
from ledger.records import NAME_OF_TAG
from ledger.rows import REPAIR, LeafRow
from ledger.store import Reader, subject_key
from node.api.erasures import Erasing, erased_from, erasing_of
from node.api.json_records import record_to_json
from node.view import Certificate

ANNOTATION_BYTES_MAX: Final = 32
_EMPTY: Final = b"\x90"


class FileEntry(msgspec.Struct, frozen=True):
    """A leaf of a file; times are in ms.

    `erasure` is the log index of the erasure that has erased the leaf's record: then `record` and
    `annotation` are null at every node. A leaf of type `erasure` with a target says so of the
    record with that log index: `log_index`, `time` and `id` are the erasure's, and `record` is null
    too (it stands at the erasure's own leaf). The target of an `erasure.ack` is the erasure's log
    index. `record` is null besides if this node cannot open it; `annotation` is what execution
    added to an outcome or a rating, null for other types.
    """

    position: int
    log_index: int
    time: int
    type: str
    id: bytes
    target: int | None
    erasure: int | None
    annotation: Annotation | None
    record: dict[str, Any] | None


class FilePage(msgspec.Struct, frozen=True):
    """Leaves of a file from a position on; `next` is the next page's `from`, or null at the end.

    `erased` is null for a whole file; else the file is partly erased, by what it says.
    """

    subject: str
    assurance: str
    key: bytes
    links: tuple[str, ...]
    size: int
    erased: Erasing | None
    leaves: tuple[FileEntry, ...]
    next: int | None


def page_of(
    reader: Reader,
    certified: Certificate,
    subject: tuple[int, bytes],
    *,
    codes: Mapping[int, str],
    start: int,
    limit: int,
) -> FilePage:
    """At most `limit` leaves of a registered subject's file, from position `start` on.

    Raises:
        Erased: a record on this page stood there at the checkpoint, and has been erased since.
        StoreDamaged: a row is missing or not what was written.
    """
    row = read_subject(reader, *subject)
    assert row is not None, "the caller has looked the subject up"
    erased = erased_from(reader, subject, certified.size)
    leaves: list[FileEntry] = []
    more = False
    for position in range(start, start + limit + 1):
        place = read_place(reader, subject_key(*subject), position, certified.size)
        if place is None:
            break
        more = len(leaves) == limit
        if not more:
            leaves.append(_entry(reader, position, place, erased))
    return FilePage(
        subject=_name(subject, codes),
        assurance=row.assurance,
        key=row.key,
        links=tuple(_name(each, codes) for each in links_of(reader, *subject, certified.size)),
        size=certified.size,
        erased=erasing_of(reader, certified, (subject,), codes),
        leaves=tuple(leaves),
        next=start + limit if more else None,
    )


def _name(subject: tuple[int, bytes], codes: Mapping[int, str]) -> str:
    number, handle = subject
    return f"{codes.get(number, number)}:{handle.hex()}"


def _entry(reader: Reader, position: int, place: FilePlace, erased: Mapping[int, int]) -> FileEntry:
    log_index = place.log_index
    row = read_leaf(reader, log_index)
    leaf = leaf_of(place, row)
    is_own = place.target is None
    erasure = erased.get(log_index) if is_own else None
    is_shown = is_own and erasure is None
    return FileEntry(
        position=position,
        log_index=log_index,
        time=leaf.time,
        type=NAME_OF_TAG.get(leaf.type, str(leaf.type)),
        id=leaf.commitment,
        target=leaf.target,
        erasure=erasure,
        annotation=_annotation(log_index, row) if is_shown else None,
        record=_record(reader, log_index, row) if is_shown else None,
    )


def _record(reader: Reader, log_index: int, row: LeafRow) -> dict[str, Any] | None:
    opening, erasure = read_opening(reader, row)
    if erasure is not None:
        raise erased_since(log_index, erasure)
    return None if opening is None else record_to_json(opening.record, opening.signatures)


def _annotation(log_index: int, row: LeafRow) -> Annotation | None:
    if row.annotation == _EMPTY:
        return None
    try:
        return decode(Annotation, row.annotation, bytes_max=ANNOTATION_BYTES_MAX, what="annotation")
    except Malformed as error:
        raise StoreDamaged(f"leaf row {log_index}", f"{error}; {REPAIR}") from error
