"""The index's measurement gives its figures for each size; its proofs have been verified."""

import json

from typer.testing import CliRunner

from node.cli.bench import app


def test_figures_of_two_sizes():
    given = ["index", "--keys", "50", "--keys", "3000", "--block", "200", "--window", "3", "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert [each["keys"] for each in figures["sizes"]] == [50, 3_000]
    assert [each["block_updates"] for each in figures["sizes"]] == [50, 200]
    assert figures["us_per_update"] == figures["sizes"][1]["us_per_update"] > 0
    assert 33 * 8 < figures["proof_bytes"] < 33 * 40
    assert {"machine", "version"} <= figures.keys()


def test_people_get_a_table():
    result = CliRunner().invoke(app, ["index", "--keys", "20", "--window", "2"])
    assert result.exit_code == 0, result.output
    assert "us_per_update" in result.stdout
