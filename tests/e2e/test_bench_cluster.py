"""The cluster benchmark on a network of one, small and short: every stage runs, figures add up."""

from pathlib import Path

from typer.testing import CliRunner

from node.bench.cluster import Plan, measure_cluster
from node.bench.load import Population
from node.cli.bench import app
from node.federation import Federation, create, free_ports_from

PLAN = Plan(
    seconds=2.0,
    run_in_seconds=0.2,
    half_load_seconds=1.0,
    lone_samples=3,
    chunk_records=40,
    window_records=400,
    population=Population(workers=60, clients=30, rater_signed=True),
)


async def test_a_small_run_measures_everything(tmp_path: Path) -> None:
    folder = tmp_path / "federation"
    api = free_ports_from(18_440, 1)
    create(folder, ["a"], api_port=api, peer_port=free_ports_from(api + 1, 1))
    stages: list[str] = []
    async with Federation.at(folder) as federation:
        figures = await measure_cluster(
            federation, PLAN, lambda stage, share: stages.append(stage) if share >= 0 else None
        )
    assert list(dict.fromkeys(stages)) == [
        "registering",
        "lone records",
        "running in",
        "full load",
        "half load",
    ]
    assert figures["records"] > 0
    assert figures["final_records_per_s"] > 0
    assert figures["log_size"] > 90 + figures["records"]
    assert figures["sent"]["opens"] > 0
    assert figures["sent"]["outcomes_and_ratings"] > 0
    assert figures["cpu_us_per_record"] > 0
    assert figures["disk_bytes_per_record"] > 0
    assert figures["wire_bytes_per_record"] == 0, "a network of one sends nothing"
    assert figures["fsync"] is True
    assert figures["tls"] is True
    for latency in ("lone_latency_ms", "half_load_latency_ms"):
        assert 0 < figures[latency]["p50"] <= figures[latency]["p99"]


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["cluster", "--compare", str(tmp_path / "no.json")])
    assert run.exit_code != 0
    assert "no figures of an earlier run" in str(run.exception)
    assert CliRunner().invoke(app, ["cluster", "--nodes", "0"]).exit_code == 2
