"""The audit of a running node by its URL: what it serves is replayed, and lies are found."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ledger.store import BLOCK, CHECKPOINT, SUBMISSION, after
from node.api import subjects
from node.cli import audit, submit
from tests.node.api.live_node import BOTH
from tests.node.api.test_cli import Served, lines_of


@pytest.fixture
def served(monkeypatch) -> Iterator[Served]:
    made = Served()
    monkeypatch.setenv("STANDING_NODE", made.url)
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    result = CliRunner().invoke(submit.app, ["-", "--wait", "final"], input=lines_of(made))
    assert result.exit_code == 0, result.output
    yield made
    made.stop()


@pytest.fixture
def run(served: Served, tmp_path: Path):
    policy = tmp_path / "policy"
    policy.write_text(served.node.policy_text)

    def call(*arguments: str):
        return CliRunner().invoke(
            audit.app, [served.url, "--policy", str(policy), "--json", *arguments]
        )

    return call


def change(served: Served, prefix: bytes, which: int = -1) -> bytes:
    """Flip a bit in the middle of a row that the node serves; the row's key."""
    store = served.node.world.store
    key, value = list(store.scan(prefix, after(prefix)))[which]
    middle = len(value) // 2
    store.write({key: value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]})
    return key


def test_a_running_node_is_audited_by_its_url(served, run) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["records"], figures["findings"]) == (16, [])
    assert figures["checkpoint_size"] == served.node.state.log.size
    assert figures["root"] == served.node.state.log.root().hex()
    assert figures["scores"] == 6
    assert json.loads(run("--scores", "2").stdout)["scores"] == 2


def test_a_changed_payload_is_found(served, run) -> None:
    change(served, SUBMISSION)
    result = run("--scores", "0")
    assert result.exit_code == 1, result.output
    kinds = {each["kind"] for each in json.loads(result.stdout)["findings"]}
    assert kinds & {"batch", "batch-root", "submission"}, kinds


def test_a_payload_that_the_node_cannot_read_is_found(served, run) -> None:
    store = served.node.world.store
    key, value = next(store.scan(SUBMISSION, after(SUBMISSION)))
    store.write({key: value[:-1]})
    result = run()
    assert result.exit_code == 1, result.output
    kinds = {each["kind"] for each in json.loads(result.stdout)["findings"]}
    assert "batch" in kinds, kinds


def test_a_changed_block_or_cosignature_is_found(served, run) -> None:
    key = change(served, CHECKPOINT)
    findings = json.loads(run("--scores", "0").stdout)["findings"]
    assert [each["kind"] for each in findings] == ["checkpoint"]
    assert key.hex() in findings[0]["where"]
    change(served, BLOCK)
    assert run("--scores", "0").exit_code == 1


def test_a_score_that_its_bundle_does_not_prove_is_found(served, run, monkeypatch) -> None:
    shown = subjects.shown
    monkeypatch.setattr(
        subjects,
        "shown",
        lambda answer, *rest: shown(_raised(answer), *rest),
    )
    findings = json.loads(run().stdout)["findings"]
    assert {each["kind"] for each in findings} == {"score"}
    assert len(findings) == 1


def _raised(answer):
    points = None if answer.points is None else answer.points + 1
    return msgspec.structs.replace(answer, points=points)


def test_a_node_that_does_not_let_the_auditor_in(run, monkeypatch) -> None:
    monkeypatch.setenv("STANDING_TOKEN", "wrong")
    result = run()
    assert result.exit_code == 2, result.output
