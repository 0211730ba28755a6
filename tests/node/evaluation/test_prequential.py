"""The protocol: nothing is known of an event before it is predicted."""

import pytest

from node.evaluation.baselines import BASELINES, baselines_of
from node.evaluation.baselines.counting import BetaCount, SmoothedShare
from node.evaluation.events import PARTS, batches
from node.evaluation.measures import auc
from node.evaluation.prequential import predict
from tests.node.evaluation.made import START_MS, data_of, event, market


class Spy:
    """Predicts nothing, and writes down what it is told."""

    def __init__(self):
        self.told = []

    def foresee(self, events, now_ms):
        self.told.append(("foresee", [each.place for each in events], now_ms))

    def expect(self, platform, rated, as_of_ms):
        assert platform == 1
        self.told.append(("expect", rated, as_of_ms))
        return 0.5, None, None

    def learn(self, events):
        self.told.append(("learn", [each.place for each in events]))

    def settle(self, now_ms):
        self.told.append(("settle", now_ms))

    def branch(self):
        return self


def test_equal_times_are_predicted_together_before_any_is_learned():
    events = [event(n, f"w{n}", time_ms=START_MS + (n // 2) * 10) for n in range(8)]
    spy = Spy()
    predict(data_of(events), {"spy": spy})
    after = spy.told[spy.told.index(("learn", [2, 3])) :]
    assert after == [
        ("learn", [2, 3]),
        ("foresee", [4, 5], START_MS + 10),
        ("expect", "w4", START_MS + 20),
        ("expect", "w5", START_MS + 20),
        ("learn", [4, 5]),
        ("foresee", [6, 7], START_MS + 20),
        ("expect", "w6", START_MS + 30),
        ("expect", "w7", START_MS + 30),
        ("learn", [6, 7]),
    ]


def test_the_part_to_fit_by_never_sees_the_test_half():
    events = [event(n, "w", good=n < 50) for n in range(100)]
    spy = Spy()
    made = predict(data_of(events), {"spy": spy}, "fit")["spy"]
    assert len(made) == 40
    assert ("learn", [49]) in spy.told
    assert not any(told == ("learn", [50]) for told in spy.told)
    assert all(each.ahead == each.ahead_good for each in made)  # nothing behind the part is seen
    assert made[-1].ahead == 1
    assert PARTS["test"][0] >= PARTS["fit"][1]


def test_earlier_ones_and_those_ahead_are_counted():
    events = [event(n, "w", good=n % 2 == 0) for n in range(24)]
    made = predict(data_of(events), {"spy": Spy()})["spy"]
    assert [each.earlier for each in made] == list(range(12, 24))
    assert (made[0].ahead, made[0].ahead_good) == (10, 5)
    assert (made[-1].ahead, made[-1].ahead_good) == (1, 0)


def test_a_visit_is_made_before_its_place():
    spy = Spy()
    events = [event(n, f"w{n}") for n in range(20)]
    seen = []
    visits = [(14, lambda models, now_ms: seen.append((len(models["spy"].told), now_ms)))]
    predict(data_of(events), {"spy": spy}, visits=visits)
    ((told, now_ms),) = seen
    assert spy.told[told - 1] == ("learn", [13])
    assert now_ms == events[13].time_ms


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_tells_good_from_bad(name):
    data = market(1_200)
    made = predict(data, {name: BASELINES[name](data)})[name]
    assert len(made) == 600
    assert all(0 <= each.probability <= 1 for each in made)
    assert auc(made) > 0.75


@pytest.mark.parametrize("name", BASELINES)
def test_a_branch_of_a_baseline_goes_on_by_itself(name):
    data = market(400)
    model = BASELINES[name](data)
    for batch in batches(data.events):
        model.foresee(batch, batch[0].time_ms)
        model.learn(batch)
    end_ms = data.events[-1].time_ms
    model.settle(end_ms)
    before = model.expect(1, "c1", end_ms)
    branch = model.branch()
    branch.learn([event(500 + n, "c1", f"c{n}", good=False, grade=0) for n in range(2, 12)])
    branch.settle(end_ms)
    assert branch.expect(1, "c1", end_ms) != before
    assert model.expect(1, "c1", end_ms) == before


def test_counted_by_hand():
    data = data_of([event(0), event(1, good=False), event(2)])
    share, beta = SmoothedShare(data), BetaCount(data)
    for model in (share, beta):
        model.learn(data.events)
    assert share.expect(1, "w", 0)[0] == pytest.approx(2.5 / 4)
    assert beta.expect(1, "w", 0)[0] == pytest.approx(3 / 5)


def test_baselines_of_raters_need_raters():
    data = data_of([event(0)], basis="platform", scale=None)
    assert {"fga", "eigentrust", "rater-weighted-beta"}.isdisjoint(baselines_of(data))
