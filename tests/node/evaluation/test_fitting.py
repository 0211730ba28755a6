"""Fitting: the quick way is the same code, nothing of the test half is read, searches go on."""

import json
import tomllib
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed
from typer.testing import CliRunner

from ledger.bureau.model import FIRST_MODEL
from ledger.errors import Misconfigured
from node.evaluation import fitting
from node.evaluation.attacks import Effect, attacks_on, carry_out
from node.evaluation.fitting_course import DirectCourse
from node.evaluation.fitting_objective import Objective, excess_of
from node.evaluation.fitting_plan import CONFIG, load_plan, read_halves
from node.evaluation.fitting_search import Search
from node.evaluation.models import Standing
from node.evaluation.prequential import predict
from node.evaluation.reading import read_set, sets_of
from node.evaluation.scene import scene_of
from tests.node.evaluation.made import HOUR_MS, START_MS, data_of, event, market

MAPPING = """
[source]
file = "made.csv"
[event]
rated = "{rated}"
rater = "{rater}"
basis = "BASIS"
verified = ["c0"]
[time]
of = "{time}"
unit = "ms"
"""
RATING = """
[rating]
of = "{grade}"
low = 0
high = 20
middle = 10
good_from = 11
"""
OUTCOME = """
[outcome]
of = "{grade}"
good = ["1"]
bad = ["0"]
"""


def both(data, span, **other):
    """Predictions through records, and the quick ones."""
    quick = DirectCourse(data, changed(FIRST_MODEL, **other), asks_intervals=True)
    made = predict(data, {"a": Standing(data, changed(FIRST_MODEL, **other)), "b": quick}, span)
    return made["a"], made["b"]


def test_the_quick_way_is_what_comes_through_records():
    slow, quick = both(market(500), range(500))
    assert slow == quick
    assert len({each.probability for each in quick}) > 200


def test_the_same_on_the_platforms_own_word_and_of_equal_times():
    draw = market(300)
    events = [
        replace(each, grade=None, time_ms=START_MS + each.place // 7 * HOUR_MS, rater="requester")
        for each in draw.events
    ]
    slow, quick = both(data_of(events, basis="platform", scale=None), range(300))
    assert slow == quick


def test_the_same_on_two_platforms_and_with_another_model():
    events = [replace(each, platform=1 + each.place % 2) for each in market(300).events]
    data = data_of(events, platforms=("p", "q"))
    slow, quick = both(data, range(300), half_life_days=30, newcomer_window=20, offset_rate=9_000)
    assert slow == quick


def test_the_same_on_a_slice_of_real_data(data_dir):
    ((mapping, folder),) = sets_of("bitcoin-otc", data_dir)
    slow, quick = both(read_set(mapping, folder, events_max=900), range(300, 900))
    assert slow == quick


def test_attacks_do_the_same_to_both(few_fakes):
    data = market(600, people=60)
    scene = scene_of(data, 1)
    now_ms, found = scene.now_ms, []
    for model in (Standing(data, FIRST_MODEL), DirectCourse(data, FIRST_MODEL)):
        predict(data, {"": model}, range(scene.place, scene.place))
        model.settle(now_ms)
        made = [each for each in attacks_on(scene, 1) if "-30" not in each.name]
        before = [model.expect(*who, now_ms) for who in scene.good]
        found.append([carry_out(each, model, now_ms) for each in made])
        assert [model.expect(*who, now_ms) for who in scene.good] == before
    assert found[0] == found[1]
    assert len(found[0]) > 10


# --- a small plan on made-up sets ---


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A plan, and a folder of its two sets: one of ratings, one of the platform's word."""
    for name, basis, result in (("rated", "counterparty", RATING), ("told", "platform", OUTCOME)):
        text = MAPPING.replace("made.csv", f"{name}.csv").replace("BASIS", basis)
        (tmp_path / f"{name}.toml").write_text(text + result, encoding="utf-8")
    monkeypatch.setattr("node.evaluation.reading.MAPPINGS", tmp_path)
    rows = market(1_200, people=60).events
    _write(tmp_path / "rated.csv", [(e.rated, e.rater, e.time_ms, e.grade) for e in rows])
    _write(tmp_path / "told.csv", [(e.rated, "r", e.time_ms, int(e.good)) for e in rows[:400]])
    plan = CONFIG.read_text(encoding="utf-8")
    plan = plan[plan.index("[parts]") :].replace("seeds = [1, 2, 3]", "seeds = [1]")
    halves = "[first_half]\nrated = 600\ntold = 200\n"
    path = tmp_path / "plan" / "fitting.toml"
    path.parent.mkdir()
    path.write_text(halves + plan, encoding="utf-8")
    return path, tmp_path


def _write(path, rows):
    lines = ["rated,rater,time,grade", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(small, *arguments, code=0):
    plan, folder = small
    app = fitting.typer.Typer()
    app.command()(fitting.main)
    done = CliRunner().invoke(
        app, ["--plan", str(plan), "--data", str(folder), "--json", *arguments]
    )
    assert done.exit_code == code, done.output
    if code:
        return done.output
    found = json.loads(done.stdout)
    return {key: value for key, value in found.items() if key not in {"machine", "version"}}


@pytest.mark.usefixtures("few_fakes")
def test_what_stands_behind_the_first_half_changes_nothing(small):
    _, folder = small
    checked, found = run(small, "--check"), run(small, "--candidates", "3")
    assert len(found["kept"]) >= 1
    for name, events in (("rated", 600), ("told", 200)):
        path = folder / f"{name}.csv"
        lines = path.read_text(encoding="utf-8").splitlines()[: 1 + events]
        junk = ["c1,c2,1,99", "not a row at all", '"never closed', "\0"] * 50
        path.write_text("\n".join([*lines, *junk]) + "\n", encoding="utf-8")
    assert run(small, "--check") == checked
    assert run(small, "--candidates", "3") == found


@pytest.mark.usefixtures("few_fakes")
def test_a_search_that_was_broken_off_goes_on_as_if_it_had_not_been(small):
    _, folder = small
    whole = run(small, "--candidates", "5", "--log", str(folder / "whole.jsonl"))
    log = folder / "log.jsonl"
    run(small, "--candidates", "2", "--log", str(log))
    with log.open("a", encoding="utf-8") as file:
        file.write('{"nth": 3, "cut o')
    assert run(small, "--candidates", "3", "--log", str(log)) == whole
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines == (folder / "whole.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(each)["nth"] for each in lines[1:]] == list(range(6))
    told = run(small, "--candidates", "1", "--seed", "2", "--log", str(log), code=2)
    assert "log of another search" in told


@pytest.mark.usefixtures("few_fakes")
def test_what_is_kept_is_better_and_what_is_written_is_a_model(small):
    _, folder = small
    path = folder / "found.json"
    found = run(small, "--candidates", "8", "--write", str(path))
    totals = [each["total"] for each in found["kept"]]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == len(totals) > 1
    assert json.loads(path.read_text(encoding="utf-8")) == found["numbers"]
    changes = {k: v for k, v in found["numbers"].items() if k != "interval_weight"}
    assert run(small, "--check", "--model", str(path))["loss"] == found["kept"][-1]["loss"]
    assert changes == found["kept"][-1]["changes"]


def test_a_candidate_that_cannot_win_is_given_up(small):
    plan, folder = load_plan(small[0]), small[1]
    objective = Objective(plan, read_halves(plan, folder), FIRST_MODEL)
    parts = objective.measure(FIRST_MODEL, best=0.0)
    assert parts.total is None
    assert not parts.attacks
    assert not parts.crowd


def test_candidates_lie_in_their_ranges_and_are_never_tried_twice(small):
    plan, folder = load_plan(small[0]), small[1]

    class Blank(Objective):
        def measure(self, model, best=None):
            del model
            parts = super().measure(FIRST_MODEL, best=0.0) if best is None else self.first
            self.first = parts
            return replace(parts, total=1.0 if best is None else None)

    search = Search(Blank(plan, read_halves(plan, folder), FIRST_MODEL), FIRST_MODEL, 1)
    search.begin()
    seen = [search.step().changes for _ in range(300)]
    assert len({tuple(sorted(each.items())) for each in seen}) == 300
    for each in seen:
        for name, value in each.items():
            ends = plan.numbers["severity_slope" if name == "severity_cap" else name]
            assert ends.low <= value <= ends.high


def test_excess_is_what_lies_beyond_the_must_less_the_margin():
    effects = {
        "boost-20": Effect(0.1, 0.13),
        "bomb-20": Effect(0.9, 0.76),
        "bomb-300": Effect(0.9, 0.70),
        "self-dealing-5": Effect(0.1, 0.35),
        "idle-bad": Effect(0.3, 0.2),
        "whitewash": Effect(0.1, 0.9),
    }
    found = {name: round(value, 6) for name, value in excess_of(effects, 0.2).items()}
    assert found == {
        "boost-20": 0.0,
        "bomb-20": 0.02,
        "bomb-300": 0.08,
        "bomb flat": 0.044,
        "self-dealing-5": 0.09,
        "idle-bad": 0.08,
    }


# --- the plan in the repository ---


def test_first_halves_are_the_halves(data_dir):
    plan = load_plan()
    for name, events in plan.first_half.items():
        ((mapping, folder),) = [each for each in sets_of(name, data_dir) if each[0].name == name]
        data = read_set(mapping, folder)
        assert data.span("test").start == events
        assert read_set(mapping, folder, events_max=events).events == data.events[:events]


def test_every_number_in_use_lies_in_its_range():
    for name, ends in load_plan().numbers.items():
        assert ends.low <= getattr(FIRST_MODEL, name) <= ends.high, name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("numbers", {"half_lives": [1, 2, 1]}),
        ("numbers", {"half_life_days": [2, 1, 1]}),
        ("parts", {"from": 0.5, "split": 0.4, "every": 1}),
        ("weights", {"months": 1}),
        ("limits", {}),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(tmp_path, key, value):
    tables = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    tables[key] = value
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    path = tmp_path / "plan.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(Misconfigured):
        load_plan(path)


def test_the_first_events_only_are_read_in_order_of_time(tmp_path):
    (tmp_path / "m.toml").write_text(
        MAPPING.replace("BASIS", "platform") + OUTCOME, encoding="utf-8"
    )
    rows = [(f"w{n}", "r", START_MS + n, 1) for n in range(40)]
    _write(tmp_path / "made.csv", rows)
    ((mapping, folder),) = sets_of(str(tmp_path), None)
    assert len(read_set(mapping, folder, events_max=10).events) == 10
    _write(tmp_path / "made.csv", [*rows[:5], ("w9", "r", START_MS, 1), *rows[5:]])
    with pytest.raises(Misconfigured, match="order of time"):
        read_set(mapping, folder, events_max=10)
    assert len(read_set(mapping, folder).events) == 41


def test_an_event_of_nobody_known_is_a_newcomers():
    data = data_of([event(0)])
    assert DirectCourse(data, FIRST_MODEL).expect(1, "nobody", START_MS)[0] == pytest.approx(
        FIRST_MODEL.newcomer_rate / 65_536, abs=1e-4
    )
