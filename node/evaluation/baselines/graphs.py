"""Scores of the whole graph of ratings: Fairness-Goodness and EigenTrust. Both need all edges, so
they are fitted anew at the first question of a month only, from where the last fit ended.

    fga         goodness g(v) = mean of f(u)·w(u,v), fairness f(u) = 1 − mean |w(u,v) − g(v)| / 2
                                                                      (Kumar et al., ICDM 2016)
    eigentrust  t = (1 − a)·Cᵀt + a·e, C the rows of max(0, Σ w(u,v)) normed, e even over the
                verified ones (over all, if there are none), a = .15     (Kamvar et al., WWW 2003)

w is the grade, −1 … 1 (a result without grade: 1 or −1). Both are recalibrated.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log
from typing import Final

from node.evaluation.baselines.counting import Counting, Key, grade_of
from node.evaluation.baselines.recalibration import MONTH_MS, Recalibration
from node.evaluation.events import DataSet, Event
from node.evaluation.models import Expected

ROUNDS: Final = 4
JUMP: Final = 0.15
_FLOOR: Final = 1e-9


class GraphScore(Counting):
    """The edges so far, and a score for each node of them, fitted monthly."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self.edges: dict[tuple[Key, Key], float] = {}
        self._calibration = Recalibration()
        self._month = -1

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """The recalibrated score; no interval."""
        self._fit_monthly(as_of_ms)
        return self._calibration.at(self.score((platform, rated)), as_of_ms), None, None

    def learn(self, events: Sequence[Event]) -> None:
        """Learn what the scores were worth, then keep the edges."""
        for event in events:
            self._fit_monthly(event.time_ms)
            key = (event.platform, event.rated)
            self._calibration.learn(self.score(key), event.good, event.time_ms)
        for event in events:
            grade = grade_of(self.data, event)
            rater, rated = (event.platform, event.rater), (event.platform, event.rated)
            self.add(rater, rated, grade if event.good else grade or -1.0)

    def add(self, rater: Key, rated: Key, weight: float) -> None:
        """Keep an edge; several between two nodes add up."""
        self.edges[rater, rated] = self.edges.get((rater, rated), 0.0) + weight

    def settle(self, now_ms: int) -> None:
        """Fit now: what was learned since the month began counts at once."""
        self._month = now_ms // MONTH_MS
        self.fit()

    def score(self, key: Key) -> float | None:
        """The score of a node, or None where it has none."""
        raise NotImplementedError

    def fit(self) -> None:
        """Fit all scores to the edges."""
        raise NotImplementedError

    def _fit_monthly(self, now_ms: int) -> None:
        month = now_ms // MONTH_MS
        if month != self._month and self.edges:
            self._month = month
            self.fit()


class FairnessGoodness(GraphScore):
    """How good everybody is in the eyes of fair raters."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._sums: dict[Key, tuple[float, int]] = {}
        self._fairness: dict[Key, float] = {}

    def score(self, key: Key) -> float | None:
        """Goodness, −1 … 1."""
        total, count = self._sums.get(key, (0.0, 0))
        return total / count if count else None

    def add(self, rater: Key, rated: Key, weight: float) -> None:
        """Keep an edge, and let it count in the goodness."""
        super().add(rater, rated, weight)
        total, count = self._sums.get(rated, (0.0, 0))
        self._sums[rated] = (total + self._fairness.get(rater, 1.0) * weight, count + 1)

    def fit(self) -> None:
        """Goodness and fairness in turn."""
        edges = [(u, v, max(-1.0, min(1.0, weight))) for (u, v), weight in self.edges.items()]
        given = Counter(rater for rater, _, _ in edges)
        taken = Counter(rated for _, rated, _ in edges)
        fairness = self._fairness
        sums: dict[Key, float] = {}
        for _ in range(ROUNDS):
            sums = dict.fromkeys(taken, 0.0)
            for rater, rated, weight in edges:
                sums[rated] += fairness.get(rater, 1.0) * weight
            goodness = {key: total / taken[key] for key, total in sums.items()}
            offs = dict.fromkeys(given, 0.0)
            for rater, rated, weight in edges:
                offs[rater] += abs(weight - goodness[rated])
            fairness = {key: 1 - total / (2 * given[key]) for key, total in offs.items()}
        self._fairness = fairness
        self._sums = {key: (total, taken[key]) for key, total in sums.items()}


class EigenTrust(GraphScore):
    """The share of trust that flows to everybody."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._trust: dict[Key, float] = {}

    def score(self, key: Key) -> float | None:
        """ln of the trust relative to an even share, or None before the first fit."""
        trust = self._trust.get(key)
        return None if trust is None else log(max(_FLOOR, trust) * len(self._trust))

    def fit(self) -> None:
        """Rounds of the power iteration from the last trust."""
        nodes = {node for edge in self.edges for node in edge}
        given: defaultdict[Key, float] = defaultdict(float)
        positive = [(edge, weight) for edge, weight in self.edges.items() if weight > 0]
        for (rater, _), weight in positive:
            given[rater] += weight
        roots = [node for node in nodes if node[1] in self.data.verified] or list(nodes)
        trust = self._trust or dict.fromkeys(roots, 1 / len(roots))
        for _ in range(ROUNDS):
            following: dict[Key, float] = dict.fromkeys(nodes, 0.0)
            for (rater, rated), weight in positive:
                following[rated] += (1 - JUMP) * trust.get(rater, 0.0) * weight / given[rater]
            lost = 1 - sum(following.values())  # the jump, and the trust of those who rate nobody
            for root in sorted(roots):
                following[root] += lost / len(roots)
            trust = following
        self._trust = trust
