"""Attacks: what they consist of, and that their effect is measured as said."""

from collections import Counter

import pytest

from ledger.bureau.model import FIRST_MODEL
from node.evaluation.attack_table import attack_all, checks_of, figures_of_tables
from node.evaluation.attacks import Effect, attacks_on, carry_out
from node.evaluation.baselines.counting import SmoothedShare
from node.evaluation.events import batches
from node.evaluation.models import Standing
from node.evaluation.scene import DAY_MS, scene_of
from tests.node.evaluation.made import data_of, event, market


@pytest.fixture(scope="module")
def data():
    return market(1_500, people=60)


@pytest.fixture(scope="module")
def scene(data):
    found = scene_of(data, 1)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def attacks(scene):
    return {each.name: each for each in attacks_on(scene, 1)}


def learned(data, scene, model):
    now_ms = data.events[0].time_ms - 1
    for batch in batches(data.events[: scene.place]):
        model.foresee(batch, now_ms)
        model.learn(batch)
        now_ms = batch[0].time_ms
    model.settle(now_ms)
    return model


def test_targets_are_whom_the_history_qualifies(data, scene):
    assert scene.place == int(len(data.events) * 0.7)
    past = Counter()
    for each in data.events[: scene.place]:
        past[each.rated, each.good] += 1
    assert len(scene.bad) == len(scene.good) == 5
    for _, name in scene.bad:
        assert past[name, True] <= 0.3 * (past[name, True] + past[name, False])
    for _, name in (*scene.good, *scene.established):
        assert past[name, True] >= 0.95 * (past[name, True] + past[name, False])
    assert not set(scene.good) & set(scene.established)


def test_equal_seeds_draw_equal_scenes_and_scripts(data, scene, attacks):
    assert scene_of(data, 1) == scene
    assert scene_of(data, 2) != scene
    assert {each.name: each for each in attacks_on(scene, 1)} == attacks


def test_names_carry_their_size(attacks):
    for kind in ("boost", "ring", "infiltrated", "drip", "bomb", "ring-bomb"):
        for count in (20, 300):
            attack = attacks[f"{kind}-{count}"]
            struck = [each for each in attack.events if (1, each.rated) in attack.targets]
            strikers = {each.rater for each in struck if each.rater.startswith("fake")}
            assert len(strikers) == count
            assert len([each for each in struck if each.rater in strikers]) == 5 * count


def test_all_events_lie_behind_the_history_and_before_the_end(scene, attacks):
    for attack in attacks.values():
        times = [each.time_ms for each in attack.events]
        assert times == sorted(times)
        assert all(scene.now_ms < time < attack.end_ms for time in times)
        places = [each.place for each in attack.events]
        assert len(set(places)) == len(places)


def test_what_each_kind_does(scene, attacks):
    assert all(each.good and each.grade == 20 for each in attacks["boost-20"].events)
    assert all(not each.good and each.grade == 0 for each in attacks["bomb-20"].events)
    drip = attacks["drip-20"].events
    assert drip[-1].time_ms - drip[0].time_ms > 100 * DAY_MS
    ring = Counter(
        (each.rater.startswith("fake"), each.rated.startswith("fake"))
        for each in attacks["ring-20"].events
    )
    assert ring[True, True] == 20 * 5
    genuine = Counter(
        each.rated for each in attacks["infiltrated-20"].events if each.rated.startswith("fake")
    )
    assert set(genuine.values()) == {3}
    for count in (1, 2, 3, 5):
        dealt = Counter(
            (each.rater, each.rated) for each in attacks[f"self-dealing-{count}"].events
        )
        assert len(dealt) == 5 * count
        assert set(dealt.values()) == {10}
    assert attacks["idle-bad"].end_ms - scene.now_ms == 730 * DAY_MS
    assert not set(attacks["whitewash"].renamed) & set(scene.bad)


def test_a_share_is_bought_by_fakes_and_lost_to_them(data, scene, attacks):
    model = learned(data, scene, SmoothedShare(data))
    small = carry_out(attacks["boost-20"], model, scene.now_ms)
    large = carry_out(attacks["boost-300"], model, scene.now_ms)
    assert small.before == large.before < 0.2
    assert small.before + 0.2 < small.after < large.after
    assert carry_out(attacks["bomb-300"], model, scene.now_ms).after < 0.2


def test_the_nodes_own_model_is_attacked_through_records(data, scene, attacks):
    model = learned(data, scene, Standing(data, FIRST_MODEL))
    records = model.course.records
    chosen = [attacks[name] for name in ("boost-20", "bomb-20", "whitewash", "idle-bad")]
    table = attack_all({"standing": model}, chosen, scene.now_ms)
    assert model.course.records == records
    boost = table["boost-20"]["standing"]
    assert boost.after > boost.before
    assert table["bomb-20"]["standing"].after < table["bomb-20"]["standing"].before
    idle = table["idle-bad"]["standing"]
    assert idle.before == pytest.approx(boost.before, abs=0.02)
    assert table["whitewash"]["standing"].after > 0.5


def test_checks_say_what_passes():
    table = {
        "boost-20": {"standing": Effect(0.10, 0.14)},
        "boost-300": {"standing": Effect(0.10, 0.19)},
        "bomb-20": {"standing": Effect(0.95, 0.90)},
        "self-dealing-5": {"standing": Effect(0.1, 0.4)},
        "idle-bad": {"standing": Effect(0.1, 0.16)},
    }
    met = {check.name: (check.met, check.aim_met) for check in checks_of(table)}
    assert met == {
        "boost-20 raises by": (True, False),
        "boost-300 raises by": (False, False),
        "boost flat, 20 to 300": (False, None),
        "bomb-20 moves by": (True, True),
        "self-dealing-5 raises by": (False, False),
        "idle-bad is at": (False, None),
    }
    assert figures_of_tables([table])["boost-20"]["standing"] == {"before": 0.1, "after": 0.14}


def test_without_raters_or_targets_there_is_no_scene():
    assert scene_of(data_of([event(n, f"w{n}") for n in range(50)]), 1) is None
    assert scene_of(data_of([event(0)], basis="platform", scale=None), 1) is None
