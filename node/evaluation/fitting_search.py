"""A seeded local search over the model's numbers: one to three of them moved at a time.

The n-th candidate depends on the seed, on n, and on the best one so far, nothing else: it moves a
few numbers of the best by one to four steps each, or, where the last move was kept, makes that move
again. Every candidate is a line of the log, which is only ever added to; a search that is begun
again on its log goes on where that ends.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from ledger.bureau.model import Model, check_model
from ledger.errors import InvalidInput, Malformed, Misconfigured
from node.evaluation.fitting_objective import Objective, Parts
from node.evaluation.fitting_plan import Range

_SIZES: Final = (1, 1, 2, 3)
_STEPS: Final = (1, 1, 2, 4)
_DRAWS_MAX: Final = 200
_GAIN_MIN: Final = 0.00002
"""A candidate is kept if its total is lower by more: what is less is chance."""

Numbers = dict[str, int]
"""Numbers of a model by their names."""
Told = Callable[["Candidate"], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate: which it is, what it changes in the first one, what came of it."""

    nth: int
    changes: Numbers
    parts: Mapping[str, Any]
    kept: bool


@dataclass(slots=True)
class Search:
    """A search under way. `kept`: the first model, then what was better than all before it."""

    objective: Objective
    first: Model
    seed: int
    log: Path | None = None
    tried: int = 0
    kept: list[Candidate] = field(default_factory=list)
    _known: set[tuple[tuple[str, int], ...]] = field(default_factory=set)
    _move: Numbers = field(default_factory=dict)

    @property
    def best(self) -> Candidate:
        """The best candidate so far."""
        return self.kept[-1]

    def model(self, changes: Numbers) -> Model:
        """The model with these numbers."""
        return replace(self.first, **changes)

    def begin(self, on_candidate: Told = lambda _each: None) -> None:
        """Take up the log, or begin it with the first model.

        Raises:
            Misconfigured: the log is of another search.
        """
        lines = _lines_of(self.log)
        about = {"seed": self.seed, "first": _numbers_of(self.first), "plan": _plan_of(self)}
        if lines and lines[0] != about:
            raise Misconfigured(f"{self.log} is the log of another search; name another one")
        if not lines:
            self._write(about)
        for line in lines[1:]:
            self._take(Candidate(**line))
        if not self.kept:
            parts = self.objective.measure(self.first)
            self._end(Candidate(0, {}, parts.told(), kept=True), on_candidate)

    def step(self, on_candidate: Told = lambda _each: None) -> Candidate:
        """Try one more candidate."""
        changes = self._drawn()
        best = self.best.parts["total"] - _GAIN_MIN
        parts: Parts = self.objective.measure(self.model(changes), best)
        each = Candidate(self.tried, changes, parts.told(), kept=parts.total is not None)
        self._end(each, on_candidate)
        return each

    def _end(self, each: Candidate, on_candidate: Told) -> None:
        self._write(
            {
                "nth": each.nth,
                "changes": each.changes,
                "parts": dict(each.parts),
                "kept": each.kept,
            }
        )
        self._take(each)
        on_candidate(each)

    def _take(self, each: Candidate) -> None:
        self.tried = each.nth + 1
        self._known.add(tuple(sorted(each.changes.items())))
        if not each.kept:
            self._move = {}
            return
        if self.kept:
            self._move = _difference(self.best.changes, each.changes, self.first)
        self.kept.append(each)

    def _drawn(self) -> Numbers:
        """A candidate that has not been tried, and does not contradict itself."""
        draw = random.Random(f"{self.seed} {self.tried}")  # noqa: S311 - a search, not a secret
        again = self._moved(self._move) if self._move else None
        if again is not None:
            return again
        ranges = self.objective.plan.numbers
        for _ in range(_DRAWS_MAX):
            names = draw.sample(sorted(ranges), min(len(ranges), draw.choice(_SIZES)))
            move = {
                name: draw.choice((-1, 1)) * draw.choice(_STEPS) * ranges[name].step
                for name in names
            }
            found = self._moved(move)
            if found is not None:
                return found
        raise Misconfigured("nothing is left to try: widen the ranges")

    def _moved(self, move: Numbers) -> Numbers | None:
        """The best candidate with some numbers moved, or None where that is none or known."""
        changes, best = dict(self.best.changes), self.model(self.best.changes)
        for name, by in move.items():
            value = _held(self.objective.plan.numbers[name], getattr(best, name) + by)
            changes[name] = value
            if name == "severity_slope":
                changes["severity_cap"] = value
        changes = {n: v for n, v in changes.items() if v != getattr(self.first, n)}
        if tuple(sorted(changes.items())) in self._known:
            return None
        try:
            check_model(self.model(changes))
        except (Malformed, InvalidInput):
            return None
        return changes

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, sort_keys=True) + "\n")


def _held(ends: Range, value: int) -> int:
    return ends.moved(value, 0)


def _difference(before: Numbers, after: Numbers, first: Model) -> Numbers:
    """By how much each number that moved has moved (the severity's cap follows its slope)."""
    names = sorted({*before, *after} - {"severity_cap"})
    moved = {n: after.get(n, getattr(first, n)) - before.get(n, getattr(first, n)) for n in names}
    return {name: by for name, by in moved.items() if by}


def _numbers_of(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in Model.__struct_fields__}


def _plan_of(search: Search) -> str:
    """All of the plan that decides what comes out."""
    return repr(search.objective.plan)


def _lines_of(log: Path | None) -> list[dict[str, Any]]:
    """The whole lines of a log; what was cut off in its writing is none."""
    if log is None or not log.exists():
        return []
    text = log.read_text(encoding="utf-8")
    whole, _, rest = text.rpartition("\n")
    if rest:
        log.write_text(whole + "\n" if whole else "", encoding="utf-8")
    try:
        return [json.loads(line) for line in whole.split("\n") if line]
    except ValueError as error:
        raise Misconfigured(f"{log} is no log of a search: {error}") from error
