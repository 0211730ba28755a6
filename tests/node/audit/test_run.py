"""The audit of a node's folder: a whole ledger passes, any one flipped byte is found and named."""

import json
import random
import re
from dataclasses import replace

import plyvel
import pytest
from typer.testing import CliRunner

from ledger.bundle import build_bundle
from ledger.bureau.reading import ask
from ledger.encoding import encode
from ledger.errors import Misconfigured, StoreDamaged
from ledger.note import TIME_BYTES, parse_note
from ledger.rows import GENESIS_KEY, CheckpointRow, CosignatureRow
from ledger.store import after
from node.audit.folder import FolderLedger
from node.audit.run import audit
from node.cli.audit import app as audit_app
from node.cli.verify import app as verify_app
from node.storage.leveldb import FORMAT, FORMAT_KEY
from node.storage.sealing import Sealing, is_sealed
from node.storage.vault import open_vault
from node.view import policy_of
from tests.ledger.certify import certify
from tests.ledger.world import World, genesis_of, handle


def checkpoint_row(world):
    """The newest block's certified checkpoint, as consensus stores it."""
    certified = certify(world)
    lines = parse_note(certified.note).lines[1:]
    return CheckpointRow(
        certified.height,
        certified.size,
        world.state.log.root(),
        tuple(
            CosignatureRow(
                number,
                int.from_bytes(line.signature[:TIME_BYTES]),
                line.signature[TIME_BYTES:],
            )
            for number, line in enumerate(lines, 1)
        ),
    )


def make_world():
    world = World(genesis_of(4))
    rows = {}

    def run(*records, lane=1):
        world.run(*records, lane=lane)
        rows[b"C" + world.state.height.to_bytes(8)] = encode(checkpoint_row(world))

    run(world.register("w", key=True), world.register("c", assurance="document"))
    run(world.register("w2", platform=2, key=True), world.register("c2", 2), lane=2)
    run(*(world.open(f"e{n}") for n in range(20)), world.open("nobody", worker="nobody"))
    for n in range(20):
        run(world.outcome(f"e{n}"), world.rating(f"e{n}", value=1 + n % 5))
    run(world.link((1, "w"), (2, "w2")))
    run(*(world.open(f"f{n}") for n in range(3)))
    world.store.write(rows)
    return world


@pytest.fixture(scope="module")
def world():
    return make_world()


def write_folder(world, folder, changes=None):
    """A node's data folder with the world's rows, some of them changed."""
    rows = dict(world.store.scan(b"\x00", b"\xff"))
    rows.update(changes or {})
    with (
        plyvel.DB(str(folder), create_if_missing=True) as database,
        database.write_batch() as batch,
    ):
        sealing = Sealing(open_vault(folder, new=True))
        batch.put(FORMAT_KEY, FORMAT)
        for key, value in rows.items():
            if value is not None:
                batch.put(key, sealing.seal(key, value) if is_sealed(key) else value)
    return folder


def policy(world):
    foundation = world.genesis.foundation
    return policy_of(foundation.origin, foundation.validators)


def audit_folder(world, folder, **other):
    with FolderLedger(folder) as ledger:
        return audit(ledger, other.pop("policy", policy(world)), command="audit", **other)


def rows_of(world, prefix):
    return list(world.store.scan(prefix, after(prefix)))


def flip(value, at, mask=0x01):
    changed = bytearray(value)
    changed[at] ^= mask
    return bytes(changed)


def test_a_whole_ledger_passes(world, tmp_path):
    seen = []
    report = audit_folder(
        world, write_folder(world, tmp_path), on_progress=lambda *at: seen.append(at)
    )
    assert report.findings == ()
    assert (report.size, report.root) == (world.state.log.size, world.state.log.root())
    assert (report.records, report.blocks, report.checkpoints) == (69, 25, 25)
    assert report.scores == 4
    assert seen[-1] == (report.size, report.size)


PREFIXES = {
    "batch header": b"H",
    "submission": b"S",
    "lane row": b"L",
    "block row": b"B",
    "checkpoint row": b"C",
    "leaf row": b"E",
    "tile": b"T",
    "file row": b"F",
    "subject row": b"W",
    "engagement row": b"G",
    "pair row": b"P",
    "rater tally": b"R",
    "platform tally": b"Q",
    "record row": b"X",
    "meta row": b"M",
}


@pytest.mark.parametrize("name", PREFIXES)
def test_one_flipped_byte_in_any_kind_of_row_is_found_and_named(world, tmp_path, name):
    drawn = random.Random(name)
    rows = rows_of(world, PREFIXES[name])
    assert rows, f"the ledger has no {name}"
    for round_ in range(4):
        key, value = rows[drawn.randrange(len(rows))]
        at = drawn.randrange(len(value))
        folder = write_folder(
            world, tmp_path / str(round_), {key: flip(value, at, 1 << drawn.randrange(8))}
        )
        if key == GENESIS_KEY:
            with pytest.raises(StoreDamaged, match="genesis"):
                audit_folder(world, folder)
            continue
        report = audit_folder(world, folder)
        # Bytes of a header that is no header any more may name another batch below it.
        lane = [each for each in report.findings if each.kind.startswith("batch")]
        named = [each for each in report.findings if key.hex() in each.where] or (
            lane if name == "batch header" else []
        )
        assert named, (name, key.hex(), at, report.findings)
        row = re.search(r"\(key ([0-9a-f]+)\)", named[0].where)
        assert row, named[0].where
        assert named[0].reproduce == f"audit --row {row[1]}"
        assert name == "batch header" or row[1] == key.hex()


def test_a_flipped_byte_anywhere_in_a_submission_is_found(world, tmp_path):
    key, value = rows_of(world, b"S")[5]
    folder = write_folder(world, tmp_path)
    for at in range(0, len(value), 11):
        with plyvel.DB(str(folder)) as database:
            database.put(key, flip(value, at))
        report = audit_folder(world, folder, scores=0)
        assert any(key.hex() in each.where for each in report.findings), at


# A node that caught up has certificates of some blocks only, so a missing one is no finding.
@pytest.mark.parametrize("name", [name for name in PREFIXES if name != "checkpoint row"])
def test_a_missing_row_is_found(world, tmp_path, name):
    key, _ = rows_of(world, PREFIXES[name])[-1]
    report = audit_folder(world, write_folder(world, tmp_path, {key: None}))
    assert report.findings


def test_a_row_too_many_is_found(world, tmp_path):
    key = b"U" + bytes(32)
    report = audit_folder(world, write_folder(world, tmp_path, {key: bytes(32)}))
    where = f"summary row {'00' * 32} (key {key.hex()})"
    assert [each.where for each in report.findings] == [where]


def test_a_checkpoint_that_was_not_cosigned_is_found(world, tmp_path):
    key, value = rows_of(world, b"C")[-1]
    forged = flip(value, len(value) - 1)
    report = audit_folder(world, write_folder(world, tmp_path, {key: forged}))
    [finding] = report.findings
    assert (finding.kind, finding.severity) == ("checkpoint", "error")
    assert "does not hold" in finding.detail


def test_another_policy_is_found(world, tmp_path):
    folder = write_folder(world, tmp_path)
    other = World(genesis_of(3)).genesis.foundation
    report = audit_folder(world, folder, policy=policy_of(other.origin, other.validators))
    assert {each.kind for each in report.findings} == {"policy"}
    fewer = replace(policy(world), witnesses=policy(world).witnesses[1:])
    report = audit_folder(world, folder, policy=fewer)
    assert {each.kind for each in report.findings} == {"policy", "checkpoint"}
    strange = policy_of("example.org/other", other.validators)
    report = audit_folder(world, folder, policy=strange)
    assert any("origin" in each.detail for each in report.findings)


def test_a_damaged_block_of_the_disk_is_a_finding_and_no_crash(world, tmp_path):
    folder = write_folder(world, tmp_path)
    with plyvel.DB(str(folder)) as database:
        database.compact_range()
    table = max(folder.glob("*.ldb"), key=lambda path: path.stat().st_size)
    data = table.read_bytes()
    for part in (8, 4, 2):
        table.write_bytes(flip(data, len(data) // part))
        report = audit_folder(world, folder)
        assert report.findings, part
        assert any("orrupt" in each.detail for each in report.findings), report.findings[:3]


def test_what_is_no_store_or_in_use_is_refused(world, tmp_path):
    with pytest.raises(Misconfigured, match="no node's folder"):
        FolderLedger(tmp_path)
    folder = write_folder(world, tmp_path / "data")
    with plyvel.DB(str(folder)), pytest.raises(Misconfigured, match="another process"):
        FolderLedger(folder)


# --- commands ---


def files_of(world, tmp_path):
    folder = write_folder(world, tmp_path / "data")
    trusted = tmp_path / "policy"
    trusted.write_text(policy(world).format())
    return folder, trusted


def test_the_audit_command(world, tmp_path):
    folder, trusted = files_of(world, tmp_path)
    arguments = [str(folder), "--policy", str(trusted), "--json"]
    result = CliRunner().invoke(audit_app, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["records"], figures["findings"]) == (69, [])
    assert {"blocks", "checkpoints", "erased", "machine", "version"} <= figures.keys()
    key, value = rows_of(world, b"P")[0]
    with plyvel.DB(str(folder)) as database:
        database.put(key, flip(value, 0))
    result = CliRunner().invoke(audit_app, [*arguments, "--row", key.hex()])
    assert result.exit_code == 1
    [finding] = json.loads(result.stdout)["findings"]
    assert finding["where"].startswith("pair row")
    assert finding["reproduce"].endswith(f"--row {key.hex()}")
    assert value.hex() in result.stderr.replace("\n", "")
    result = CliRunner().invoke(audit_app, [str(folder), "--policy", str(trusted)])
    assert f"again: {finding['reproduce']}\n" in result.stdout, "one line, to be pasted"
    assert CliRunner().invoke(audit_app, [str(folder), "--policy", str(folder)]).exit_code == 2
    for wrong in (["--scores", "-3"], ["--scores", "few"], ["--row", "4z"]):
        assert CliRunner().invoke(audit_app, [*arguments, *wrong]).exit_code == 2, wrong


def test_a_store_that_cannot_be_opened_is_a_finding(world, tmp_path):
    folder, trusted = files_of(world, tmp_path)
    manifest = next(folder.glob("MANIFEST-*"))
    manifest.write_bytes(flip(manifest.read_bytes(), 3))
    result = CliRunner().invoke(audit_app, [str(folder), "--policy", str(trusted), "--json"])
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["findings"][0]["kind"] == "store"


def test_the_verify_command(world, tmp_path):
    _, trusted = files_of(world, tmp_path)
    certified = certify(world)
    question = ask(world.store, certified, 1, handle("w"))
    data = build_bundle(world.store, world.state.index, certified, question)
    bundle = tmp_path / "w.bundle"
    bundle.write_bytes(data)
    arguments = [str(bundle), "--policy", str(trusted)]
    result = CliRunner().invoke(verify_app, [*arguments, "--json", "--max-age-days", "36500"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["valid"], figures["stale"], len(figures["steps"])) == (True, False, 10)
    assert figures["points"] - figures["base_points"] == sum(
        each["points"] for each in figures["reasons"]
    )
    old = CliRunner().invoke(verify_app, [*arguments, "--max-age-days", "1"])
    assert old.exit_code == 0
    assert "STALE" in old.stdout
    assert "sealed 2023-" in old.stdout
    subject = f"1:{handle('w').hex()}"
    assert CliRunner().invoke(verify_app, [*arguments, "--subject", subject]).exit_code == 0
    other = CliRunner().invoke(verify_app, [*arguments, "--subject", f"1:{handle('c').hex()}"])
    assert other.exit_code == 1
    assert f"it is about {subject}" in other.stdout.replace("\n", "")
    assert "NOT THE NEWEST" not in old.stdout
    question = ask(world.store, certified, 1, handle("w"), as_of=world.state.time - 1)
    bundle.write_bytes(build_bundle(world.store, world.state.index, certified, question))
    assert "NOT THE NEWEST" in CliRunner().invoke(verify_app, arguments).stdout
    bundle.write_bytes(flip(data, len(data) // 2))
    refused = CliRunner().invoke(verify_app, arguments)
    assert refused.exit_code == 1
    assert "NOT VALID" in refused.stdout
    bundle.unlink()
    assert CliRunner().invoke(verify_app, arguments).exit_code == 2
