"""The report page and the fairness report."""

import xml.etree.ElementTree as ET

import pytest

from ledger.bureau.model import FIRST_MODEL
from ledger.errors import Misconfigured
from node.evaluation import attacks as attack_script
from node.evaluation.fairness import NO_GROUP, fairness, figures_of, read_groups
from node.evaluation.ground import handle_of
from node.evaluation.measures import Prediction
from node.evaluation.page import write_report
from node.evaluation.plots import attacks, calibration
from node.evaluation.run import Plan, measure_set
from node.evaluation.run import figures_of as run_figures
from tests.node.evaluation.made import event, market


def told(nth, probability, *, good, rated="w", earlier=0, **other):
    made = event(nth, rated, good=good, **other)
    return Prediction(probability, good, made.time_ms, earlier, event=made)


def test_figures_of_a_group_by_hand():
    # 60 good ones, 12 of them given .6; 40 bad ones, 10 of them given .9
    part = [told(n, 0.6 if n < 12 else 0.9, good=True, rated=f"w{n}") for n in range(60)]
    part += [told(60 + n, 0.9 if n < 10 else 0.2, good=False) for n in range(40)]
    found = figures_of(part)
    assert found["events"] == 100
    assert found["subjects"] == 61
    assert found["observed"] == 0.6
    said = (12 * 0.6 + 48 * 0.9 + 10 * 0.9 + 30 * 0.2) / 100
    assert found["predicted"] == pytest.approx(said)
    assert found["gap"] == pytest.approx(said - 0.6, abs=1e-5)
    assert found["false_rejection"] == 0.2
    assert found["false_acceptance"] == 0.25


def test_few_events_tell_their_number_only():
    assert figures_of([told(0, 0.9, good=True)]) == {"events": 1, "too_few": True}


def test_dimensions_hold_every_event_once():
    made = [
        told(n, 0.8, good=n % 2 == 0, rated=f"w{n % 5}", platform=1 + n % 2, earlier=n)
        for n in range(30)
    ]
    groups = {"w0": "north", handle_of("w1").hex(): "south"}
    found = fairness(made, ("a", "b"), groups)
    assert set(found) == {"platform", "format", "domain", "earlier_records", "group"}
    for values in found.values():
        assert sum(row["events"] for row in values.values()) == 30
    assert set(found["platform"]) == {"a", "b"}
    assert list(found["earlier_records"]) == ["0", "1-4", "5-19", "20+"]
    assert {name: row["events"] for name, row in found["group"].items()} == {
        NO_GROUP: 18,
        "north": 6,
        "south": 6,
    }
    assert "group" not in fairness(made, ("a", "b"))


def test_groups_are_read_strictly(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("handle,group\na,x\nb,y\na,x\n", encoding="utf-8")
    assert read_groups(path) == {"a": "x", "b": "y"}
    path.write_text("handle,group\na,x\na,y\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="two groups"):
        read_groups(path)
    path.write_text("name,group\na,x\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="handle"):
        read_groups(path)
    with pytest.raises(Misconfigured):
        read_groups(tmp_path / "missing.csv")


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attack_script, "LARGE", 30)
        return _measured()


def _measured():
    plan = Plan(("made",), FIRST_MODEL, models=("standing", "beta"), groups={"c1": "<b>odd</b>"})
    made = measure_set(market(600), plan)
    return made, run_figures([made], plan)


def test_the_page_needs_nothing_else_and_holds_no_name(measured, tmp_path):
    made, figures = measured
    page = write_report(tmp_path / "report", [made], figures).read_text("utf-8")
    assert page.count("<svg") == 4
    assert "boost-20" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    assert "<b>odd</b>" not in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert ">c1<" not in page
    assert (tmp_path / "report" / "figures.json").stat().st_size > 1_000


def test_equal_figures_draw_equal_plots_that_are_xml(measured):
    made, figures = measured
    drawn = calibration(made.predictions)
    assert drawn == calibration(made.predictions)
    assert ET.fromstring(drawn).tag.endswith("svg")
    shown = attacks(figures["attacks"], "standing")
    assert "whitewash" in "".join(ET.fromstring(shown).itertext())


def test_a_report_that_cannot_be_written_says_so(measured, tmp_path):
    made, figures = measured
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Misconfigured, match="--report"):
        write_report(tmp_path / "file" / "folder", [made], figures)
