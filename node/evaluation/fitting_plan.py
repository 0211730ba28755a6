"""What numbers are fitted by: `configs/fitting.toml` read, and the first halves of its sets.

Of each set the first half is read, in order of time, and nothing behind it: the reader stops at the
event whose number is written down. So no event of the test half can reach what fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.bureau.model import Model
from ledger.errors import Misconfigured
from node.evaluation.events import DataSet
from node.evaluation.reading import data_root, read_set, sets_of
from node.toml_text import BadToml, parse_toml

CONFIG: Final = Path(__file__).resolve().parents[2] / "configs" / "fitting.toml"
_BYTES_MAX: Final = 64 * 1_024
_TABLES: Final[dict[str, frozenset[str]]] = {
    "parts": frozenset({"from", "split", "every"}),
    "attacks": frozenset({"cuts", "seeds", "margin"}),
    "weights": frozenset({"months", "ece", "ece_thin", "crowd", "attacks", "train"}),
    "limits": frozenset({"ece", "ece_thin", "crowd_gain", "train_worse"}),
}


@dataclass(frozen=True, slots=True)
class Range:
    """From where to where a number may move, and its least step."""

    low: int
    high: int
    step: int

    def moved(self, value: int, steps: int) -> int:
        """A value so many steps on, held to the range."""
        return min(self.high, max(self.low, value + steps * self.step))


@dataclass(frozen=True, slots=True)
class FittingPlan:
    """The tables of the plan. `first_half`: events by set; `cuts`, `seeds`: of attacks."""

    first_half: Mapping[str, int]
    start: float
    split: float
    every: int
    cuts: tuple[float, ...]
    seeds: tuple[int, ...]
    margin: float
    weights: Mapping[str, float]
    limits: Mapping[str, float]
    numbers: Mapping[str, Range]


def load_plan(path: Path = CONFIG) -> FittingPlan:
    """Read a plan.

    Raises:
        Misconfigured: names what does not fit.
    """
    try:
        with path.open("rb") as file:
            tables = parse_toml(file.read(_BYTES_MAX).decode("utf-8"))
    except (OSError, UnicodeDecodeError, BadToml) as error:
        raise Misconfigured(f"{path}: {error}") from error
    for name in ("first_half", "numbers", *_TABLES):
        if not isinstance(tables.get(name), dict) or not tables[name]:
            raise Misconfigured(f"{path}: [{name}] is missing")
    for name, keys in _TABLES.items():
        if set(tables[name]) != keys:
            raise Misconfigured(f"{path}: [{name}] has not just {', '.join(sorted(keys))}")
    parts, attacks = tables["parts"], tables["attacks"]
    if not 0 <= parts["from"] < parts["split"] < 1 or parts["every"] < 1:
        raise Misconfigured(f"{path}: [parts] is not 0 ≤ from < split < 1, every ≥ 1")
    return FittingPlan(
        first_half=tables["first_half"],
        start=parts["from"],
        split=parts["split"],
        every=parts["every"],
        cuts=tuple(attacks["cuts"]),
        seeds=tuple(attacks["seeds"]),
        margin=attacks["margin"],
        weights=tables["weights"],
        limits=tables["limits"],
        numbers=_ranges(path, tables["numbers"]),
    )


def _ranges(path: Path, told: Mapping[str, Any]) -> dict[str, Range]:
    found = {}
    for name, ends in told.items():
        if name not in Model.__struct_fields__ or name == "id":
            raise Misconfigured(f"{path}: the model has no number {name}")
        whole = isinstance(ends, list) and all(type(each) is int for each in ends)
        if not whole or len(ends) != 3 or not 0 <= ends[0] < ends[1] or ends[2] < 1:
            raise Misconfigured(f"{path}: {name} is not [low, high, step] in whole numbers")
        found[name] = Range(*ends)
    return found


def read_halves(plan: FittingPlan, root: Path | None = None) -> list[DataSet]:
    """The first half of each set of the plan.

    Raises:
        Misconfigured: a set is not there, not in order of time, or shorter than is written down.
    """
    halves = []
    for name, events in plan.first_half.items():
        found = [each for each in sets_of(name, root or data_root()) if each[0].name == name]
        if not found:
            raise Misconfigured(f"there is no mapping {name} in configs/evaluations")
        data = read_set(*found[0], events_max=events)
        if len(data.events) != events:
            raise Misconfigured(f"{name} has {len(data.events)} events; the half is {events}")
        halves.append(data)
    return halves
