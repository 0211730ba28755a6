"""Who moves: each subject's points by the model in force, and by the other one.

`before`: as the ledger answers now. `on_the_day`: by the other model from the same rows, which is
what everybody sees when it comes into force, for annotations stay as they were written. `replayed`:
had it been in force from genesis on, to which the answers tend as new records come in. None: the
file is thin. A subject who has worked is scored as a worker, any other as a client; one with no
engagement at all is left out. Of many subjects a sample is taken, drawn by SHA-256(seed ‖ subject).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from typing import Any, Final

from ledger.bureau.answer import Question, SubjectRole
from ledger.errors import InvalidInput
from ledger.records.engagement import EngagementOpen
from ledger.store import SUBJECT, Reader, after
from node.comparing.twins import Known, Twins, known_at, score_at

SUBJECTS_MAX: Final = 10_000_000
MOST_SHOWN: Final = 10
_SHARES: Final = (5, 25, 50, 75, 95)
_ABSOLUTE: Final = (50, 90, 99)

Points = int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A subject's points (None: thin), with what it mostly is: platform, and newest engagement."""

    platform: int
    handle: bytes
    role: SubjectRole
    format: str
    domain: str
    before: Points
    on_the_day: Points
    replayed: Points


def drawn(reader: Reader, most: int, seed: int) -> tuple[int, list[bytes]]:
    """How many subjects there are, and at most so many of them (36 bytes each), ascending."""
    salt = seed.to_bytes(8)
    keys = (key[1:] for key, _ in reader.scan(SUBJECT, after(SUBJECT)))
    total = sum(1 for _ in reader.scan(SUBJECT, after(SUBJECT)))
    if total <= most:
        return total, list(keys)
    return total, sorted(nsmallest(most, keys, key=lambda each: sha256(salt + each).digest()))


def compared(twins: Twins, subjects: Sequence[bytes], time_ms: int) -> Iterator[Compared | None]:
    """Each subject's points at this time; None for one that has no engagement, or is erased."""
    place, now, other = twins.place, twins.now, twins.proposed
    for subject in subjects:
        platform, handle = int.from_bytes(subject[:4]), subject[4:]
        try:
            known = known_at(twins.as_it_was, place, platform, handle)
            newest = _newest(known)
            if newest is None:
                yield None
                continue
            role, opened = newest
            question = Question(platform, handle, role, "", time_ms)
            yield Compared(
                platform,
                handle,
                role,
                opened.format,
                opened.domains[0],
                known.answer(question, now).points,
                known.answer(question, other).points,
                score_at(twins.otherwise, place, question, other).points,
            )
        except InvalidInput:
            yield None


def _newest(known: Known) -> tuple[SubjectRole, EngagementOpen] | None:
    """The newest engagement of the subject as a worker, else as a client."""
    as_client: EngagementOpen | None = None
    as_worker: EngagementOpen | None = None
    for file in known.files:
        for fact in file.facts:
            if isinstance(fact.record, EngagementOpen):
                if fact.record.worker == file.handle:
                    as_worker = fact.record
                else:
                    as_client = fact.record
    if as_worker is not None:
        return "worker", as_worker
    return None if as_client is None else ("client", as_client)


# --- figures ---


def moves(subjects: Sequence[Compared], view: str) -> dict[str, Any]:
    """How points move from `before` to a view (`on_the_day` or `replayed`).

    `points`: quantiles of the change among those with points in both; `absolute`: of its size.
    """
    pairs = [(each.before, _points(each, view)) for each in subjects]
    changes = sorted(new - old for old, new in pairs if old is not None and new is not None)
    sizes = sorted(map(abs, changes))
    return {
        "subjects": len(pairs),
        "scored_before": sum(old is not None for old, _ in pairs),
        "scored": sum(new is not None for _, new in pairs),
        "moved": sum(each != 0 for each in changes),
        "up": sum(each > 0 for each in changes),
        "down": sum(each < 0 for each in changes),
        "no_longer_thin": sum(old is None and new is not None for old, new in pairs),
        "newly_thin": sum(old is not None and new is None for old, new in pairs),
        "points": {f"p{share:02}": _quantile(changes, share) for share in _SHARES},
        "absolute": {
            **{f"p{share}": _quantile(sizes, share) for share in _ABSOLUTE},
            "max": sizes[-1] if sizes else None,
        },
    }


def most_moved(subjects: Sequence[Compared], view: str) -> list[dict[str, Any]]:
    """Whose points change most, with both values."""
    both = [
        (each.before, new, each)
        for each in subjects
        if each.before is not None and (new := _points(each, view)) is not None
    ]
    both.sort(key=lambda each: (-abs(each[1] - each[0]), each[2].platform, each[2].handle))
    return [
        {
            "subject": f"{each.platform}:{each.handle.hex()}",
            "role": each.role,
            "before": old,
            "after": new,
        }
        for old, new, each in both[:MOST_SHOWN]
        if old != new
    ]


def _points(each: Compared, view: str) -> Points:
    return each.on_the_day if view == "on_the_day" else each.replayed


def _quantile(ascending: Sequence[int], percent: int) -> int | None:
    """The value at the nearest rank, from below."""
    if not ascending:
        return None
    return ascending[(len(ascending) - 1) * percent // 100]
