"""What became of one record, as HTTP shows it: where it stands, and what erasures mean for it."""

from collections.abc import Mapping
from typing import Final

import msgspec

from ledger.erasure_rows import ACKNOWLEDGE_DAYS, ErasureRow, erasure_key
from ledger.files import read_leaf
from ledger.records import TAGS
from ledger.records.erasure import Erasure
from ledger.residue import Residue
from ledger.rows import (
    BlockRow,
    LeafRow,
    block_key,
    lane_key,
    leaf_key,
    need_row,
    read_row,
    residue_key,
)
from ledger.store import Reader
from node.api.erasures import DAY_MS
from node.platforms import members_of
from node.tracking import RecordStatus

_ERASURE: Final = TAGS[Erasure]


class ErasureProgress(msgspec.Struct, frozen=True):
    """How far an accepted erasure is, as far as this node has executed; times are in ms.

    `files` are those in its scope, as platform:handle; `outstanding` is how many of their leaves
    are still to be gone through. `done` is the time of the block that had the last one, or null.
    From then on each platform has 30 days, until `due`, to acknowledge that it has destroyed
    everything: `acknowledged` names those that have, `awaited` the others.
    """

    files: tuple[str, ...]
    outstanding: int
    done: int | None
    due: int | None
    acknowledged: tuple[str, ...]
    awaited: tuple[str, ...]


class RecordState(msgspec.Struct, frozen=True):
    """Where a record stands. `rule`: the broken rule of a refused one, else empty.

    `erased` is the id of the erasure that took the record, or null: then its content and its salt
    are destroyed, and what is said here is all that can be. `erasure` is there of an accepted
    erasure: how far it is.
    """

    id: bytes
    state: str
    rule: str
    log_index: int | None
    lane: int
    height: int
    position: int
    erased: bytes | None
    erasure: ErasureProgress | None


def state_of(reader: Reader, status: RecordStatus, codes: Mapping[int, str]) -> RecordState:
    """A record's state; `codes`: of all who are or were members, by number.

    Raises:
        StoreDamaged: a row is missing or not what was written.
    """
    return RecordState(
        status.record_id,
        status.state,
        status.rule,
        status.log_index,
        status.lane,
        status.height,
        status.position,
        _erased_by(reader, status),
        _progress(reader, status.log_index, codes),
    )


def _erased_by(reader: Reader, status: RecordStatus) -> bytes | None:
    """The id of the erasure that took a record, or None."""
    if status.log_index is not None:
        erasure = read_leaf(reader, status.log_index).erasure
    else:
        name = reader.get(lane_key(status.lane, status.height))
        key = residue_key(name or b"", status.position)
        residue = None if name is None else read_row(reader, Residue, key)
        erasure = None if residue is None else residue.erasure
    # A node that catches up may hold a residue before it executes the erasure that this names.
    row = None if erasure is None else read_row(reader, LeafRow, leaf_key(erasure))
    return None if row is None else row.commitment


def _progress(
    reader: Reader, log_index: int | None, codes: Mapping[int, str]
) -> ErasureProgress | None:
    if log_index is None or read_leaf(reader, log_index).type != _ERASURE:
        return None
    row = need_row(reader, ErasureRow, erasure_key(log_index))
    done = None
    if row.done is not None:
        done = need_row(reader, BlockRow, block_key(row.done)).seal.time
    return ErasureProgress(
        files=tuple(_name(each.subject, codes) for each in row.files),
        outstanding=sum(each.until - each.next for each in row.files),
        done=done,
        due=None if done is None else done + ACKNOWLEDGE_DAYS * DAY_MS,
        acknowledged=tuple(codes.get(each, str(each)) for each in row.acks),
        awaited=tuple(
            codes.get(each, str(each)) for each in sorted(members_of(reader).difference(row.acks))
        ),
    )


def _name(subject: bytes, codes: Mapping[int, str]) -> str:
    number, handle = int.from_bytes(subject[:4]), subject[4:]
    return f"{codes.get(number, number)}:{handle.hex()}"
