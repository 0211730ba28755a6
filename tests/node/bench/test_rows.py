"""What a store takes, by kind of row."""

import plyvel
import pytest
from typer import Typer
from typer.testing import CliRunner

from ledger.errors import Misconfigured
from node.bench.ledger_folder import make_ledger
from node.bench.rows import figures_of, main, measure_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "data"
    make_ledger(path, 600)
    return path


def test_all_rows_are_counted_and_the_folder_stays_as_it_is(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rows = measure_rows(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert rows.records == 600
    assert rows.kinds["S"].rows == 600
    assert rows.kinds["X"].keys >= 600 * 17
    with plyvel.DB(str(folder)) as database:
        stored = list(database)
    assert sum(kind.rows for kind in rows.kinds.values()) == len(stored)
    told = sum(kind.keys + kind.values for kind in rows.kinds.values())
    assert told == sum(len(key) + len(value) for key, value in stored)


def test_a_store_in_use_and_what_is_none_are_refused(folder, tmp_path):
    with plyvel.DB(str(folder)), pytest.raises(Misconfigured, match="another process"):
        measure_rows(folder)
    app = Typer()
    app.command()(main)
    (tmp_path / "none").mkdir()
    result = CliRunner().invoke(app, [str(tmp_path / "none")])
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


def test_the_table_and_the_figures(folder):
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(folder)])
    assert result.exit_code == 0, result.output
    assert "600 records" in result.stdout
    assert "submission" in result.stdout
    figures = figures_of(measure_rows(folder))
    assert figures["disk_bytes_per_record"] * 600 == pytest.approx(figures["disk_bytes"])
    assert CliRunner().invoke(app, [str(folder), "--json"]).stdout.startswith("{")
