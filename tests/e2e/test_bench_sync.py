"""The benchmark of coming back, small: both ways back are walked, and figures add up."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.bench.load import Population
from node.bench.sync import CODES, MODES, Mode, Plan, measure_sync
from node.cli.bench import app
from node.federation import Federation, create, free_ports_from


@pytest.mark.parametrize("mode", MODES.values())
async def test_a_small_run_measures_the_way_back(tmp_path: Path, mode: Mode) -> None:
    folder = tmp_path / "federation"
    api = free_ports_from(19_440, 4)
    create(folder, CODES, api_port=api, peer_port=free_ports_from(api + 4, 4))
    plan = Plan(
        records=600,
        mode=mode,
        records_per_s=50.0,
        lone_samples=3,
        population=Population(workers=60, clients=30),
    )
    stages: list[str] = []
    async with Federation.at(folder) as federation:
        figures = await measure_sync(
            federation, plan, lambda stage, share: stages.append(stage) if share >= 0 else None
        )
    assert list(dict.fromkeys(stages)) == [
        "registering",
        "while away",
        "lone records",
        "coming back",
    ]
    assert figures["mode"] == mode
    assert figures["records"] >= (600 if mode == "replay" else 690)
    assert figures["records"] < figures["log_size"]
    assert 0 < figures["records_per_s"] <= figures["records_per_s_since_up"]
    assert 0 < figures["start_seconds"] <= figures["seconds"]
    assert figures["cpu_us_per_record"] > 0
    before, during = figures["finality_ms"]["samples"]
    assert (before, during >= 1) == (3, True)
    for when in ("before", "during"):
        assert 0 < figures["finality_ms"][when]["p50"] <= figures["finality_ms"][when]["p99"]


def test_another_way_back_is_wrong_usage() -> None:
    run = CliRunner().invoke(app, ["sync", "--mode", "guess"])
    assert run.exit_code != 0
    assert "one of replay, snapshot" in str(run.exception)
