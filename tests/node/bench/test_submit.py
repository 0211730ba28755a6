"""The measurement of the intake: every form reaches the ledger, and the figures are whole."""

import json

import msgspec
import pytest
from typer.testing import CliRunner

from ledger.records import decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from node.bench.load import PlatformLoad, Population
from node.bench.submit import as_arrays, as_lines, records_of
from node.cli.bench import app

CHAIN = b"c" * 32


@pytest.fixture
def offers():
    return records_of(PlatformLoad(CHAIN, 1, (0, 1), Population(40, 8), 1), 1_000)


def test_an_engagements_records_stand_in_a_row(offers):
    assert len(offers) == 1_000
    kinds = [type(decode_record(record)) for record, _ in offers[:6]]
    assert kinds == [EngagementOpen, EngagementOutcome, Rating] * 2


def test_forms_hold_every_record(offers):
    assert sum(piece.count(b"\n") for piece in as_lines(offers)) == 1_000
    arrays = [msgspec.msgpack.decode(piece) for piece in as_arrays(offers)]
    assert [tuple(pair) for array in arrays for pair in array] == offers


def test_figures(tmp_path):
    given = ["submit", "--nodes", "1", "--records", "1500", "--singles", "120", "--streams", "2"]
    result = CliRunner().invoke(app, [*given, "--dir", str(tmp_path / "nodes"), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["records"] == {"ndjson": 1_500, "msgpack": 1_500, "single": 120}
    for key in ("records_per_s", "cpu_us_per_record", "load_cpu_us_per_record"):
        assert set(figures[key]) == {"ndjson", "msgpack", "single"}
        assert all(value >= 0 for value in figures[key].values())
    assert figures["records_per_s"]["ndjson"] > 0
    assert figures["intake_cpu_us_per_record"]["ndjson"] > 0
    assert {"machine", "version", "nodes"} <= figures.keys()
