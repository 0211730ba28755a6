"""What a ledger tells of its furnishers: how each platform keeps its part of the record.

A platform must open an engagement before its outcome is known, and then tell the outcome, good or
bad. Who opens and does not close may be withholding; who tells only in hindsight can choose what it
tells. None of this is a fault of the ledger, so none of it is a finding: it is what an auditor asks
a platform about.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ledger.block import SEAL_KIND
from ledger.bureau.standing import NEW_PLATFORM, Annotation, PlatformTally
from ledger.encoding import decoder
from ledger.membership import Validator
from ledger.records import TAGS
from ledger.records.engagement import EngagementOutcome
from ledger.records.rating import Rating
from ledger.rows import LeafRow, read_row
from ledger.store import LEAF, PLATFORM, Reader, after

Told = dict[int, list[int]]
"""Lane → how many records, outcomes, ratings, and outcomes and ratings told in hindsight."""

_OUTCOME: Final = TAGS[EngagementOutcome]
_DATED: Final = frozenset({_OUTCOME, TAGS[Rating]})


class Furnisher(msgspec.Struct, frozen=True):
    """One platform's part. `opens` are engagements; `unclosed` those without an outcome, `overdue`
    those of them whose due day has passed; `refused` what it sent and broke a rule;
    `retrospective_share` that of its outcomes and ratings that were told in hindsight."""

    number: int
    code: str
    records: int
    opens: int
    outcomes: int
    ratings: int
    unclosed: int
    overdue: int
    refused: int
    retrospective: int
    retrospective_share: float
    corrections: int
    disputed: int


def told_by(leaf_rows: Iterable[bytes]) -> Told:
    """What leaf rows tell, by the lane that brought them.

    Raises:
        msgspec.MsgspecError: one is no leaf row.
    """
    told: Told = {}
    read, read_annotation = decoder(LeafRow).decode, decoder(Annotation).decode
    for data in leaf_rows:
        if data[:1] == SEAL_KIND:
            continue
        row = read(data)
        counts = told.get(row.lane)
        if counts is None:
            counts = told[row.lane] = [0, 0, 0, 0]
        counts[0] += 1
        if row.type in _DATED:
            counts[1 if row.type == _OUTCOME else 2] += 1
            counts[3] += read_annotation(row.annotation).retrospective
    return told


def add_told(whole: Told, part: Told) -> None:
    """Add what other leaf rows tell."""
    for lane, counts in part.items():
        known = whole.setdefault(lane, [0, 0, 0, 0])
        whole[lane] = [a + b for a, b in zip(known, counts, strict=True)]


def told_in(reader: Reader) -> Told:
    """What all leaf rows of a store tell."""
    return told_by(value for _, value in reader.scan(LEAF, after(LEAF)))


def furnishers(
    members: Sequence[Validator], reader: Reader, told: Told, refused: Mapping[int, int]
) -> tuple[Furnisher, ...]:
    """Each member's part, from its tally in executed rows, its leaves, and its refusals by lane."""
    found = []
    for member in members:
        key = PLATFORM + member.number.to_bytes(4)
        tally = read_row(reader, PlatformTally, key) or NEW_PLATFORM
        records, outcomes, ratings, late = told.get(member.number, [0, 0, 0, 0])
        found.append(
            Furnisher(
                number=member.number,
                code=member.code,
                records=records,
                opens=tally.opened,
                outcomes=tally.closed,
                ratings=ratings,
                unclosed=tally.opened - tally.closed,
                overdue=tally.overdue,
                refused=refused.get(member.number, 0),
                retrospective=late,
                retrospective_share=round(late / max(1, outcomes + ratings), 4),
                corrections=0,
                disputed=0,
            )
        )
    return tuple(found)
