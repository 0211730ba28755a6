"""The audit of what a stopped node stores beside the ledger, and of rolled back ledgers."""

import json

import msgspec
import plyvel
import pytest
from typer.testing import CliRunner

from consensus import safety
from consensus.certificate import FINALIZE, Certificate, Signed, statement_message
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.genesis import FIRST_BOUNDS
from ledger.rows import BlockRow, block_key, need_row
from node.audit import spill
from node.cli.audit import app as audit_app
from tests.ledger.certify import certify
from tests.ledger.world import World, genesis_of, key_of
from tests.node.audit.test_run import (
    audit_folder,
    checkpoint_row,
    flip,
    make_world,
    policy,
    rows_of,
    write_folder,
)

HEIGHTS = range(1, 26)


def final_row(world, height):
    """A final block as consensus stores it; every third is under a later one's finalization."""
    row = need_row(world.store, BlockRow, block_key(height))
    block = row.block
    message = statement_message(world.chain, FINALIZE, block.epoch, block.view, row.hash)
    signed = tuple(Signed(n, key_of(n, "vote").sign(message)) for n in (1, 2, 3))
    certificate = Certificate(FINALIZE, block.epoch, block.view, row.hash, signed)
    return safety.FinalRow(block, None if height % 3 == 0 else certificate, None)


def cosigned_row(size, root):
    text = Checkpoint("example.org/standing", size, root).text()
    return safety.CosignedRow(
        size, root, 9, key_of(1, "cosigner").sign(cosignature_message(9, text))
    )


@pytest.fixture(scope="module")
def world():
    made = make_world()
    made.store.write({safety.final_key(h): encode(final_row(made, h)) for h in HEIGHTS})
    made.store.write({safety.pending_key(1, 99, bytes(32)): bytes(8)})
    made.store.write({b"N" + n.to_bytes(4): bytes(range(256)) for n in range(400)})
    return made


def details(report):
    return [each.detail for each in report.findings]


def test_the_rows_of_consensus_pass(world, tmp_path):
    assert audit_folder(world, write_folder(world, tmp_path)).findings == ()


def test_a_flipped_byte_in_a_final_block_is_found(world, tmp_path):
    folder = write_folder(world, tmp_path)
    key = safety.final_key(7)
    value = world.store.get(key)
    for at in range(0, len(value), 17):
        with plyvel.DB(str(folder)) as database:
            database.put(key, flip(value, at))
        report = audit_folder(world, folder, scores=0)
        assert {each.kind for each in report.findings} == {"consensus"}, at
        assert all(key.hex() in each.where for each in report.findings), at


@pytest.mark.parametrize("height", [7, 25])
def test_a_missing_final_block_is_found(world, tmp_path, height):
    report = audit_folder(world, write_folder(world, tmp_path, {safety.final_key(height): None}))
    assert {each.kind for each in report.findings} == {"consensus"}


def test_what_consensus_never_writes_is_found(world, tmp_path):
    strange = {b"Kz": b"", b"Kv": b"\x00", safety.pending_key(1, 99, bytes(32)): b""}
    report = audit_folder(world, write_folder(world, tmp_path, strange))
    assert {each.where.split("(key ")[1][:-1] for each in report.findings} == {
        key.hex() for key in strange
    }


def test_an_own_cosignature_of_another_root_is_found(world, tmp_path):
    good = need_row(world.store, BlockRow, block_key(25))
    origin = world.genesis.foundation.origin
    assert origin == "example.org/standing"
    for at, (row, said) in enumerate(
        [
            (cosigned_row(good.size, good.root), None),
            (cosigned_row(good.size, bytes(32)), "another size or root"),
            (safety.CosignedRow(good.size, good.root, 9, bytes(64)), "does not hold"),
        ]
    ):
        changes = {safety.cosigned_key(25): encode(row)}
        found = details(audit_folder(world, write_folder(world, tmp_path / str(at), changes)))
        assert found == [] if said is None else (len(found) == 1 and said in found[0]), found


def test_a_submission_that_no_header_counts_is_found(world, tmp_path):
    key, value = rows_of(world, b"S")[0]
    strays = {key[:33] + (60_000).to_bytes(2): value, b"S" + bytes(34): value}
    report = audit_folder(world, write_folder(world, tmp_path, strays))
    assert details(report) == ["should not be there"] * 2


def test_a_damaged_block_of_the_disk_under_the_nodes_own_rows_is_found(world, tmp_path):
    folder = write_folder(world, tmp_path)
    with plyvel.DB(str(folder)) as database:
        database.compact_range()
    table = max(folder.glob("*.ldb"), key=lambda path: path.stat().st_size)
    data = table.read_bytes()
    at = data.index(bytes(range(200)))  # inside a row of the node's own
    table.write_bytes(flip(data, at + 20))
    report = audit_folder(world, folder, scores=0)
    assert any("node row" in each.where for each in report.findings), report.findings


@pytest.mark.parametrize("prefix", [b"U", b"V", b"D"], ids=["summary", "due", "changed summary"])
def test_a_row_between_epochs_that_is_changed_missing_or_added_is_found(tmp_path, prefix):
    world = World(genesis_of(4, msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=4)))
    world.run(world.register("w"), world.register("c"))
    for n in range(9):
        world.run(world.open(f"e{n}"), *([world.outcome(f"e{n - 1}")] if n else []))
    key, value = rows_of(world, prefix)[0]
    changed = flip(value, len(value) - 1) if value else b"\x00"
    added = key[:-1] + bytes([key[-1] ^ 1])
    for at, changes in enumerate([{key: changed}, {key: None}, {added: value}]):
        report = audit_folder(world, write_folder(world, tmp_path / str(at), changes), scores=0)
        [where] = [each.where for each in report.findings]
        assert next(iter(changes)).hex() in where


# --- roll-back ---


def rolled_back(*, certificates=True):
    """A world whose executed rows are those of five blocks ago."""
    world = make_world()
    older = world.store.copy()
    for n in range(5):
        world.run(world.open(f"later{n}"))
    if certificates:
        key = b"C" + world.state.height.to_bytes(8)
        older.write({key: encode(checkpoint_row(world))})
    newer, world.store = world.state, older
    return world, newer


def test_an_older_copy_under_newer_certificates_is_found(tmp_path):
    world, _ = rolled_back()
    report = audit_folder(world, write_folder(world, tmp_path))
    assert any("rolled back" in each for each in details(report)), details(report)


def test_an_older_copy_under_newer_own_cosignatures_is_found(tmp_path):
    world, newer = rolled_back(certificates=False)
    row = cosigned_row(newer.log.size, newer.log.root())
    changes = {safety.cosigned_key(newer.height): encode(row)}
    report = audit_folder(world, write_folder(world, tmp_path, changes))
    assert details(report) == ["this node has executed that block, and now ends at block 25"]


def test_an_older_copy_is_found_by_a_checkpoint_that_was_kept(tmp_path):
    newer = make_world()
    kept, trusted = tmp_path / "kept", tmp_path / "policy"
    kept.write_bytes(certify(newer).note)
    folder = write_folder(newer, tmp_path / "data")
    trusted.write_text(policy(newer).format())
    arguments = [str(folder), "--policy", str(trusted), "--json", "--checkpoint", str(kept)]
    result = CliRunner().invoke(audit_app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seal_time"] == newer.state.time
    newer.run(newer.open("later"))
    kept.write_bytes(certify(newer).note)
    result = CliRunner().invoke(audit_app, arguments)
    assert result.exit_code == 1, result.output
    [finding] = json.loads(result.stdout)["findings"]
    assert "rolled back" in finding["detail"]
    assert finding["reproduce"].endswith(f"--checkpoint {kept}")
    kept.write_bytes(flip(kept.read_bytes(), -10))
    assert CliRunner().invoke(audit_app, arguments).exit_code == 2


# --- recomputed rows on disk ---


def test_a_ledger_recomputed_on_disk_gives_the_same_report(world, tmp_path, monkeypatch):
    key, value = rows_of(world, b"P")[0]
    folder = write_folder(world, tmp_path / "data", {key: flip(value, 0), b"X" + bytes(32): b""})
    expected = audit_folder(world, folder)
    assert len(expected.findings) == 2
    monkeypatch.setattr(spill, "SPILL_ENTRIES", 1)
    monkeypatch.setattr(spill.tempfile, "tempdir", str(tmp_path))
    assert audit_folder(world, folder) == expected
    assert [each.name for each in tmp_path.iterdir()] == ["data"]
