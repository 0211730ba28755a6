"""The bureau's own functions over a set's events, without records: quick enough to fit numbers by.

What execution does to tallies, annotations and the offset (`ledger/execution.py`,
`ledger/tallies.py`), and what the score does with them (`ledger/bureau/score.py`), is done here by
the same functions of `ledger/bureau/` in the same order; left out are bytes, hashes, signatures and
the store, which move no score. A test compares the predictions with those that come through
records, bit for bit, before and during attacks. What that rests on: each engagement is of a worker
and a client of one platform and without links, over all work (no domain is asked about), and an
epoch is a block, as in `node/evaluation/course.py`.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from ledger.bureau.belief import Belief, believe
from ledger.bureau.evidence import Evidence
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.offset import (
    GIVEN_MAX_Q16,
    LATELY_MAX_Q16,
    Told,
    expected_q16,
    left_q16,
    moved_offset,
    offset_of,
    weight_lately_q16,
)
from ledger.bureau.prior import newcomer_rate
from ledger.bureau.reasons import basis_of
from ledger.bureau.score import interval_of
from ledger.bureau.standing import (
    NEW_PLATFORM,
    PlatformTally,
    RaterTally,
    after_outcome,
    after_rating,
    grade_of,
    new_rater,
    severity_excess,
    standing,
)
from ledger.bureau.weights import HOUR_MS, group
from node.evaluation.events import DataSet, Event

Who = tuple[int, str]
"""Platform and name."""

_STRANGER: Final = new_rater("none")
_VERIFIED: Final = new_rater("document")


@dataclass(frozen=True, slots=True)
class _Lately:
    """A worker's two sums of late (Q16), their hour, and how many results it has had."""

    good: int = 0
    bad: int = 0
    hour: int = 0
    results: int = 0


_NOTHING: Final = _Lately()


class DirectCourse:
    """One model under way through a set, as `node.evaluation.models.Standing` is, without records.

    `asks_intervals`: whether `expect` gives intervals, which take longer than all else.
    """

    def __init__(self, data: DataSet, model: Model, *, asks_intervals: bool = False) -> None:
        self.model = model
        self.asks_intervals = asks_intervals
        self._data = data
        self._time_ms = max(0, data.events[0].time_ms - 2) if data.events else 0
        self._waiting: list[Event] = []
        self._known: dict[int, int] = {}
        self._platforms: dict[int, PlatformTally] = {}
        self._raters: dict[Who, RaterTally] = {}
        self._given: dict[Who, tuple[int, int]] = {}
        self._lately: dict[Who, _Lately] = {}
        self._pairs: dict[tuple[int, str, str], tuple[int, int]] = {}
        self._pieces: dict[Who, list[Evidence]] = {}
        self._own: set[Who] = set()

    # --- the protocol of a forecast ---

    def foresee(self, events: Sequence[Event], now_ms: int) -> None:
        """Let what was told count, and know of the engagements to come."""
        self._execute(now_ms, events)

    def expect(
        self, platform: int, rated: str, as_of_ms: int
    ) -> tuple[float, float | None, float | None]:
        """The probability of the score, thin file or not, and its interval if asked for."""
        belief = self.believed(platform, rated, as_of_ms)
        probability = belief.probability_q16
        if not self.asks_intervals:
            return probability / Q16_ONE, None, None
        low, high = interval_of(belief, self.model)
        low, high = min(low, probability), max(high, probability)
        return probability / Q16_ONE, low / Q16_ONE, high / Q16_ONE

    def learn(self, events: Sequence[Event]) -> None:
        """Be told results; they count from the next block on."""
        self._waiting.extend(events)

    def settle(self, now_ms: int) -> None:
        """Let what was told count."""
        self._execute(now_ms, ())

    def branch(self) -> Self:
        """A course that begins where this one is; this one is not to go on before it has ended."""
        other = copy.copy(self)
        vars(other).update(
            _waiting=list(self._waiting),
            _known=dict(self._known),
            _platforms=dict(self._platforms),
            _raters=dict(self._raters),
            _given=dict(self._given),
            _lately=dict(self._lately),
            _pairs=dict(self._pairs),
            _pieces=dict(self._pieces),
            _own=set(),
        )
        return other

    # --- what is asked ---

    def believed(self, platform: int, rated: str, as_of_ms: int) -> Belief:
        """What the score makes its probability and its interval of."""
        model, tally = self.model, self._platforms.get(platform)
        pieces = self._pieces.get((platform, rated), ())
        groups = group(pieces, as_of_ms, model)
        rate, offset = newcomer_rate(tally, model), offset_of(tally)
        return believe(basis_of(groups.good, groups.bad, groups.last_word, rate, offset), model)

    # --- what happens ---

    def _execute(self, now_ms: int, opened: Iterable[Event]) -> None:
        """One block: the results told, then the opens."""
        opened = tuple(opened)
        if not self._waiting and not opened:
            return
        self._time_ms = max(now_ms, self._time_ms + 1)
        for event in self._waiting:
            self._result(event)
        self._waiting.clear()
        for event in opened:
            self._known[event.place] = self._time_ms

    def _result(self, event: Event) -> None:
        """An outcome and, where there is a grade, the rating behind it."""
        worker, client = (event.platform, event.rated), (event.platform, event.rater)
        pair = (event.platform, event.rater, event.rated)
        outcomes, ratings = self._pairs.get(pair, (0, 0))
        scale = self._data.scale
        rated = event.grade is not None and scale is not None
        self._pairs[pair] = outcomes + 1, ratings + rated
        word = standing(self._rater(client), self.model)
        in_hindsight = self._known.pop(event.place) >= event.time_ms
        given = self._given_by(client)
        attested = self._data.basis == "platform"
        told = Told(attested, word, outcomes + 1, given)
        self._outcome(event, worker, told, in_hindsight=in_hindsight)
        grade = 0
        if event.grade is not None and scale is not None:
            grade = grade_of(scale, event.grade)
            told = Told(False, word, ratings + 1, given)
            self._rating(worker, client, grade, told, in_hindsight=in_hindsight)
        self._keep(event, worker, (word, outcomes + 1, ratings + rated), grade, in_hindsight)

    def _outcome(self, event: Event, worker: Who, told: Told, *, in_hindsight: bool) -> None:
        sign = 1 if event.good else -1
        tally = self._platforms.get(event.platform, NEW_PLATFORM)
        offset = tally.offset_strong, tally.offset_other
        lately = self._lately.get(worker, _NOTHING)
        if not in_hindsight:
            lately = self._faded(lately)
            if lately.results >= self.model.newcomer_results:
                expected = expected_q16(lately.good, lately.bad, tally, self.model)
                offset = moved_offset(tally, sign, expected, told, self.model)
            lately = _added(lately, sign, weight_lately_q16(told, self.model))
        self._platforms[event.platform] = after_outcome(
            tally,
            sign,
            earlier_results=lately.results,
            attested=told.attested,
            client_standing=told.standing_q16,
            offset=offset,
            model=self.model,
        )
        self._lately[worker] = _Lately(lately.good, lately.bad, lately.hour, lately.results + 1)

    def _rating(
        self, worker: Who, client: Who, grade: int, told: Told, *, in_hindsight: bool
    ) -> None:
        model = self.model
        if grade:
            rated = self._rater(worker)
            self._raters[worker] = after_rating(
                rated, grade, told.standing_q16, told.given_q16, model
            )
        if grade < 0 and not in_hindsight:
            weight = weight_lately_q16(told, model) * severity_excess(grade, model) >> 16
            self._lately[worker] = _added(self._faded(self._lately[worker]), -1, weight)
        self._given[client] = (
            min(GIVEN_MAX_Q16, told.given_q16 + Q16_ONE),
            self._time_ms // HOUR_MS,
        )

    def _keep(
        self,
        event: Event,
        worker: Who,
        word: tuple[int, int, int],
        grade: int,
        in_hindsight: bool,
    ) -> None:
        """The piece of evidence that the file's entries fold into. `word`: the client's standing,
        and which of the pair's outcomes and ratings this is."""
        pieces = self._pieces.get(worker, [])
        if worker not in self._own:
            pieces = list(pieces)
            self._pieces[worker] = pieces
            self._own.add(worker)
        has_rating = event.grade is not None and self._data.scale is not None
        pieces.append(
            Evidence(
                sign=1 if event.good else -1,
                at=event.time_ms,
                attested=self._data.basis == "platform",
                standing_q16=word[0],
                pair_count=word[1],
                excess_q16=0 if event.good else severity_excess(grade, self.model),
                excess_standing_q16=word[0],
                excess_pair_count=word[2] if has_rating else word[1],
                retrospective=in_hindsight,
                elsewhere=False,
                nearness="on",
            )
        )

    def _rater(self, who: Who) -> RaterTally:
        tally = self._raters.get(who)
        if tally is None:
            return _VERIFIED if who[1] in self._data.verified else _STRANGER
        return tally

    def _given_by(self, client: Who) -> int:
        given, hour = self._given.get(client, (0, 0))
        days = self.model.given_half_life_days
        return left_q16(given, self._time_ms // HOUR_MS - hour, days)

    def _faded(self, lately: _Lately) -> _Lately:
        hour = self._time_ms // HOUR_MS
        hours, days = hour - lately.hour, self.model.offset_half_life_days
        if not hours:
            return lately
        good, bad = left_q16(lately.good, hours, days), left_q16(lately.bad, hours, days)
        return _Lately(good, bad, hour, lately.results)


def _added(lately: _Lately, sign: int, weight: int) -> _Lately:
    good, bad = lately.good, lately.bad
    if sign > 0:
        good = min(LATELY_MAX_Q16, good + weight)
    else:
        bad = min(LATELY_MAX_Q16, bad + weight)
    return _Lately(good, bad, lately.hour, lately.results)
