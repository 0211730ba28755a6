"""`standing bench score` as a stranger meets it."""

import json

import pytest
from typer.testing import CliRunner

from ledger.errors import Misconfigured
from node.cli.bench import app
from tests.node.evaluation.made import market

MAPPING = """
[source]
file = "jobs.csv"
[event]
rated = "{worker}"
rater = "{client}"
verified = ["c0"]
[time]
of = "{ms}"
unit = "ms"
[rating]
of = "{grade}"
low = 0
high = 20
middle = 10
good_from = 11
"""


def folder_of(tmp_path, count=400):
    rows = ["worker,client,ms,grade"]
    rows += [f"{e.rated},{e.rater},{e.time_ms},{e.grade}" for e in market(count).events]
    (tmp_path / "jobs.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "jobs.toml").write_text(MAPPING, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("few_fakes")
def test_a_folder_with_a_mapping_is_measured(tmp_path):
    folder = folder_of(tmp_path)
    done = CliRunner().invoke(
        app, ["score", "--data", str(folder), "--json", "--only", "standing,smoothed-share"]
    )
    figures = json.loads(done.stdout)
    assert set(figures["sets"]) == {"jobs"}
    models = figures["sets"]["jobs"]
    assert set(models) == {"standing", "smoothed-share"}
    for key in ("auc", "auc_within_months", "log_loss", "brier", "ece", "ece_thin", "coverage_90"):
        assert isinstance(models["standing"][key], float)
    assert models["standing"]["events"] == 200
    assert models["standing"]["auc"] > 0.75
    assert {"machine", "version"} <= set(figures)
    for models in figures["attacks"].values():
        assert set(models["standing"]) == {"before", "after"}


@pytest.mark.usefixtures("few_fakes")
def test_an_earlier_run_is_set_beside(tmp_path):
    folder = folder_of(tmp_path, 100)
    given = ["score", "--data", str(folder), "--only", "standing"]
    first = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)
    first["sets"]["jobs"]["standing"]["log_loss"] *= 2
    path = tmp_path / "first.json"
    path.write_text(json.dumps(first), encoding="utf-8")
    again = json.loads(CliRunner().invoke(app, [*given, "--json", "--compare", str(path)]).stdout)
    assert again["compared"]["sets.jobs.standing.log_loss"][2] == -50.0
    assert again["compared"]["sets.jobs.standing.auc"][2] == 0.0
    shown = CliRunner().invoke(app, [*given, "--compare", str(path)], env={"COLUMNS": "120"}).stdout
    (line,) = [each for each in shown.splitlines() if "jobs, standing: log-loss" in each]
    assert line.rstrip().endswith("-50.0 %")
    wrong = CliRunner().invoke(app, [*given, "--compare", str(folder / "jobs.csv")])
    assert isinstance(wrong.exception, Misconfigured)


def test_tables_for_people(tmp_path):
    folder = folder_of(tmp_path, 100)
    done = CliRunner().invoke(app, ["score", "--data", str(folder), "--only", "beta"])
    assert done.exit_code == 0
    assert "log-loss" in done.stdout
    assert "beta" in done.stdout


def test_wrong_usage_is_said(tmp_path):
    runner = CliRunner()
    assert runner.invoke(app, ["score", "--data", "nothing"]).exit_code != 0
    assert runner.invoke(app, ["score", "--data", ","]).exit_code != 0
    folder = folder_of(tmp_path, 100)
    assert runner.invoke(app, ["score", "--data", str(folder), "--only", "x"]).exit_code != 0
