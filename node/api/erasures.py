"""Erasures as HTTP and pages show them: what was taken from files, when, and who has acknowledged.

A file is *partly erased* as soon as one of its records is. What is shown here of an erasure names
no subject. Among those who may read it is no secret who asked, though: by the id that is shown,
`GET /v1/records/{id}` lists the files in its scope, as the ledger does that every member holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ledger.bureau.basis import Certified
from ledger.erasure_rows import ACKNOWLEDGE_DAYS, ErasureRow, erasure_key
from ledger.files import file_places, read_leaf, read_subject
from ledger.rows import BlockRow, block_key, need_row
from ledger.store import Reader, subject_key
from node.platforms import members_of

DAY_MS: Final = 86_400_000
ERASURES_SHOWN_MAX: Final = 100

Subject = tuple[int, bytes]


class ErasureShown(msgspec.Struct, frozen=True):
    """An erasure, as far as it concerns the files that are shown; times are in ms.

    `id` is its record's, `records` how many leaves of these files it has erased, `time` its
    block's. `done` is when the last leaf of all was erased, null while that goes on; from then on
    each platform has 30 days, until `due`, to acknowledge that its nodes have destroyed everything.
    `acknowledged` names those that have, as far as this node has executed; `awaited` the others.
    """

    log_index: int
    id: bytes
    time: int
    records: int
    done: int | None
    due: int | None
    acknowledged: tuple[str, ...]
    awaited: tuple[str, ...]


class Erasing(msgspec.Struct, frozen=True):
    """What is erased of some files: how many leaves, and by which erasures, the newest first.

    Of more than 100 erasures the newest 100 are named.
    """

    records: int
    erasures: tuple[ErasureShown, ...]


def erased_from(reader: Reader, subject: Subject, size: int) -> dict[int, int]:
    """The erased records of a file at a log size, each with the erasure that took it (log indices).

    Raises:
        StoreDamaged: a row is not what was written.
    """
    row = read_subject(reader, *subject)
    if row is None or row.erased == 0:
        return {}
    places = file_places(reader, subject_key(*subject), size)
    return {each.target: each.log_index for each in places if each.target is not None}


def erasing_of(
    reader: Reader,
    certified: Certified,
    subjects: Iterable[Subject],
    codes: Mapping[int, str],
) -> Erasing | None:
    """What is erased of these files at a checkpoint, or None: they are whole.

    `codes`: of all who are or were members, by number; the members have to acknowledge.

    Raises:
        StoreDamaged: a row is missing or not what was written.
    """
    taken: dict[int, int] = {}
    for subject in subjects:
        for erasure in erased_from(reader, subject, certified.size).values():
            taken[erasure] = taken.get(erasure, 0) + 1
    if not taken:
        return None
    newest = sorted(taken, reverse=True)[:ERASURES_SHOWN_MAX]
    shown = tuple(_shown(reader, certified, each, taken[each], codes) for each in newest)
    return Erasing(sum(taken.values()), shown)


def _shown(
    reader: Reader, certified: Certified, log_index: int, records: int, codes: Mapping[int, str]
) -> ErasureShown:
    leaf = read_leaf(reader, log_index)
    row = need_row(reader, ErasureRow, erasure_key(log_index))
    done = None
    if row.done is not None and row.done <= certified.height:
        done = need_row(reader, BlockRow, block_key(row.done)).seal.time
    return ErasureShown(
        log_index=log_index,
        id=leaf.commitment,
        time=leaf.time,
        records=records,
        done=done,
        due=None if done is None else done + ACKNOWLEDGE_DAYS * DAY_MS,
        acknowledged=_codes(codes, row.acks),
        awaited=_codes(codes, sorted(members_of(reader).difference(row.acks))),
    )


def _codes(codes: Mapping[int, str], numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(codes.get(each, str(each)) for each in numbers)
