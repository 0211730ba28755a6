"""The audit of a running node by its URL: what it serves is replayed, and lies are found."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ledger.block import SEAL_KIND
from ledger.rows import LeafRow, decode_row
from ledger.store import BLOCK, CHECKPOINT, LEAF, SUBMISSION, after
from node.api import subjects
from node.cli import audit, submit
from node.client import Client
from tests.ledger.eraser import Eraser
from tests.node.api.live_node import BOTH
from tests.node.api.test_cli import Served, lines_of


@pytest.fixture
def served(monkeypatch) -> Iterator[Served]:
    made = Served()
    monkeypatch.setenv("STANDING_NODE", made.url)
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    lines = lines_of(made).splitlines(keepends=True)
    for part in (lines[:4], lines[4:]):  # each final before the next: two blocks at least
        given = b"".join(part)
        result = CliRunner().invoke(submit.app, ["-", "--wait", "final"], input=given)
        assert result.exit_code == 0, result.output
    assert made.node.state.height >= 2
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


# --- nodes that lie ---


def lie(monkeypatch, name: str, change) -> None:
    """What the client's `name` brings is changed on its way."""
    honest = getattr(Client, name)

    async def changed(self, *arguments, **query):
        return change(await honest(self, *arguments, **query))

    monkeypatch.setattr(Client, name, changed)


def findings_of(result) -> list[dict]:
    assert result.exit_code == 1, result.output
    return json.loads(result.stdout)["findings"]


def test_another_subjects_bundle_is_found(run, monkeypatch) -> None:
    first: list[bytes] = []
    lie(monkeypatch, "bundle", lambda data: first.append(data) or first[0])
    findings = findings_of(run())
    assert len(findings) == 5, "of six subjects"
    assert {each["detail"] for each in findings} == {"answers another question than was asked"}


def test_an_answer_as_of_an_earlier_time_is_found(served, run, monkeypatch) -> None:
    honest = Client.bundle
    earlier = str(served.node.state.time - 1)
    monkeypatch.setattr(
        Client, "bundle", lambda self, subject: honest(self, subject, as_of=earlier)
    )
    assert {each["kind"] for each in findings_of(run())} == {"bundle"}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: {
            **found,
            "interval_q16": [0, 9],
            "checkpoint": {**found["checkpoint"], "size": 10**9},
        },
        lambda _: {},
        lambda found: {**found, "interval_q16": None},
    ],
    ids=["of another size", "of nothing", "of another type"],
)
def test_a_score_document_that_evades_comparison_is_found(run, monkeypatch, change) -> None:
    lie(monkeypatch, "score", change)
    assert {each["kind"] for each in findings_of(run("--scores", "2"))} == {"score"}


def test_a_forked_checkpoint_is_found_before_anything_else_is_read(run, monkeypatch) -> None:
    lie(monkeypatch, "checkpoint", lambda note: note.replace(b"\n\n", b"9\n\n", 1))
    lie(monkeypatch, "blocks", lambda _: pytest.fail("nothing else is read"))
    [finding] = findings_of(run())
    assert (finding["kind"], finding["where"]) in {
        ("checkpoint", "/log/checkpoint"),
        ("store", "ledger"),
    }
    size = b"9223372036854775806"
    lie(monkeypatch, "checkpoint", lambda note: b"\n".join([b"x", size, *note.split(b"\n")[2:]]))
    assert len(findings_of(run())) == 1


@pytest.mark.parametrize("change", [lambda _: b"\x91", lambda _: b"{}", lambda body: body[:-1]])
def test_pages_that_are_none_are_found(run, monkeypatch, change) -> None:
    honest = Client._get

    async def changed(self, path, query=None):
        body = await honest(self, path, query)
        return change(body) if path.startswith("/v1/ledger/") else body

    monkeypatch.setattr(Client, "_get", changed)
    findings = findings_of(run("--scores", "0"))
    assert any("does not answer as a node does" in each["detail"] for each in findings), findings


def test_withheld_blocks_are_found(run, monkeypatch) -> None:
    lie(monkeypatch, "blocks", lambda page: [each for each in page if each[0] < 2])
    assert any("rolled back" in each["detail"] for each in findings_of(run("--scores", "0")))


def test_what_reproduces_a_finding_names_the_token(served, run, monkeypatch, tmp_path) -> None:
    change(served, SUBMISSION)
    token = tmp_path / "token"
    token.write_text(BOTH)
    monkeypatch.delenv("STANDING_TOKEN")
    [first, *_] = findings_of(run("--scores", "0", "--token-file", str(token)))
    standing, audit_, *again = shlex.split(first["reproduce"])
    assert (standing, audit_) == ("standing", "audit")
    result = CliRunner().invoke(audit.app, [*again, "--json"])
    assert first in findings_of(result)


def _raised(answer):
    points = None if answer.points is None else answer.points + 1
    return msgspec.structs.replace(answer, points=points)


def test_a_node_that_does_not_let_the_auditor_in(run, monkeypatch) -> None:
    monkeypatch.setenv("STANDING_TOKEN", "wrong")
    result = run()
    assert result.exit_code == 2, result.output


def erase(served: Served, *, destroys: bool = True) -> Eraser:
    """A subject with a history is erased, as the node serves it; who destroys the openings."""
    world = served.node.world
    world.put(1, [world.register("e", key=True), world.register("f")])
    served.node.finalise()
    for records in ([world.open("z", "e", "f")], [world.outcome("z"), world.rating("z", "f")]):
        world.put(1, records)
        served.node.finalise()
    world.put(1, [world.erasure("e")])
    served.node.finalise()
    eraser = Eraser(world)
    for key, data in world.store.scan(LEAF, after(LEAF)):
        if data[:1] != SEAL_KIND:
            row = decode_row(LeafRow, key, data)
            if row.erasure is not None:
                eraser.waiting.append((row.lane, row.height, row.position, row.erasure))
    if destroys:
        eraser.destroy()
    return eraser


def test_what_remains_of_batches_is_served_and_audited(served, run) -> None:
    eraser = erase(served)
    result = run()
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["erased"], figures["findings"]) == (len(eraser.erased), [])
    assert figures["erased"] == 4
    assert figures["root"] == served.node.state.log.root().hex()


def test_a_residue_that_the_node_makes_up_is_found(served, run) -> None:
    world = served.node.world
    eraser = Eraser(world)
    eraser.waiting = [(1, 1, 0, 3)]
    eraser.destroy()
    findings = findings_of(run("--scores", "0"))
    assert [each["kind"] for each in findings] == ["residue"]


def test_an_audit_by_url_goes_on_and_replays_the_whole_for_an_erasure(
    served, run, tmp_path
) -> None:
    state = str(tmp_path / "state")
    assert run("--state", state, "--scores", "0").exit_code == 0
    world = served.node.world
    world.put(1, [world.register("later", key=True)])
    served.node.finalise()
    figures = json.loads(run("--state", state, "--scores", "0").stdout)
    assert (figures["findings"], figures["records"]) == ([], 1)
    since = figures["since"]
    erase(served)
    figures = json.loads(run("--state", state, "--scores", "0").stdout)
    assert (figures["findings"], figures["since"], figures["erased"]) == ([], since + 1, 4)
    world.put(1, [world.erasure("later")])
    served.node.finalise()
    figures = json.loads(run("--state", state, "--scores", "0").stdout)
    assert (figures["findings"], figures["since"]) == ([], 0)
    [why] = [each for each in figures["unchecked"] if "whole" in each]
    assert "an erasure reads what" in why
    figures = json.loads(run("--state", state, "--scores", "0").stdout)
    assert (figures["findings"], figures["blocks"]) == ([], 0)
