"""A subject's file as HTTP shows it: leaves in log order, with the records that are held here."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.bureau.standing import Annotation
from ledger.encoding import decode
from ledger.errors import Malformed, StoreDamaged
from ledger.files import file_row_key, links_of, read_leaf, read_subject, read_submission
from ledger.records import NAME_OF_TAG
from ledger.rows import REPAIR, LeafRow
from ledger.store import Reader, subject_key
from node.api.json_records import record_to_json
from node.view import Certificate

ANNOTATION_BYTES_MAX: Final = 32
_EMPTY: Final = b"\x90"


class FileEntry(msgspec.Struct, frozen=True):
    """A leaf of a file. `record` is null if this node cannot open it; times are in ms.

    `annotation` is what execution added to an outcome or a rating; null for other types.
    """

    position: int
    log_index: int
    time: int
    type: str
    id: bytes
    target: int | None
    annotation: Annotation | None
    record: dict[str, Any] | None


class FilePage(msgspec.Struct, frozen=True):
    """Leaves of a file from a position on; `next` is the next page's `from`, or null at the end."""

    subject: str
    assurance: str
    key: bytes
    links: tuple[str, ...]
    size: int
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
        StoreDamaged: a row is missing or not what was written.
    """
    row = read_subject(reader, *subject)
    assert row is not None, "the caller has looked the subject up"
    leaves: list[FileEntry] = []
    more = False
    for position in range(start, start + limit + 1):
        data = reader.get(file_row_key(subject_key(*subject), position))
        if data is None or int.from_bytes(data) >= certified.size:
            break
        more = len(leaves) == limit
        if not more:
            leaves.append(_entry(reader, position, int.from_bytes(data)))
    return FilePage(
        subject=_name(subject, codes),
        assurance=row.assurance,
        key=row.key,
        links=tuple(_name(each, codes) for each in links_of(reader, *subject, certified.size)),
        size=certified.size,
        leaves=tuple(leaves),
        next=start + limit if more else None,
    )


def _name(subject: tuple[int, bytes], codes: Mapping[int, str]) -> str:
    number, handle = subject
    return f"{codes.get(number, number)}:{handle.hex()}"


def _entry(reader: Reader, position: int, log_index: int) -> FileEntry:
    row = read_leaf(reader, log_index)
    opening = read_submission(reader, row.lane, row.height, row.position)
    record = None if opening is None else record_to_json(opening.record, opening.signatures)
    return FileEntry(
        position=position,
        log_index=log_index,
        time=row.time,
        type=NAME_OF_TAG.get(row.type, str(row.type)),
        id=row.commitment,
        target=row.target,
        annotation=_annotation(log_index, row),
        record=record,
    )


def _annotation(log_index: int, row: LeafRow) -> Annotation | None:
    if row.annotation == _EMPTY:
        return None
    try:
        return decode(Annotation, row.annotation, bytes_max=ANNOTATION_BYTES_MAX, what="annotation")
    except Malformed as error:
        raise StoreDamaged(f"leaf row {log_index}", f"{error}; {REPAIR}") from error
