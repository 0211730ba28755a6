"""The demo as people call it: four processes, a market, a proof, an audit, one JSON object."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "nodes", "engagements", "records_final", "checkpoint_size", "roots_equal", "cosignatures_min",
    "workers", "linked_workers", "rank_correlation", "sample", "bundle_verified",
    "audit_findings", "import_seconds", "total_seconds", "machine", "version",
}  # fmt: skip


def test_the_demo_ends_well_and_prints_its_figures(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo"), "--exit", "--json"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert figures["nodes"] == 4
    assert figures["engagements"] >= 4_000
    assert figures["workers"] >= 300
    assert figures["linked_workers"] * 5 >= figures["workers"]
    assert figures["roots_equal"] is True
    assert figures["cosignatures_min"] == 3
    assert figures["bundle_verified"] is True
    assert figures["audit_findings"] == 0
    assert figures["checkpoint_size"] > figures["records_final"]
    assert figures["rank_correlation"] > 0.5
    sample = figures["sample"]
    low, high = sample["interval"]
    assert low < sample["probability"] < high
    assert sample["reasons"]
    assert figures["live_engagements"] > 0 < figures["retrospective_engagements"]
    assert not list(tmp_path.iterdir())
