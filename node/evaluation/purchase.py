"""What points cost: a seeded search for the cheapest way to buy 50 of them for a bad worker.

A *purchase* is a number of fake accounts, the genuine good deals that each of them has first, a
number of established accomplices, how often each of them praises the target, and over how many
days all is spread. It is carried out through records, behind the scene's history, for one target;
what it gains is the target's points at its end, with it less without it.

The cost model, in units of one fake account opened:

    account 1    fake deal 0.1    genuine deal 5    accomplice won over 20    week 1

The weeks are those of the praise and, before it, of the fakes' genuine deals, one a week.

The search tries each means alone, the cheapest first, then draws purchases, then changes the best
one in single parts; what gains enough is better the cheaper it is, what does not is better the more
it gains. What is not cheaper than one that gains enough is not tried. Equal seeds, equal searches.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from node.evaluation.attacks import play
from node.evaluation.models import Standing
from node.evaluation.scene import Scene, Script, Who

WANTED_POINTS: Final = 50
COSTS: Final = {
    "account": 1.0,
    "fake_deal": 0.1,
    "genuine_deal": 5.0,
    "accomplice": 20.0,
    "week": 1.0,
}
FAKES: Final = (0, 1, 2, 3, 5, 8, 12, 20, 40, 80, 150, 300)
GENUINE: Final = (0, 1, 2, 3, 4, 6, 8, 10, 12)
ACCOMPLICES: Final = (0, 1, 2, 3, 4, 5)
PRAISES: Final = (1, 2, 3, 5, 10)
DAYS: Final = (1, 7, 28, 84, 168)
DRAWS_PER_TRY: Final = 50
"""A purchase that is drawn again, or is too dear, is no try."""
HONEST_DEALS_MAX: Final = 40
HONEST_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Purchase:
    """One way to buy points."""

    fakes: int
    genuine: int
    accomplices: int
    praises: int
    days: int

    @property
    def cost(self) -> float:
        """By the cost model."""
        accounts = self.fakes * (COSTS["account"] + self.genuine * COSTS["genuine_deal"])
        deals = (self.fakes + self.accomplices * self.praises) * COSTS["fake_deal"]
        bribes = self.accomplices * COSTS["accomplice"]
        return accounts + deals + bribes + self.weeks * COSTS["week"]

    @property
    def weeks(self) -> float:
        """How long it takes: the fakes' genuine deals first."""
        return (self.genuine if self.fakes else 0) + self.days / 7

    @property
    def plain(self) -> "Purchase":
        """The same without what does nothing: deals of no fakes, praises by no accomplices."""
        genuine = self.genuine if self.fakes else 0
        praises = self.praises if self.accomplices else PRAISES[0]
        return replace(self, genuine=genuine, praises=praises)


ALONE: Final = (
    *(Purchase(0, 0, count, praises, 7) for count in (1, 2, 3, 5) for praises in (1, 3)),
    *(Purchase(count, 0, 0, 1, 1) for count in (1, 5, 20)),
    *(Purchase(1, deals, 0, 1, 1) for deals in (2, 6, 10)),
)
"""Each means alone: accomplices, empty fakes, a fake with genuine deals."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A purchase and what it gained."""

    purchase: Purchase
    points: float

    @property
    def is_enough(self) -> bool:
        """Whether it gains what is wanted."""
        return self.points >= WANTED_POINTS

    def beats(self, other: "Tried") -> bool:
        """Whether it is the better purchase."""
        if self.is_enough != other.is_enough:
            return self.is_enough
        if self.is_enough:
            return self.purchase.cost < other.purchase.cost
        return self.points > other.points


Try = Callable[[Purchase], Tried]
Progress = Callable[[float], None]


def search(attempt: Try, seed: int, tries: int, on_progress: Progress) -> Tried:
    """The best purchase found in so many tries (at least one)."""
    draw = random.Random(seed)  # noqa: S311 - a search, not a secret
    known: set[Purchase] = set()
    best: Tried | None = None
    alone = sorted(ALONE, key=lambda each: each.cost)
    for nth in range(DRAWS_PER_TRY * tries):
        half = len(known) < tries // 2
        if nth < len(alone):
            purchase = alone[nth]
        else:
            purchase = _drawn(draw) if half or best is None else _changed(draw, best.purchase)
        if purchase in known or not _may_be_better(purchase, best):
            continue
        known.add(purchase)
        found = attempt(purchase)
        if best is None or found.beats(best):
            best = found
        on_progress(len(known) / (tries + 1))
        if len(known) >= tries:
            break
    return best or attempt(alone[0])


def _may_be_better(purchase: Purchase, best: Tried | None) -> bool:
    """Whether it does anything, and costs less than what is enough already."""
    does = purchase.fakes > 0 or purchase.accomplices > 0
    return does and (best is None or not best.is_enough or purchase.cost < best.purchase.cost)


def _drawn(draw: random.Random) -> Purchase:
    parts = (FAKES, GENUINE, ACCOMPLICES, PRAISES, DAYS)
    return Purchase(*(draw.choice(each) for each in parts)).plain


def _changed(draw: random.Random, purchase: Purchase) -> Purchase:
    """One or two parts a step up or down."""
    parts: dict[str, tuple[int, ...]] = {
        "fakes": FAKES,
        "genuine": GENUINE,
        "accomplices": ACCOMPLICES,
        "praises": PRAISES,
        "days": DAYS,
    }
    changes = {}
    for name in draw.sample(sorted(parts), draw.choice((1, 2))):
        values = parts[name]
        at = values.index(getattr(purchase, name)) + draw.choice((-1, 1))
        changes[name] = values[min(len(values) - 1, max(0, at))]
    return replace(purchase, **changes).plain


class Market:
    """Where purchases are tried: the node's own model with the history learned and settled."""

    def __init__(self, model: Standing, scene: Scene, target: Who, seed: int) -> None:
        self._model = model
        self._scene = scene
        self._target = target
        self._seed = seed

    def attempt(self, purchase: Purchase) -> Tried:
        """Carry a purchase out on a branch of its own."""
        script = Script(self._scene, self._seed)
        fakes = script.fakes(purchase.fakes)
        platform = self._target[0]
        praised_from = 7.0 * purchase.genuine
        for nth, name in enumerate(fakes):
            genuine = min(purchase.genuine, len(self._scene.established))
            for step, (_, honest) in enumerate(
                script.draw.sample(self._scene.established, genuine)
            ):
                script.deal(honest, (platform, name), 7.0 * step + nth / len(fakes), good=True)
            share = nth / len(fakes)
            script.deal(name, self._target, praised_from + purchase.days * share, good=True)
        for nth, (_, name) in enumerate(self._scene.established[: purchase.accomplices]):
            for praise in range(purchase.praises):
                day = purchase.days * (praise + nth / 10) / purchase.praises
                script.deal(name, self._target, praised_from + day, good=True)
        return Tried(purchase, self._gain(script))

    def honest_deals(self) -> int | None:
        """How many genuine good deals, a week apart, each with another established counterparty,
        gain as much; None if more than HONEST_DEALS_MAX."""
        for count in range(1, HONEST_DEALS_MAX + 1):
            script = Script(self._scene, self._seed)
            for nth, (_, name) in enumerate(self._scene.established[:count]):
                script.deal(name, self._target, HONEST_DAYS * nth, good=True)
            if self._gain(script) >= WANTED_POINTS:
                return count
        return None

    def _gain(self, script: Script) -> float:
        events = script.events()
        if not events:
            return 0.0
        end_ms = events[-1].time_ms + 1
        branch = self._model.branch()
        play(branch, events, self._scene.now_ms)
        branch.settle(end_ms)
        return self._points(branch, end_ms) - self._points(self._model, end_ms)

    def _points(self, model: Standing, as_of_ms: int) -> int:
        told = model.course.ask(*self._target, as_of_ms)
        assert told.points is not None, "without a thin-file line nothing is thin"
        return told.points


def told_of(best: Tried, honest: int | None) -> dict[str, Any]:
    """A search's end as figures."""
    return {
        "wanted_points": WANTED_POINTS,
        "reached": best.is_enough,
        "purchase": asdict(best.purchase),
        "points": best.points,
        "cost": round(best.purchase.cost, 2),
        "cost_per_point": round(best.purchase.cost / best.points, 3) if best.points > 0 else None,
        "cost_model": COSTS,
        "honest_deals": honest,
        "honest_cost": None if honest is None else honest * COSTS["genuine_deal"] + honest,
    }
