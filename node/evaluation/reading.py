"""A data set read by its mapping, and which sets a name or a folder means."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping as Map
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, cast, get_args

from ledger.errors import InvalidInput, Misconfigured
from ledger.parameters import Scale
from ledger.records.engagement import Format
from node.evaluation.events import DataSet, Event
from node.evaluation.mapping import STEPS_MAX, Mapping, Truth, load_mapping
from node.importing.rows import BadRow, Row, Source, read_rows
from node.importing.times import BadTime, Unit, parse_iso, parse_time

MAPPINGS: Final = Path(__file__).resolve().parents[2] / "configs" / "evaluations"
ROWS_MAX: Final = 5_000_000
TEXT_MAX: Final = 256
PLATFORMS_MAX: Final = 64
DOMAINS_MAX: Final = 1_024
SCALE_CODE: Final = "evaluated"
DEFAULT_PLATFORM: Final = "platform"

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_NO_CODE: Final = re.compile(r"[^a-z0-9]+")
_FORMATS: Final = frozenset(get_args(Format))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def sets_of(data: str, root: Path | None) -> list[tuple[Mapping, Path]]:
    """The sets that `--data` means, each with the folder where its files lie.

    `data`: a mapping file; a folder with mapping files beside the data; a folder of known data; or
    the name of one of our mappings or of the group whose name theirs begin with. `root`: where
    named sets lie (STANDING_DATA).

    Raises:
        Misconfigured: it means nothing, or the data are not there.
    """
    path = Path(data)
    if path.suffix == ".toml" and path.is_file():
        return [_placed(load_mapping(path), path.parent, root)]
    if path.is_dir():
        return _sets_in(path)
    named = [
        each
        for each in sorted(MAPPINGS.glob("*.toml"))
        if each.stem == data or each.stem.startswith(f"{data}-")
    ]
    if not named:
        known = ", ".join(each.stem for each in sorted(MAPPINGS.glob("*.toml")))
        raise Misconfigured(f"--data {data}: neither a folder nor a known set ({known})")
    if root is None:
        raise Misconfigured(f"--data {data}: set STANDING_DATA to the folder that holds it")
    return [_placed(load_mapping(each), root, root) for each in named]


def _sets_in(folder: Path) -> list[tuple[Mapping, Path]]:
    own = sorted(folder.glob("*.toml"))
    if own:
        return [_placed(load_mapping(each), folder, folder) for each in own]
    known = [load_mapping(each) for each in sorted(MAPPINGS.glob("*.toml"))]
    found = [
        (mapping, place)
        for mapping in known
        for place in (folder, folder / str(mapping.source.get("folder", "")))
        if (place / mapping.source["file"]).is_file()
    ]
    if not found:
        raise Misconfigured(
            f"{folder} holds no evaluation mapping (*.toml) and no set that is known; "
            f"node/evaluation/README.md says how to write one"
        )
    return found


def _placed(mapping: Mapping, *roots: Path | None) -> tuple[Mapping, Path]:
    """A mapping with the first folder in which its file lies."""
    folder = str(mapping.source.get("folder", ""))
    places = [each for root in roots if root is not None for each in (root, root / folder)]
    for place in places:
        if (place / mapping.source["file"]).is_file():
            return mapping, place
    looked = ", ".join(str(each) for each in places)
    raise Misconfigured(f"{mapping.name}: there is no {mapping.source['file']} in {looked}")


def data_root() -> Path | None:
    """The folder of the known sets: STANDING_DATA, or what lies beside the project, or None."""
    named = os.environ.get("STANDING_DATA")
    if named:
        return Path(named)
    beside = MAPPINGS.parents[2] / "shared" / "data"
    return beside if beside.is_dir() else None


def read_set(mapping: Mapping, folder: Path, events_max: int | None = None) -> DataSet:
    """The events of a set; with `events_max` its first so many, read from the rows up to there.

    Raises:
        Misconfigured: the files and the mapping do not fit; or only the first events are wanted,
            and rows are not in order of time.
    """
    try:
        return _Reader(mapping, folder).read(events_max)
    except (OSError, InvalidInput) as error:
        raise Misconfigured(f"{mapping.name}: {error}") from error


class _NoEvent(Exception):
    """Why a row is no event."""


class _Reader:
    """One set under way."""

    def __init__(self, mapping: Mapping, folder: Path) -> None:
        self._mapping = mapping
        self._folder = folder
        self._scale = None if mapping.rating is None else _Scale(mapping.rating, mapping.name)
        self._truth = self._read_truth(mapping.truth)
        self._platforms: dict[str, int] = {}
        self._domains: set[str] = set()
        self._dropped: Counter[str] = Counter()
        start = mapping.time.get("start")
        self._start_ms = 0 if start is None else _start(start, mapping.name)

    def read(self, events_max: int | None) -> DataSet:
        made: list[Event] = []
        rows = self._rows(str(self._mapping.source["file"]))
        while events_max is None or len(made) < events_max:
            row = next(rows, None)
            if row is None:
                break
            try:
                made.append(self._event(row))
            except _NoEvent as why:
                self._dropped[str(why)] += 1
            if events_max is not None and made[-2:] != sorted(made[-2:], key=_time_of):
                raise Misconfigured(f"{self._mapping.name}: row {row.line} is not in order of time")
        made.sort(key=_time_of)
        mapping = self._mapping
        return DataSet(
            name=mapping.name,
            title=mapping.title,
            note=mapping.note,
            basis=mapping.event.get("basis", "counterparty"),
            scale=None if self._scale is None else self._scale.scale,
            verified=frozenset(map(str, mapping.event.get("verified", ()))),
            platforms=tuple(self._platforms) or (DEFAULT_PLATFORM,),
            domains=tuple(sorted(self._domains)),
            events=tuple(_at(place, event) for place, event in enumerate(made)),
            dropped=dict(sorted(self._dropped.items())),
        )

    def _rows(self, name: str) -> Iterator[Row]:
        told = self._mapping.source
        if name != told["file"]:
            told = {key: told[key] for key in ("format", "delimiter") if key in told}
        source = Source(
            told.get("format", "csv"),
            tuple(told.get("columns", ())),
            told.get("header", True),
            told.get("delimiter", ","),
        )
        for row in read_rows(self._folder / name, source):
            if row.index >= ROWS_MAX:
                raise Misconfigured(f"{name} has more than {ROWS_MAX:,} rows")
            if isinstance(row, BadRow):
                self._dropped["unreadable"] += 1
            else:
                yield row

    def _read_truth(self, truth: Truth | None) -> dict[str, str]:
        if truth is None:
            return {}
        return {
            _cell(row.cells, truth.key): _cell(row.cells, truth.value)
            for row in self._rows(truth.file)
        }

    def _event(self, row: Row) -> Event:
        told = self._mapping.event
        rater, rated = _fill(told["rater"], row.cells), _fill(told["rated"], row.cells)
        if rater == rated:
            raise _NoEvent("rater is the rated")
        grade, good = self._result(row.cells)
        return Event(
            place=row.index,
            time_ms=self._time(row),
            platform=self._platform(row.cells),
            rater=rater,
            rated=rated,
            good=good,
            grade=grade,
            format=self._format(row.cells),
            domain=self._domain(row.cells),
        )

    def _result(self, cells: Map[str, str]) -> tuple[int | None, bool]:
        grade = sign = None
        if self._scale is not None and self._mapping.rating is not None:
            text = _fill(self._mapping.rating["of"], cells)
            if text or self._mapping.outcome is None:
                grade = self._scale.step(text)
                sign = self._scale.sign(grade)
        outcome = self._mapping.outcome
        if outcome is not None:
            sign = self._outcome(outcome, cells)
        if sign is None:
            raise _NoEvent("neither good nor bad")
        return grade, sign

    def _outcome(self, outcome: Map[str, Any], cells: Map[str, str]) -> bool | None:
        text = _fill(outcome["of"], cells)
        if self._mapping.truth is not None:
            right = self._truth.get(_fill(outcome["item"], cells))
            return None if right is None else right == text
        if text in outcome["good"]:
            return True
        return False if text in outcome["bad"] else None

    def _time(self, row: Row) -> int:
        told = self._mapping.time
        unit = told.get("unit")
        if unit is None:
            return self._start_ms + row.index * int(told["step_ms"])
        text = _fill(told["of"], row.cells)
        try:
            if "%" in unit:
                moment = datetime.strptime(text, unit)  # noqa: DTZ007 - UTC unless it says
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                ms = (moment - _EPOCH) // _MS
            else:
                ms = parse_time(text, cast("Unit", unit))
        except ValueError as error:  # BadTime is one
            raise _NoEvent("no time") from error
        if ms <= 0:
            raise _NoEvent("before 1970")
        return ms

    def _platform(self, cells: Map[str, str]) -> int:
        name = _fill(self._mapping.event.get("platform", DEFAULT_PLATFORM), cells)
        number = self._platforms.setdefault(name, len(self._platforms) + 1)
        if number > PLATFORMS_MAX:
            raise Misconfigured(f"there are more than {PLATFORMS_MAX} platforms")
        return number

    def _format(self, cells: Map[str, str]) -> str:
        text = _fill(self._mapping.event.get("format", "gig"), cells)
        return text if text in _FORMATS else "gig"

    def _domain(self, cells: Map[str, str]) -> str:
        text = _fill(self._mapping.event.get("domain", ""), cells)
        code = _NO_CODE.sub("-", text.lower()).strip("-")[:48].strip("-")
        if code:
            self._domains.add(code)
        if len(self._domains) > DOMAINS_MAX:
            raise Misconfigured(f"there are more than {DOMAINS_MAX} domains")
        return code or "work"


class _Scale:
    """A set's own scale in whole steps from its low end: exact decimals in, integers out."""

    def __init__(self, rating: Map[str, Any], name: str) -> None:
        self._step = Decimal(str(rating.get("step", 1)))
        if self._step <= 0:
            raise Misconfigured(f"{name}: [rating] step is not above 0")
        self._low = Decimal(str(rating["low"]))
        ends = [self._steps(Decimal(str(rating[key]))) for key in ("high", "middle", "good_from")]
        high, middle, good_from = ends
        if high > STEPS_MAX:
            raise Misconfigured(f"{name}: [rating] has more than {STEPS_MAX} steps")
        self.scale = Scale(SCALE_CODE, 0, high, middle, good_from)

    def _steps(self, value: Decimal) -> int:
        return int(((value - self._low) / self._step).to_integral_value())

    def step(self, text: str) -> int:
        """The step nearest to a value of the set."""
        try:
            value = Decimal(text)
            place = self._steps(value) if value.is_finite() else -1
        except InvalidOperation as error:
            raise _NoEvent("no value on the scale") from error
        if not 0 <= place <= self.scale.high:
            raise _NoEvent("no value on the scale")
        return place

    def sign(self, step: int) -> bool | None:
        """Good, bad, or neither."""
        if step < self.scale.middle:
            return False
        return True if step >= self.scale.good_from else None


def _fill(term: str, cells: Map[str, str]) -> str:
    """A term with the row's cells in its holes, bounded."""
    text = _HOLE.sub(lambda hole: _cell(cells, hole.group(1)), term)
    if len(text) > TEXT_MAX:
        raise _NoEvent("a text is too long")
    return text


def _cell(cells: Map[str, str], column: str) -> str:
    found = cells.get(column)
    if found is None:
        raise Misconfigured(f"there is no column {column}; there are {', '.join(cells)}")
    return found.strip()


def _start(text: str, name: str) -> int:
    try:
        return parse_iso(text, is_utc=False)
    except BadTime as error:
        raise Misconfigured(f"{name}: [time] start: {error}") from error


def _time_of(event: Event) -> int:
    return event.time_ms


def _at(place: int, event: Event) -> Event:
    return Event(
        place,
        event.time_ms,
        event.platform,
        event.rater,
        event.rated,
        event.good,
        event.grade,
        event.format,
        event.domain,
    )
