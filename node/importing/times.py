"""Times of rows, in integer milliseconds: from a column's text, or synthetic by the row's place.

Text is read by its decimal digits and never becomes a float; what is finer than a millisecond is
cut off. Units: `s` and `ms` since 1970 (UTC), `iso` (RFC 3339, the offset stated), `iso-utc` (ISO
8601 without an offset, taken as UTC).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from ledger.encoding import UINT_MAX
from node.importing.terms import RowRejected, Scope, Term

Unit = Literal["s", "ms", "iso", "iso-utc"]
UNITS: Final[tuple[Unit, ...]] = ("s", "ms", "iso", "iso-utc")
_DECIMAL: Final = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,32}))?\Z", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class BadTime(ValueError):
    """A text that is no time of its unit."""


@dataclass(frozen=True, slots=True)
class Time:
    """A time of a row: of a term in a unit, or, where `term` is None, `start_ms` + row · step."""

    term: Term | None
    unit: Unit
    start_ms: int
    step_ms: int
    plus_ms: int

    @property
    def is_synthetic(self) -> bool:
        """Whether the times are made up by the mapping."""
        return self.term is None

    def at(self, scope: Scope, index: int) -> int:
        """The time of the row at place `index` (from 0), in ms.

        Raises:
            RowRejected: the text is no time.
        """
        if self.term is None:
            return self.start_ms + index * self.step_ms + self.plus_ms
        try:
            ms = parse_time(str(self.term.of(scope)), self.unit) + self.plus_ms
        except BadTime as error:
            raise RowRejected(str(error)) from error
        if not 0 <= ms <= UINT_MAX:
            raise RowRejected("the time is out of bounds")
        return ms


def parse_time(text: str, unit: Unit) -> int:
    """Milliseconds since 1970 (UTC).

    Raises:
        BadTime: the text is no time of the unit.
    """
    if unit in ("iso", "iso-utc"):
        return parse_iso(text, is_utc=unit == "iso-utc")
    match = _DECIMAL.match(text)
    if match is None:
        raise BadTime(f"{text!r} is no decimal number of {unit} since 1970")
    whole, fraction = int(match.group(1)), match.group(2) or ""
    if unit == "ms":
        return whole
    return whole * 1_000 + int((fraction + "000")[:3])


def parse_iso(text: str, *, is_utc: bool) -> int:
    """Milliseconds since 1970 of an ISO 8601 time.

    Raises:
        BadTime: it is none, or its offset is missing (or stated, where UTC is assumed).
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadTime(f"{text!r} is no ISO 8601 time") from error
    if is_utc:
        if moment.tzinfo is not None:
            raise BadTime(f"{text!r} states an offset: use unit 'iso'")
        moment = moment.replace(tzinfo=UTC)
    elif moment.tzinfo is None:
        raise BadTime(f"{text!r} states no offset from UTC: add one, or use unit 'iso-utc'")
    return (moment - _EPOCH) // _MS
