"""The mapping's closed grammar: what is refused, with line and suggestion."""

import tomllib
from pathlib import Path

import pytest

from ledger.errors import Misconfigured
from node.importing.mapping import parse_mapping, read_mapping
from node.importing.toml_lines import line_of


def parse(text: str):
    return parse_mapping(text.encode(), name="m.toml")


def test_a_good_mapping(mapping_text: str) -> None:
    mapping = parse(mapping_text)
    assert mapping.title == "jobs"
    assert [shape.name for shape in mapping.shapes] == [
        "engagement.open",
        "engagement.outcome",
        "rating",
    ]


# what is put in the place of what; what the error says
ERRORS = [
    ('format = "csv"', 'format = "cvs"', "source.format: 'cvs' is not known; did you mean 'csv'"),
    ('format = "csv"', 'format = "csv"\nheeder = true', "did you mean 'header'"),
    ('format = "csv"', 'format = "csv"\nheader = "yes"', "must be true or false"),
    ('format = "csv"', 'format = "csv"\ndelimiter = "ab"', "one character"),
    ('"day"]', '"day", "job"]', "twice"),
    ("[times.done]", "[tiems.done]", "tiems: is no key of a mapping; did you mean 'times'"),
    ('unit = "iso-utc"', 'unit = "seconds"', "times.done.unit"),
    ('unit = "iso-utc"', "", "needs the key 'unit'"),
    ('of = "{day}"', 'of = "{dya}"', "did you mean 'day'"),
    ('of = "{day}"\nunit = "iso-utc"', 'start = "2020-01-01"\nstep_ms = 1', "no offset"),
    ('of = "{day}"\nunit = "iso-utc"', "start = 2020-01-01T00:00:00Z\nstep_ms = -1", "step_ms"),
    ('"job/{job}"', '"job/{job"', "opened and not closed"),
    ('"job/{job}"', '"job/job}"', "closed and not opened"),
    ('"job/{job}"', "3.5", "not a text, an integer"),
    ('"job/{job}"', '{ python = "1" }', "'python' begins no term"),
    ('"job/{job}"', '{ lookup = "x", key = "{job}" }', r"no \[lookups.x\]"),
    ('"job/{job}"', '{ equal = ["{job}"] }', "a list of two"),
    ('"job/{job}"', '{ of = "{job}", tabel = {} }', "begins no term"),
    ('"job/{job}"', '{ of = "{job}", table = { a = 1.5 } }', "1.5 in a table"),
    ('"job/{job}"', '{ table = { a = "b" } }', "needs 'of'"),
    ('reference = "who/{who}"', 'referense = "who/{who}"', "did you mean 'reference'"),
    ('registered = "done"', 'registered = "doen"', "did you mean 'done'"),
    ('assurance = "contact"', 'assurance = "contract"', "did you mean 'contact'"),
    (
        'assurance = "none"',
        'assurance = "none"\nkey = "00"',
        "client.key: .*64 hex digits",
    ),
    (
        'assurance = "none"',
        'assurance = "none"\nkey = { of = "{who}", table = { ann = "zz" }, otherwise = "" }',
        "'zz' is no public key",
    ),
    ('assurance = "none"', 'assurance = "none"\nkey = "{kee}"', "subjects.client.key"),
    ('type = "rating"', 'type = "ratings"', "records.2.type: 'ratings' is no record type; did"),
    ('worker = "worker"', 'worker = "wroker"', "no subject 'wroker'; did you mean 'worker'"),
    ('status = "completed"', 'status = "complete"', "did you mean 'completed'"),
    ('no = "worker"', 'no = "wroker"', "records.1.fault: 'wroker' does not fit.*mean 'worker'"),
    ("value_band = 2", "value_band = 12", "value_band: 12 does not fit"),
    ("value_band = 2", 'value_band = "two"', "'two' is no integer"),
    ("value_band = 2", "", "records.0: engagement.open needs the field 'value_band'"),
    ("value_band = 2", "value_band = 2\nprice = 3", "price: is no field of engagement.open"),
    ('domains = ["writing"]', "domains = []", "domains"),
    ('domains = ["writing"]', 'domains = ["Writing!"]', "domains"),
]


@pytest.mark.parametrize(("old", "new", "says"), ERRORS)
def test_errors_name_the_key_and_a_suggestion(mapping_text: str, old: str, new: str, says: str):
    assert old in mapping_text
    with pytest.raises(Misconfigured, match=says):
        parse(mapping_text.replace(old, new, 1))


def test_errors_name_the_line(mapping_text: str) -> None:
    text = mapping_text.replace('scale = "stars-5"', 'scale = "STARS"')
    line = next(n for n, each in enumerate(text.split("\n"), 1) if "STARS" in each)
    with pytest.raises(Misconfigured, match=rf"m\.toml, line {line}: records\.2\.scale"):
        parse(text)


def test_values_see_only_those_above_them(mapping_text: str) -> None:
    text = mapping_text.replace("[values]", '[values]\nearly = "{good}"')
    with pytest.raises(Misconfigured, match="no column or value 'good'"):
        parse(text)


def test_lookups_stay_in_the_imported_folder(mapping_text: str) -> None:
    for name in ("../secret.csv", "/etc/passwd", "..\\\\x", ""):
        text = mapping_text + f'\n[lookups.x]\nfile = "{name}"\nkey = "a"\nvalue = "b"\n'
        with pytest.raises(Misconfigured, match=r"lookups\.x\.file"):
            parse(text)


def test_what_is_not_toml_or_not_there(tmp_path) -> None:
    with pytest.raises(Misconfigured, match=r"not TOML.*line 1"):
        parse("= 3")
    with pytest.raises(Misconfigured, match="not UTF-8"):
        parse_mapping(b"a = '\xff'")
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_mapping(tmp_path / "none.toml")
    with pytest.raises(Misconfigured, match="zero has more than"):
        read_mapping(Path("/dev/zero"))  # it is read up to the bound, and no further


def test_lines_of_keys() -> None:
    text = 'a = 1\n\n[b.c]\nd = 2\n[[e]]\nf = 1\n[[e]]\n"f" = 2\n[g]\nh = { i = 1 }\n'
    tomllib.loads(text)
    assert line_of(text, ["a"]) == 1
    assert line_of(text, ["b", "c", "d"]) == 4
    assert line_of(text, ["e", 0, "f"]) == 6
    assert line_of(text, ["e", 1, "f"]) == 8
    assert line_of(text, ["g", "h", "i"]) == 10
    assert line_of(text, ["nowhere"]) == 1
