"""Data sets by mapping."""

import pytest

from ledger.errors import Misconfigured
from node.evaluation.mapping import load_mapping
from node.evaluation.reading import read_set, sets_of

RATINGS = """
title = "stars"
[source]
file = "stars.csv"
delimiter = ";"
[event]
rated = "{worker}"
rater = "{client}"
verified = ["c1"]
platform = "{site}"
domain = "{what}"
[time]
of = "{when}"
unit = "%d.%m.%Y %H:%M"
[rating]
of = "{stars}"
low = 1
high = 5
middle = 3
good_from = 4
step = 0.5
"""
ROWS = """worker;client;site;what;when;stars
w1;c1;a;Web Work;02.01.2020 00:00;4.5
w1;c2;b;care;01.01.2020 00:00;2
w1;w1;a;care;01.01.2020 00:00;5
w2;c1;a;care;01.01.2020 00:00;3.5
w2;c1;a;care;yesterday;5
w2;c1;a;care;03.01.2020 00:00;9
"""


def written(folder, mapping=RATINGS, rows=ROWS):
    (folder / "stars.toml").write_text(mapping, encoding="utf-8")
    (folder / "stars.csv").write_text(rows, encoding="utf-8")
    return folder


def read(folder):
    ((mapping, place),) = sets_of(str(folder), None)
    return read_set(mapping, place)


def test_rows_become_events_in_order_of_time(tmp_path):
    data = read(written(tmp_path))
    assert [(each.rated, each.good, each.grade) for each in data.events] == [
        ("w1", False, 2),
        ("w1", True, 7),
    ]
    assert [each.place for each in data.events] == [0, 1]
    assert data.events[1].time_ms - data.events[0].time_ms == 86_400_000
    assert (data.scale.low, data.scale.middle, data.scale.good_from, data.scale.high) == (
        0, 4, 6, 8,
    )  # fmt: skip
    assert data.platforms == ("a", "b")
    assert [each.platform for each in data.events] == [2, 1]
    assert {each.domain for each in data.events} == {"care", "web-work"}
    assert data.dropped == {
        "neither good nor bad": 1,
        "no time": 1,
        "no value on the scale": 1,
        "rater is the rated": 1,
    }


def test_truth_is_joined_and_unknown_items_are_no_events(tmp_path):
    mapping = """
[source]
file = "stars.csv"
[event]
rated = "{worker}"
rater = "requester"
basis = "platform"
[time]
start = "2020-01-01T00:00:00Z"
step_ms = 1000
[outcome]
of = "{label}"
truth = { file = "truth.csv", key = "item", value = "truth" }
item = "{item}"
"""
    rows = "item,worker,label\n1,a,x\n2,a,x\n3,b,x\n"
    (tmp_path / "truth.csv").write_text("item,truth\n1,x\n2,y\n", encoding="utf-8")
    data = read(written(tmp_path, mapping, rows))
    assert [(each.rated, each.good, each.grade) for each in data.events] == [
        ("a", True, None),
        ("a", False, None),
    ]
    assert data.basis == "platform"
    assert not data.has_raters
    assert data.dropped == {"neither good nor bad": 1}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[rating]", "[ratings]", "there is no \\[ratings\\]"),
        ("good_from = 4", "good_form = 4", "has no good_form"),
        ("good_from = 4", "good_from = 2", "not low < middle"),
        ('unit = "%d.%m.%Y %H:%M"', 'unit = "days"', "unit is one of"),
        ('rated = "{worker}"', "", "needs rated"),
        ("[rating]", "[outcome]\nof = '{x}'\n[rating]", "needs good, a list"),
    ],
)
def test_a_bad_mapping_is_refused_by_name(tmp_path, old, new, said):
    folder = written(tmp_path, RATINGS.replace(old, new))
    with pytest.raises(Misconfigured, match=said):
        load_mapping(folder / "stars.toml")


def test_a_missing_column_is_named(tmp_path):
    folder = written(tmp_path, RATINGS.replace("{client}", "{customer}"))
    with pytest.raises(Misconfigured, match="no column customer"):
        read(folder)


def test_a_name_that_means_nothing_says_what_there_is():
    with pytest.raises(Misconfigured, match="bitcoin-otc"):
        sets_of("nothing", None)


def test_the_known_sets_are_read_in_place(data_dir):
    names = [mapping.name for mapping, _ in sets_of("crowd-gold", data_dir)]
    assert len(names) == 7
    assert {mapping.name for mapping, _ in sets_of(str(data_dir), None)} >= {"bitcoin-otc", *names}
    ((mapping, folder),) = sets_of("bitcoin-otc", data_dir)
    data = read_set(mapping, folder)
    assert len(data.events) == 35_592
    assert not data.dropped
    assert {each.good for each in data.events} == {True, False}
