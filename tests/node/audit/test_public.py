"""The public side audited without a token, and nodes that show two logs found out and proven."""

import asyncio
import json
import shutil

import pytest
from typer.testing import CliRunner

from node.audit.against import compare_nodes
from node.cli import audit, audit_kinds, export, submit
from node.publiclog import PublicLog
from node.view import Certificate
from tests.ledger.certify import certify, policy_of
from tests.ledger.test_fork import world_of
from tests.node.api.live_node import BOTH
from tests.node.api.test_cli import Served, lines_of


@pytest.fixture
def served(monkeypatch):
    made = Served()
    monkeypatch.setenv("STANDING_NODE", made.url)
    monkeypatch.setenv("STANDING_TOKEN", BOTH)
    lines = lines_of(made).splitlines(keepends=True)
    for part in (lines[:4], lines[4:]):  # each final before the next: two blocks at least
        given = b"".join(part)
        result = CliRunner().invoke(submit.app, ["-", "--wait", "final"], input=given)
        assert result.exit_code == 0, result.output
    assert made.node.state.height >= 2
    monkeypatch.delenv("STANDING_TOKEN")
    yield made
    made.stop()


@pytest.fixture
def policy(served, tmp_path):
    path = tmp_path / "policy"
    path.write_text(served.node.policy_text)
    return path


def run(target, policy, *arguments):
    result = CliRunner().invoke(
        audit.app, [str(target), "--policy", str(policy), "--json", *arguments]
    )
    return result.exit_code, json.loads(result.stdout) if result.stdout else result.output


def exported(tmp_path, name="log"):
    folder = tmp_path / name
    result = CliRunner().invoke(export.app, ["log", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


# --- without a token ---


def test_a_node_is_audited_without_a_token(served, policy):
    code, figures = run(served.url, policy)
    assert (code, figures["findings"]) == (0, [])
    assert figures["checkpoint_size"] == served.node.certified.size
    assert figures["records"] == served.node.certified.size - served.node.certified.height - 1
    assert figures["scores"] == 0
    assert any("payloads" in each for each in figures["unchecked"])


def test_an_exported_log_is_audited_and_each_changed_file_found(served, policy, tmp_path):
    folder = exported(tmp_path)
    assert run(folder, policy)[0] == 0
    files = [each for each in folder.rglob("*") if each.is_file()]
    judged = [
        each
        for each in files
        if each.name not in {".exported", "policy"}
        and each.parent.name != "policy.d"
        # A partial tile is computed anew from the entries.
        and not (each.parts[-3:-1] and "tile" in each.parts and "entries" not in each.parts)
    ]
    assert len(judged) >= 5
    for path in judged:
        other = tmp_path / "changed"
        shutil.copytree(folder, other)
        place = other / path.relative_to(folder)
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 1
        place.write_bytes(bytes(data))
        code, figures = run(other, policy)
        assert code == 1, path
        assert figures["findings"][0]["kind"] == "public", path
        shutil.rmtree(other)


def test_another_policy_and_another_past_are_found(served, policy, tmp_path):
    folder = exported(tmp_path)
    stranger = tmp_path / "strangers"
    stranger.write_text(policy_of(world_of("a")).format().replace("validators 3", "validators 2"))
    code, figures = run(folder, stranger)
    assert code == 1
    assert {each["kind"] for each in figures["findings"]} == {"policy"}
    kept = tmp_path / "kept"
    kept.write_bytes(served.node.certified.note)
    assert run(folder, policy, "--checkpoint", str(kept))[0] == 0


# --- two nodes ---


class WorldSource:
    """The public side of a world in memory."""

    def __init__(self, world, note=b""):
        foundation = world.genesis.foundation
        made = certify(world)
        root = world.state.log.root()
        self.newest = Certificate(made.height, made.size, root, note or made.note, world.state.time)
        self._public = PublicLog(world.store, foundation.origin, foundation.bounds.epoch_blocks)
        self.changed = {}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def get(self, path):
        if path == "checkpoint":
            return self.newest.note
        return self.changed.get(path) or self._public.read(path, self.newest)


def compared(one, two):
    sources = (("one", WorldSource(one)), ("two", WorldSource(two)))
    return asyncio.run(compare_nodes(policy_of(one), *sources))


def test_nodes_with_one_log_agree():
    longer = world_of("a", "b", "c", "d", "e", "f", "g")
    for other in (world_of("a", "b", "c", "d", "e", "f", "g"), world_of("a"), world_of("a", "b")):
        assert compared(longer, other).findings == ()
        assert compared(other, longer).findings == ()


@pytest.mark.parametrize("other", [("a", "x"), ("a", "x", "c", "d"), ("x",)])
def test_a_fork_is_proven_to_anybody(monkeypatch, tmp_path, other):
    one, two = world_of("a", "b"), world_of(*other)
    [finding] = compared(one, two).findings
    assert finding.kind == "fork"
    sources = {"http://one": WorldSource(one), "http://two": WorldSource(two)}
    monkeypatch.setattr(audit_kinds, "source_of", sources.__getitem__)
    trusted = tmp_path / "policy"
    trusted.write_text(policy_of(one).format())
    proofs = tmp_path / "proofs"
    arguments = (policy_of(one), trusted, proofs)
    [found] = audit_kinds.against("http://one", ["http://two"], *arguments)
    assert found.severity == "critical"
    assert "p1" in found.detail
    [path] = proofs.iterdir()
    assert str(path) in found.reproduce
    again = ["--proof", str(path), "--policy", str(trusted)]
    result = CliRunner().invoke(audit.app, [*again, "--json"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["culprits"]) == 4
    path.write_bytes(path.read_bytes()[:-1])
    assert CliRunner().invoke(audit.app, again).exit_code == 1


def test_tiles_that_lead_elsewhere_prove_nothing():
    one, two = world_of("a"), world_of("a", "b", "c")
    source = WorldSource(two)
    source.changed["tile/0/000.p/7"] = bytes(7 * 32)
    found = asyncio.run(compare_nodes(policy_of(one), ("one", WorldSource(one)), ("two", source)))
    assert found.fork is None
    assert [(each.kind, each.where) for each in found.findings] == [("tiles", "two")]
    unsigned = WorldSource(two, note=certify(two).note.replace(b"example", b"elsewhere"))
    found = asyncio.run(compare_nodes(policy_of(one), ("one", WorldSource(one)), ("two", unsigned)))
    assert [each.kind for each in found.findings] == ["checkpoint"]


def test_the_command_compares(served, policy, tmp_path):
    folder = exported(tmp_path)
    code, figures = run(served.url, policy, "--against", str(folder))
    assert (code, figures["findings"]) == (0, [])
    assert CliRunner().invoke(audit.app, ["--policy", str(policy)]).exit_code == 2
