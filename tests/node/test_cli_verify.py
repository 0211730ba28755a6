"""`standing verify` on a partly erased file, and on one changed by its carrier."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli import verify
from tests.ledger.certify import policy_of
from tests.ledger.test_bundle import bundle_of, linked_world
from tests.ledger.test_bundle_erased import erased_world, liars


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    world = erased_world()
    (tmp_path / "policy").write_text(policy_of(world).format())

    def call(data: bytes, *options: str):
        (tmp_path / "worker.bundle").write_bytes(data)
        arguments = [str(tmp_path / "worker.bundle"), "--policy", str(tmp_path / "policy")]
        return CliRunner().invoke(verify.app, [*arguments, *options])

    return world, call


def test_a_partly_erased_file_is_said_to_be_one(run) -> None:
    world, call = run
    told = call(bundle_of(world))
    assert told.exit_code == 0, told.output
    assert "2 records opened, 7 erased" in told.stdout
    assert "PARTLY ERASED: 7 record(s)" in told.stdout
    found = json.loads(call(bundle_of(world), "--json").stdout)
    assert (found["valid"], found["erased"]) == (True, 7)
    whole = json.loads(call(bundle_of(world, "stranger"), "--json").stdout)
    assert whole["erased"] == 0
    assert "PARTLY ERASED" not in call(bundle_of(world, "stranger")).stdout


def test_an_opening_put_back_proves_nothing(run) -> None:
    world, call = run
    step, data = next(liars(world, bundle_of(linked_world())))
    told = call(data)
    assert told.exit_code == 1
    assert f"FAIL  {step}" in told.stdout
    assert "openings are there for 2 leaves" in told.stdout
