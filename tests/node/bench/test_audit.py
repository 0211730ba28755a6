"""The audit's measurement: a made ledger is whole, and the figures are those of the table."""

import json

import pytest
from typer.testing import CliRunner

from node.bench.ledger_folder import make_ledger
from node.cli.bench import app


def test_equal_arguments_yield_equal_ledgers(tmp_path):
    one, two = (make_ledger(tmp_path / name, 700) for name in ("one", "two"))
    other = make_ledger(tmp_path / "other", 700, seed=2)
    assert one == two
    assert one.records == 700
    assert other.policy != one.policy


def test_figures(tmp_path):
    folder = tmp_path / "ledger"
    result = CliRunner().invoke(app, ["audit", "--records", "900", "--dir", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["records"], figures["findings"]) == (900, 0)
    keys = {"seconds", "records_per_s", "rss_mib_max", "cpu_seconds", "machine", "version"}
    assert keys <= figures.keys()
    assert figures["rss_mib_max"] > 10
    assert (folder / "policy").is_file()
    with pytest.raises(Exception, match="already"):
        CliRunner().invoke(app, ["audit", "--dir", str(folder)], catch_exceptions=False)
