"""The mapping file of an evaluation: how rows of somebody's data become events. TOML.

    title = "…"  note = "…"           shown with every result                          [optional]

    [source]
    file = "…"                        in the folder that `--data` names, or in $STANDING_DATA
    folder = "…"                      the folder's name there                          [optional]
    format = "csv" | "jsonl"          (default csv)
    delimiter = ","  header = true    csv only; columns = […] names them if header = false

    [event]                           who worked for whom, on whose word
    rated = "{column}"                text with columns in braces, or constant text
    rater = "{column}"
    basis = "counterparty" | "platform"
    verified = ["…", …]               raters whom the platform vouches for             [optional]
    platform = "{column}"             (default: one platform)
    format = "{column}"               freelance, contest, vendor, volunteer, employment, gig
    domain = "{column}"               any text; becomes a domain below `work`

    [time]                            from a column …
    of = "{column}"
    unit = "s" | "ms" | "iso" | "iso-utc", or a strptime pattern such as "%d.%m.%Y %H:%M" (UTC)
    start = "2020-01-01T00:00:00Z"    … or made up, by the row's place in the file
    step_ms = 1000

    [rating]                          a graded opinion: good from `good_from`, bad below `middle`
    of = "{column}"
    low = -10  high = 10  middle = 0  good_from = 1  step = 1

    [outcome]                         a result, told by one of:
    of = "{column}"                   good = ["…", …]   bad = ["…", …]
    truth = { file = "…", key = "…", value = "…" }
                                      with item = "{column}": good iff `of` is the truth's value

At least one of [rating] and [outcome]; with both the outcome is the result. A row without a result
(between the limits, unknown to the truth, an unlisted value) is no event, nor is one whose rater is
the rated. How many those are is told. Values on a scale are exact decimals, never floats.
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.errors import Misconfigured
from node.importing.times import UNITS
from node.toml_text import BadToml, parse_toml

MAPPING_BYTES_MAX: Final = 64 * 1_024
STEPS_MAX: Final = 255

_TABLES: Final[dict[str, frozenset[str]]] = {
    "source": frozenset({"file", "folder", "format", "delimiter", "header", "columns"}),
    "event": frozenset({"rated", "rater", "basis", "verified", "platform", "format", "domain"}),
    "time": frozenset({"of", "unit", "start", "step_ms"}),
    "rating": frozenset({"of", "low", "high", "middle", "good_from", "step"}),
    "outcome": frozenset({"of", "good", "bad", "truth", "item"}),
}
_NEEDED: Final = ("source", "event", "time")


@dataclass(frozen=True, slots=True)
class Truth:
    """Another file that knows the right answers: `value` of the row whose `key` is the item."""

    file: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that was read: its tables, checked for what may stand there."""

    name: str
    title: str
    note: str
    path: Path
    source: Map[str, Any]
    event: Map[str, Any]
    time: Map[str, Any]
    rating: Map[str, Any] | None
    outcome: Map[str, Any] | None
    truth: Truth | None


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        Misconfigured: names the file and the key at fault.
    """
    try:
        data = path.read_bytes()[: MAPPING_BYTES_MAX + 1]
        if len(data) > MAPPING_BYTES_MAX:
            raise Misconfigured(f"{path} has more than {MAPPING_BYTES_MAX} bytes")
        tables = parse_toml(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError, BadToml) as error:
        raise Misconfigured(f"{path}: {error}") from error
    _check(path, tables)
    outcome = tables.get("outcome")
    return Mapping(
        name=path.stem,
        title=str(tables.get("title", path.stem)),
        note=str(tables.get("note", "")),
        path=path,
        source=tables["source"],
        event=tables["event"],
        time=tables["time"],
        rating=tables.get("rating"),
        outcome=outcome,
        truth=_truth(path, outcome),
    )


def _check(path: Path, tables: Map[str, Any]) -> None:
    for name, table in tables.items():
        if name in {"title", "note"}:
            continue
        if name not in _TABLES or not isinstance(table, dict):
            raise Misconfigured(f"{path}: there is no [{name}]; there are {', '.join(_TABLES)}")
        for key in table:
            if key not in _TABLES[name]:
                known = ", ".join(sorted(_TABLES[name]))
                raise Misconfigured(f"{path}: [{name}] has no {key}; it has {known}")
    for name in _NEEDED:
        if name not in tables:
            raise Misconfigured(f"{path}: [{name}] is missing")
    if "rating" not in tables and "outcome" not in tables:
        raise Misconfigured(f"{path}: one of [rating] and [outcome] is needed")
    for name, key in (("source", "file"), ("event", "rated"), ("event", "rater")):
        if not isinstance(tables[name].get(key), str):
            raise Misconfigured(f"{path}: [{name}] needs {key}, a text")
    if tables["event"].get("basis", "counterparty") not in {"counterparty", "platform"}:
        raise Misconfigured(f'{path}: [event] basis is "counterparty" or "platform"')
    if "rating" in tables:
        _check_rating(path, tables["rating"])
    _check_time(path, tables["time"])


def _check_rating(path: Path, rating: Map[str, Any]) -> None:
    if not isinstance(rating.get("of"), str):
        raise Misconfigured(f"{path}: [rating] needs of, a text")
    for key in ("low", "high", "middle", "good_from"):
        value = rating.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Misconfigured(f"{path}: [rating] needs {key}, a number")
    if not rating["low"] < rating["middle"] <= rating["good_from"] <= rating["high"]:
        raise Misconfigured(f"{path}: [rating] is not low < middle <= good_from <= high")


def _check_time(path: Path, time: Map[str, Any]) -> None:
    if isinstance(time.get("of"), str) != isinstance(time.get("unit"), str):
        raise Misconfigured(f"{path}: [time] needs both of and unit, or start and step_ms")
    unit = time.get("unit")
    if unit is not None and unit not in UNITS and "%" not in unit:
        known = ", ".join(UNITS)
        raise Misconfigured(f"{path}: [time] unit is one of {known}, or a pattern with %")
    if unit is None:
        step = time.get("step_ms")
        if not isinstance(time.get("start"), str) or not isinstance(step, int) or step < 1:
            raise Misconfigured(f"{path}: [time] needs start, a text, and step_ms, from 1")


def _truth(path: Path, outcome: Map[str, Any] | None) -> Truth | None:
    if outcome is None:
        return None
    if not isinstance(outcome.get("of"), str):
        raise Misconfigured(f"{path}: [outcome] needs of, a text")
    told = outcome.get("truth")
    if told is None:
        for key in ("good", "bad"):
            listed = outcome.get(key)
            if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
                raise Misconfigured(f"{path}: [outcome] needs {key}, a list of texts, or truth")
        return None
    fits = isinstance(told, dict) and set(told) == {"file", "key", "value"}
    if not fits or not all(isinstance(each, str) for each in told.values()):
        raise Misconfigured(f"{path}: [outcome] truth is {{ file, key, value }}, all texts")
    if not isinstance(outcome.get("item"), str):
        raise Misconfigured(f"{path}: [outcome] with truth needs item, a text")
    return Truth(**told)
