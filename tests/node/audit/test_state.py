"""Going on from an earlier audit: only what is new is executed, and another past is found out."""

import json
import shutil

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from ledger.bureau.model import FIRST_MODEL
from ledger.errors import Malformed, Misconfigured
from ledger.trust import decode_trust, encode_trust
from node.audit.folder import FolderLedger
from node.audit.run import Audit
from node.audit.state import read_trust
from node.cli.audit import app
from tests.ledger.members import Members
from tests.ledger.world import World, genesis_of
from tests.node.audit.test_run import (
    checkpoint_row,
    encode,
    flip,
    make_world,
    policy,
    write_folder,
)


def grow(world, name):
    """Two more blocks, certified."""
    for records in ([world.open(f"{name}{n}") for n in range(9)], [world.outcome(f"{name}1")]):
        world.run(*records)
        world.store.write({b"C" + world.state.height.to_bytes(8): encode(checkpoint_row(world))})


def audited(world, folder, state, **other):
    with (
        FolderLedger(folder) as ledger,
        Audit(ledger, other.pop("policy", policy(world)), "audit", state=state) as run,
    ):
        return run.run(None, lambda *_: None)


@pytest.fixture
def before(tmp_path):
    """A world whose ledger was audited: the world, its state file, and the report."""
    world, state = make_world(), tmp_path / "state"
    return world, state, audited(world, write_folder(world, tmp_path / "one"), state)


def test_only_new_blocks_are_executed_and_the_state_moves_on(before, tmp_path):
    world, state, first = before
    assert (first.since, first.findings) == (0, ())
    old = read_trust(state)
    assert (old.height, old.size, old.root) == (first.height, first.size, first.root)
    grow(world, "a")
    second = audited(world, write_folder(world, tmp_path / "two"), state)
    assert second.findings == ()
    assert (second.since, second.blocks, second.records) == (first.height, 2, 10)
    assert (second.size, second.root) == (world.state.log.size, world.state.log.root())
    assert second.checkpoints == 2
    assert second.unchecked
    grow(world, "b")
    third = audited(world, write_folder(world, tmp_path / "three"), state)
    assert (third.findings, third.blocks) == ((), 2)
    whole = audited(world, tmp_path / "three", tmp_path / "other")
    assert read_trust(state) == read_trust(tmp_path / "other")
    assert [each.opens for each in third.furnishers] == [each.opens for each in whole.furnishers]
    again = audited(world, tmp_path / "three", state)
    assert (again.findings, again.blocks, again.records) == ((), 0, 0)


def test_an_epochs_end_lies_among_the_new_blocks(before, tmp_path):
    world, state, _ = before
    for n in range(25):
        grow(world, f"e{n}-")
    assert world.state.epoch > 1
    report = audited(world, write_folder(world, tmp_path / "two"), state)
    assert (report.findings, report.blocks) == ((), 50)


def test_a_model_that_came_into_force_is_kept_with_the_state(before, tmp_path, monkeypatch):
    """Of the quick replay, and of going on from an epoch that is under another model than genesis:
    a record behind it is annotated by that one's standing."""
    world, state, _ = before
    change = replace(FIRST_MODEL, id="stern", standing_half=20 * 65_536)
    members = Members(world)
    asked = members.ask(1, members.activate(1, change))
    members.agree(asked, 2, 3)
    members.end()
    assert world.state.parameters.model == change
    world.store.write({b"C" + world.state.height.to_bytes(8): encode(checkpoint_row(world))})
    report = audited(world, write_folder(world, tmp_path / "two"), state)
    assert report.findings == ()
    for part in ("a", "b"):
        grow(world, part)
        report = audited(world, write_folder(world, tmp_path / part), state)
        assert (report.findings, report.blocks) == ((), 2)
    monkeypatch.setattr(Audit, "_replay", None)  # what the quick replay would fall back to
    whole = audited(world, tmp_path / "b", tmp_path / "other")
    assert (whole.findings, whole.since) == ((), 0)


def test_a_wrong_row_of_a_new_block_is_found_and_the_state_stays(before, tmp_path):
    world, state, _ = before
    kept = state.read_bytes()
    old = dict(world.store.scan(b"\x00", b"\xff"))
    grow(world, "a")
    new = {key: value for key, value in world.store.scan(b"\x00", b"\xff") if old.get(key) != value}
    for prefix in (b"E", b"F", b"X", b"S", b"B", b"W", b"G", b"P", b"Q", b"C", b"T", b"M"):
        key = min(key for key in new if key[:1] == prefix)
        changes = {key: flip(new[key], len(new[key]) - 1)}
        folder = write_folder(world, tmp_path / prefix.hex(), changes)
        report = audited(world, folder, state)
        assert any(key.hex() in each.where for each in report.findings), prefix
        assert state.read_bytes() == kept, prefix
    assert audited(world, write_folder(world, tmp_path / "two"), state).findings == ()


def test_another_past_is_critical(before, tmp_path):
    _, state, _ = before
    kept = state.read_bytes()
    shorter = make_world_without_end()
    report = audited(shorter, write_folder(shorter, tmp_path / "short"), state)
    assert [(each.severity, each.kind) for each in report.findings] == [("critical", "state")]
    assert "rolled back" in report.findings[0].detail
    forked = make_world_without_end()
    for n in range(13):
        grow(forked, f"fork{n}-")
    report = audited(forked, write_folder(forked, tmp_path / "forked"), state)
    assert "forked" in report.findings[0].detail
    other = World(genesis_of(3))
    other.run(other.register("w"))
    report = audited(other, write_folder(other, tmp_path / "other"), state)
    assert any("chain" in each.detail for each in report.findings)
    assert state.read_bytes() == kept


def make_world_without_end():
    world = World(genesis_of(4))
    world.run(world.register("w", key=True), world.register("c", assurance="document"))
    world.store.write({b"C" + world.state.height.to_bytes(8): encode(checkpoint_row(world))})
    return world


def test_without_its_rows_a_state_still_demands_the_past(before, tmp_path):
    world, state, first = before
    shutil.rmtree(f"{state}.rows")
    grow(world, "a")
    report = audited(world, write_folder(world, tmp_path / "two"), state)
    assert (report.since, report.findings) == (0, ())
    assert report.blocks == first.blocks + 2
    assert any("whole ledger" in each for each in report.unchecked)


def test_a_state_has_one_form(before):
    _, state, _ = before
    data = state.read_bytes()
    assert len(data) < 4_096
    trust = decode_trust(data)
    assert encode_trust(trust) == data
    for wrong in (data + b"\0", data[:-1], b"", data.replace(b"audit/v1", b"audit/v2")):
        with pytest.raises(Malformed):
            decode_trust(wrong)
    with pytest.raises(Malformed, match="contradicts"):
        decode_trust(data.replace(trust.root, bytes(32)))
    state.write_bytes(b"nothing")
    with pytest.raises(Misconfigured, match="no state"):
        read_trust(state)


def test_the_command_goes_on(before, tmp_path):
    world, state, first = before
    (tmp_path / "policy").write_text(policy(world).format())
    grow(world, "a")
    folder = write_folder(world, tmp_path / "two")
    arguments = [str(folder), "--policy", str(tmp_path / "policy"), "--state", str(state)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["since"], figures["records"]) == (first.height, 10)
    state.write_bytes(b"nothing")
    assert CliRunner().invoke(app, arguments).exit_code == 2
