"""Events through real records: the harness asks what a node would answer."""

import pytest

from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import encode
from node.evaluation.course import Course
from node.evaluation.events import batches
from node.evaluation.ground import handle_of, load_model, parameters_of
from node.evaluation.models import Standing
from node.evaluation.reading import read_set, sets_of
from tests.node.evaluation.made import HOUR_MS, START_MS, data_of, event, market


def course_of(data, upto=None):
    course = Course(data, parameters_of(FIRST_MODEL, data))
    now_ms = data.events[0].time_ms - 1
    for batch in batches(data.events[:upto]):
        course.open(batch, now_ms)
        course.execute(now_ms)
        now_ms = batch[0].time_ms
        course.close(batch)
    course.execute(now_ms)
    return course


def test_the_answer_is_the_one_that_a_node_reads_from_its_store():
    data = market(300)
    course = course_of(data)
    for name in {each.rated for each in data.events}:
        told = course.ask(1, name, course.state.time)
        assert encode(told) == encode(course.answer_from_store(1, name, course.state.time))


def test_the_same_on_a_slice_of_real_data(data_dir):
    ((mapping, folder),) = sets_of("bitcoin-otc", data_dir)
    data = read_set(mapping, folder)
    course = course_of(data, 600)
    names = sorted({each.rated for each in data.events[:600]})[:60]
    for name in names:
        told = course.ask(1, name, course.state.time)
        assert encode(told) == encode(course.answer_from_store(1, name, course.state.time))


def test_nothing_is_opened_in_hindsight():
    data = market(120)
    course = course_of(data)
    answers = [course.ask(1, f"c{nth}", course.state.time) for nth in range(40)]
    assert sum(each.evidence.good + each.evidence.bad for each in answers) == 120
    assert all(each.evidence.retrospective == 0 for each in answers)


def test_results_count_by_their_sign():
    data = data_of([event(0, good=True, grade=20), event(1, rater="d", good=False, grade=0)])
    counts = course_of(data).ask(1, "w", data.events[-1].time_ms).evidence
    assert (counts.good, counts.bad, counts.engagements) == (1, 1, 2)


def test_equal_times_are_one_block_and_very_many_are_several():
    events = [event(n, f"w{n}", time_ms=START_MS) for n in range(2_500)]
    course = course_of(data_of(events))
    assert course.records == 2_501 + 3 * 2_500 - 2_500  # registers; opens and outcomes, no grades
    asked = course.ask(1, "w2499", START_MS + HOUR_MS)
    assert asked.evidence.good == 1


def test_a_branch_goes_on_by_itself():
    data = market(200)
    model = Standing(data, FIRST_MODEL)
    for batch in batches(data.events):
        model.foresee(batch, batch[0].time_ms - 1)
        model.learn(batch)
    end_ms = data.events[-1].time_ms
    model.settle(end_ms)
    before = model.expect(1, "c1", end_ms + HOUR_MS)
    root = model.course.state.index.root(model.course.state.height)
    branch = model.branch()
    more = [event(1_000 + n, "c1", f"x{n}", good=False, grade=0) for n in range(6)]
    branch.foresee(more, end_ms)
    branch.learn(more)
    branch.settle(more[-1].time_ms)
    assert branch.course.ask(1, "c1", more[-1].time_ms).evidence.bad >= 6
    assert model.expect(1, "c1", end_ms + HOUR_MS) == before
    assert model.course.state.index.root(model.course.state.height) == root
    again = model.branch()
    again.settle(end_ms)
    assert again.expect(1, "c1", end_ms + HOUR_MS) == before


def test_who_is_unknown_is_a_newcomer():
    data = market(100)
    told = course_of(data).ask(1, "nobody", data.events[-1].time_ms)
    assert told.evidence.engagements == 0
    assert told.probability_q16 is None


def test_names_are_handles_and_parameters_hold_the_sets_scale():
    data = market(50)
    assert handle_of("a") != handle_of("b")
    parameters = parameters_of(FIRST_MODEL, data)
    assert data.scale in parameters.scales
    assert "trade" in {each.code for each in parameters.domains}


def test_a_model_version_is_read_from_a_file(tmp_path):
    path = tmp_path / "m.json"
    path.write_text('{"model": {"id": "mine", "half_life_days": 30}}', encoding="utf-8")
    model = load_model(path)
    assert (model.id, model.half_life_days) == ("mine", 30)
    assert model.newcomer_window == FIRST_MODEL.newcomer_window


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"half_lives": 1}', '{"half_life_days": 0}', '{"newcomer_rate": 1}']
)
def test_a_bad_model_is_refused(tmp_path, text):
    from ledger.errors import Misconfigured

    path = tmp_path / "m.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured):
        load_model(path)
