"""`standing import` as people call it: exit codes, figures, and errors that say what to do."""

import json
from pathlib import Path

import pytest

from node.cli import main

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "configs" / "mappings" / "example-jobs.toml"


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STANDING_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "500")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["import", *arguments])
    return ended.value.code


HEADER = "job,worker,client,checked,kind,opened,due,closed,state,days_late,verdict,stars\n"
OPENED = "2024-03-01T09:00:00Z,2024-03-08T18:00:00Z"
GOOD = (
    f"A-1,w17,c3,yes,translation,{OPENED},2024-03-07T12:30:00Z,done,0,ok,5\n"
    f"A-2,w17,c4,yes,web,{OPENED},,running,0,,\n"
    f"A-3,w18,c4,no,pottery,{OPENED},2024-03-10T12:30:00Z,late,2,ok,\n"
    f"A-4,w18,c3,no,web,{OPENED},2024-03-02T12:30:00Z,gave-up,0,,1\n"
)


def test_the_example_mapping_fits_its_example(write, capsys) -> None:
    file = write(HEADER + GOOD, "jobs.csv")
    assert call(str(file), "--mapping", str(EXAMPLE), "--dry-run", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["rows"] == figures["applied"] == 4
    assert figures["rejected"] == figures["duplicates"] == 0
    assert figures["records"] == 4 + 4 + 3 + 2  # subjects, opens, outcomes, ratings
    assert figures["rejects_file"] is None
    assert {"seconds", "machine", "version"} <= figures.keys()
    assert [each.name for each in Path.cwd().iterdir()] == ["jobs.csv"]


def test_rejected_rows_exit_1_and_name_the_file(write, capsys) -> None:
    file = write(
        HEADER + GOOD + GOOD.replace("ok", "perhaps").replace("2024-03-0", "soon"), "j.csv"
    )
    assert call(str(file), "--mapping", str(EXAMPLE), "--dry-run", "--json") == 1
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert (figures["applied"], figures["rejected"]) == (4, 4)
    assert figures["rejects_file"] == "j.csv.rejects.jsonl"
    assert "j.csv.rejects.jsonl" in printed.err
    lines = [json.loads(line) for line in Path("j.csv.rejects.jsonl").read_text().splitlines()]
    assert [each["line"] for each in lines] == [6, 7, 8, 9]


def test_people_read_the_arithmetic(write, capsys) -> None:
    file = write(HEADER + GOOD + GOOD, "jobs.csv")
    assert call(str(file), "--mapping", str(EXAMPLE), "--dry-run") == 0
    said = capsys.readouterr().out
    assert "8 rows = 4 would be applied + 0 rejected + 4 duplicates; 13 records" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.csv", "--mapping", str(EXAMPLE)), "there is no file none.csv"),
        (("jobs.csv", "--mapping", "none.toml"), "the mapping none.toml cannot be read"),
        (("jobs.csv", "--mapping", "bad.toml", "--dry-run"), "bad.toml, line 1: sauce"),
        (("jobs.csv", "--mapping", str(EXAMPLE)), "--token-file FILE, or STANDING_TOKEN"),
        (("empty.csv", "--mapping", str(EXAMPLE), "--dry-run"), "empty.csv is empty"),
        (("jobs.csv", "--mapping", str(EXAMPLE), "--limit", "0"), "limit"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(write, capsys, arguments, says: str) -> None:
    write(HEADER + GOOD, "jobs.csv")
    write("", "empty.csv")
    write("sauce = 1\n", "bad.toml")
    assert call(*arguments) == 2
    assert says in capsys.readouterr().err


def test_a_node_that_does_not_answer(write, capsys, monkeypatch, unused_tcp_port: int) -> None:
    file = write(HEADER + GOOD, "jobs.csv")
    monkeypatch.setenv("STANDING_TOKEN", "secret")
    monkeypatch.setattr("node.client.RETRIES", 1)
    node = f"http://127.0.0.1:{unused_tcp_port}"
    assert call(str(file), "--mapping", str(EXAMPLE), "--node", node) == 2
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert "go on" in said
