"""Figures side by side with those of an earlier run: one mechanism for every measurement."""

import json
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ledger.errors import Misconfigured
from node.bench.report import compared, rows_of, table_of
from node.cli import growth
from node.cli.bench import app
from node.cli.figures import earlier_figures

FIGURES = {
    "records_per_s": {"ndjson": 300.0, "single": None},
    "cpu_us_per_record": 12.5,
    "sizes": [{"keys": 10, "prove_us": 4.0}, {"keys": 20, "prove_us": 5.0}],
    "samples": [1, 2],
    "tls": True,
    "why": "because",
}
EARLIER = {
    "records_per_s": {"ndjson": 200.0},
    "cpu_us_per_record": 0,
    "sizes": [{"keys": 10, "prove_us": 2.0}],
    "tls": False,
}


def test_each_figure_is_a_row_with_its_unit():
    rows = rows_of(FIGURES)
    assert rows["records_per_s.ndjson"] == ("records_per_s ndjson", "1/s")
    assert rows["cpu_us_per_record"][1] == "µs"
    assert rows["sizes.1.prove_us"] == ("sizes 1 prove_us", "µs")
    assert rows["samples"] == ("samples", "")
    assert rows["why"][1] == ""


def test_numbers_are_compared():
    assert compared(FIGURES, EARLIER)["compared"] == {
        "records_per_s.ndjson": [300.0, 200.0, 50.0],
        "cpu_us_per_record": [12.5, 0, None],
        "sizes.0.keys": [10, 10, 0.0],
        "sizes.0.prove_us": [4.0, 2.0, 100.0],
    }


def test_the_table_has_both():
    written = StringIO()
    Console(file=written, width=120).print(table_of(FIGURES, EARLIER, rows_of(FIGURES)))
    lines = {line.split("  ")[0].strip(): line.split() for line in written.getvalue().splitlines()}
    assert lines["records_per_s ndjson"][2:] == ["300.0", "200.0", "+50.0", "%", "1/s"]
    assert lines["tls"][1:] == ["yes", "no"]
    assert lines["why"][1:] == ["because", "–"]


def test_a_command_compares(tmp_path):
    given = ["index", "--keys", "40", "--window", "2", "--json"]
    first = CliRunner().invoke(app, given)
    assert first.exit_code == 0, first.output
    path = tmp_path / "earlier.json"
    path.write_text(first.stdout)
    second = CliRunner().invoke(app, [*given, "--compare", str(path)])
    assert second.exit_code == 0, second.output
    told = json.loads(second.stdout)["compared"]
    assert told["sizes.0.keys"] == [40, 40, 0.0]
    shown = CliRunner().invoke(app, [*given[:-1], "--compare", str(path)])
    assert "earlier" in shown.stdout


@pytest.mark.parametrize("content", [None, b"[1]", b"{", b"\xff"])
def test_what_is_no_earlier_run_is_refused_before_measuring(tmp_path, content):
    path = tmp_path / "earlier.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match="--compare"):
        earlier_figures(path)


def test_growth_is_told_by_size_and_compared_size_by_size(capsys):
    figures = {
        "points": [
            {"records": 0, "final_records_per_s": 900.0, "lone_latency_ms": {"p50": 200.0}},
            {"records": 1_000_000, "final_records_per_s": 600.0, "lone_latency_ms": None},
        ]
    }
    earlier = {"points": [{"final_records_per_s": 450.0, "lone_latency_ms": {"p50": 200.0}}]}
    growth.tell(figures, as_json=False, earlier=None)
    alone = capsys.readouterr().out.splitlines()
    assert alone[0].split() == ["figure", "0", "1,000,000", "unit"]
    assert alone[1].split() == ["final", "records", "900.0", "600.0", "1/s"]
    growth.tell(figures, as_json=False, earlier=earlier)
    both = capsys.readouterr().out.splitlines()
    assert both[: len(alone)] == alone
    (line,) = [each for each in both if each.startswith("0: final records")]
    assert line.split()[-6:] == ["records", "900.0", "450.0", "+100.0", "%", "1/s"]
