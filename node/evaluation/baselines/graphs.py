"""Scores of the whole graph of ratings: Fairness-Goodness and EigenTrust. Both need all edges, so
they are fitted anew at the first question of a month only, from where the last fit ended.

    fga         goodness g(v) = mean of f(u)·w(u,v), fairness f(u) = 1 − mean |w(u,v) − g(v)| / 2
                                                                      (Kumar et al., ICDM 2016)
    eigentrust  t = (1 − a)·Cᵀt + a·e, C the rows of max(0, Σ w(u,v)) normed, e even over the
                verified ones (over all, if there are none), a = .15     (Kamvar et al., WWW 2003)

w is the grade, −1 … 1 (a result without grade: 1 or −1). Both are recalibrated.
"""

from abc import ABC, abstractmethod
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


class GraphScore(Counting, ABC):
    """The edges so far between numbered nodes, and a score for each node, fitted monthly."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self.nodes: dict[Key, int] = {}
        self.edges: dict[tuple[int, int], float] = {}
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
            rater = self._node((event.platform, event.rater))
            rated = self._node((event.platform, event.rated))
            self.add(rater, rated, grade if event.good else grade or -1.0)

    def settle(self, now_ms: int) -> None:
        """Fit now: what was learned since the month began counts at once."""
        self._month = now_ms // MONTH_MS
        self.fit()

    def add(self, rater: int, rated: int, weight: float) -> None:
        """Keep an edge; several between two nodes add up."""
        self.edges[rater, rated] = self.edges.get((rater, rated), 0.0) + weight

    @abstractmethod
    def score(self, key: Key) -> float | None:
        """The score of a node, or None where it has none."""

    @abstractmethod
    def fit(self) -> None:
        """Fit all scores to the edges."""

    def _node(self, key: Key) -> int:
        return self.nodes.setdefault(key, len(self.nodes))

    def _fit_monthly(self, now_ms: int) -> None:
        month = now_ms // MONTH_MS
        if month != self._month and self.edges:
            self._month = month
            self.fit()


class FairnessGoodness(GraphScore):
    """How good everybody is in the eyes of fair raters."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._sums: dict[int, tuple[float, int]] = {}
        self._fairness: list[float] = []

    def score(self, key: Key) -> float | None:
        """Goodness, −1 … 1."""
        node = self.nodes.get(key)
        total, count = (0.0, 0) if node is None else self._sums.get(node, (0.0, 0))
        return total / count if count else None

    def add(self, rater: int, rated: int, weight: float) -> None:
        """Keep an edge, and let it count in the goodness."""
        super().add(rater, rated, weight)
        total, count = self._sums.get(rated, (0.0, 0))
        fair = self._fairness[rater] if rater < len(self._fairness) else 1.0
        self._sums[rated] = (total + fair * weight, count + 1)

    def fit(self) -> None:
        """Goodness and fairness in turn."""
        edges = [(u, v, max(-1.0, min(1.0, weight))) for (u, v), weight in self.edges.items()]
        count = len(self.nodes)
        given, taken = [0] * count, [0] * count
        for rater, rated, _ in edges:
            given[rater] += 1
            taken[rated] += 1
        fairness = self._fairness + [1.0] * (count - len(self._fairness))
        sums: list[float] = []
        for _ in range(ROUNDS):
            sums = [0.0] * count
            for rater, rated, weight in edges:
                sums[rated] += fairness[rater] * weight
            goodness = [total / (n or 1) for total, n in zip(sums, taken, strict=True)]
            offs = [0.0] * count
            for rater, rated, weight in edges:
                offs[rater] += abs(weight - goodness[rated])
            fairness = [1 - off / (2 * (n or 1)) for off, n in zip(offs, given, strict=True)]
        self._fairness = fairness
        self._sums = {node: (sums[node], n) for node, n in enumerate(taken) if n}


class EigenTrust(GraphScore):
    """The share of trust that flows to everybody."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._trust: list[float] = []

    def score(self, key: Key) -> float | None:
        """ln of the trust relative to an even share, or None before the first fit."""
        node = self.nodes.get(key)
        if node is None or node >= len(self._trust):
            return None
        return log(max(_FLOOR, self._trust[node]) * len(self._trust))

    def fit(self) -> None:
        """Rounds of the power iteration from the last trust."""
        count = len(self.nodes)
        given = [0.0] * count
        for (rater, _), weight in self.edges.items():
            given[rater] += max(0.0, weight)
        flows = [(u, v, (1 - JUMP) * w / given[u]) for (u, v), w in self.edges.items() if w > 0]
        verified = self.data.verified
        roots = [node for key, node in self.nodes.items() if key[1] in verified]
        roots = roots or list(range(count))
        trust = self._trust + [0.0] * (count - len(self._trust))
        if not self._trust:
            for root in roots:
                trust[root] = 1 / len(roots)
        for _ in range(ROUNDS):
            following = [0.0] * count
            for rater, rated, share in flows:
                following[rated] += trust[rater] * share
            lost = 1 - sum(following)  # the jump, and the trust of those who rate nobody
            for root in roots:
                following[root] += lost / len(roots)
            trust = following
        self._trust = trust
