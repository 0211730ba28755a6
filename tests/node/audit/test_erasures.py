"""Audits of ledgers with erasures: what they justify passes, anything else is named."""

import shutil

import plyvel
import pytest

from ledger.batch import commitment
from ledger.block import SEAL_KIND
from ledger.encoding import Uint, encode
from ledger.residue import Residue
from ledger.rows import (
    BlockRow,
    LeafRow,
    decode_row,
    lane_key,
    residue_key,
    submission_key,
)
from ledger.store import ERASURE, RESIDUE
from node.audit.fast import replay_fast
from node.audit.folder import FolderLedger
from node.audit.recall import recall
from node.audit.run import Audit
from node.audit.workers import Workers
from node.storage.sealing import Sealing
from node.storage.vault import open_vault
from tests.ledger.eraser import Eraser
from tests.ledger.world import DAY, World, genesis_of, handle
from tests.node.audit.test_run import checkpoint_row, flip, policy, rows_of, write_folder


def certified(world):
    world.store.write({b"C" + world.state.height.to_bytes(8): encode(checkpoint_row(world))})


class Story:
    """A ledger with two erasures by a subject: of one file, and of all that are linked to it."""

    def __init__(self, *, destroys=True):
        self.world = World(genesis_of(4))
        self.node = Eraser(self.world)
        self.destroys = destroys
        self.erasures = []

    def run(self, *records, lane=1):
        applied = self.node.run(*records, lane=lane)
        certified(self.world)
        if self.destroys:
            self.node.destroy()
        return applied

    def erase(self, name, platform=1, scope="platform"):
        submission = self.world.erasure(name, platform, scope)
        self.erasures.append(commitment(submission))
        self.run(submission)
        while self.world.state.erasing:
            self.run()

    def acknowledge(self, *numbers):
        for number in numbers:
            for erasure in self.erasures:
                self.run(self.world.ack(erasure, number), lane=number)

    def begin(self):
        world = self.world
        self.run(world.register("w", key=True), world.register("c", assurance="document"))
        self.run(world.register("v", key=True), world.register("d"))
        self.run(world.register("w2", platform=2, key=True), lane=2)
        self.run(*(world.open(f"e{n}") for n in range(8)), world.open("x", worker="nobody"))
        self.run(*(world.open(f"v{n}", worker="v", client="d") for n in range(3)))
        for n in range(6):
            self.run(world.outcome(f"e{n}"), world.rating(f"e{n}", value=1 + n % 5))
        self.run(world.outcome("e0"))  # refused, and about the file
        self.run(world.link((1, "w"), (2, "w2")))
        return self

    def go_on(self):
        self.erase("w", scope="whole")
        world = self.world
        self.run(world.outcome("e6"), world.open("late"), world.outcome("v0"))
        self.erase("v")
        return self

    def later(self, days):
        """Time passes: a quorum's lanes have later batches."""
        world = self.world
        world.time += days * DAY
        for lane in (1, 2, 3):
            world.put(lane, [])
        self.node.block()
        certified(world)


def audited(world, folder, **other):
    with (
        FolderLedger(folder) as ledger,
        Audit(ledger, policy(world), "audit", **other) as run,
    ):
        return run.run(None, lambda *_: None)


@pytest.fixture(scope="module")
def told():
    """What was erased is destroyed, and all have said so."""
    story = Story().begin().go_on()
    story.acknowledge(1, 2, 3, 4)
    story.later(40)
    return story.world


def both_ways(world, folder):
    """The report of the quick replay, which must be that of the thorough one."""
    quick = audited(world, folder)
    thorough = audited(world, folder, thorough=True)
    assert quick == thorough
    return quick


def test_what_erasures_took_is_justified_and_counted(told, tmp_path):
    report = both_ways(told, write_folder(told, tmp_path))
    assert report.findings == ()
    residues = rows_of(told, RESIDUE)
    assert report.erased == len(residues) > 20
    assert report.furnishers[0].outcomes == 8
    assert (report.size, report.root) == (told.state.log.size, told.state.log.root())


def test_openings_that_are_still_held_are_warned_of(tmp_path):
    story = Story(destroys=False).begin().go_on()
    story.acknowledge(1, 2, 3, 4)
    fresh = both_ways(story.world, write_folder(story.world, tmp_path / "fresh"))
    assert (fresh.findings, fresh.erased) == ((), 0)
    story.later(2)
    world = story.world
    report = both_ways(world, write_folder(world, tmp_path / "later"))
    assert {(each.severity, each.kind) for each in report.findings} == {("warning", "erasure-kept")}
    assert len(report.findings) == len(story.node.waiting)
    lane, height, position, _ = story.node.waiting[0]
    key = submission_key(world.store.get(lane_key(lane, height)), position)
    assert report.findings[0].reproduce == f"audit --row {key.hex()}"
    story.node.destroy(3)
    report = both_ways(world, write_folder(world, tmp_path / "some"))
    assert report.erased == 3
    assert len(report.findings) == len(story.node.waiting)


def test_an_erasure_that_not_all_acknowledge_is_overdue_after_thirty_days(tmp_path):
    story = Story().begin().go_on()
    story.acknowledge(1, 3)
    story.later(29)
    world = story.world
    assert both_ways(world, write_folder(world, tmp_path / "early")).findings == ()
    story.later(2)
    report = both_ways(world, write_folder(world, tmp_path / "late"))
    keys = [key for key, _ in rows_of(world, ERASURE)]
    assert [(each.severity, each.kind) for each in report.findings] == [
        ("warning", "erasure-overdue")
    ] * len(keys)
    for key, each in zip(keys, report.findings, strict=True):
        assert each.detail == "was done 31 days ago, and not acknowledged by p2, p4"
        assert each.reproduce == f"audit --row {key.hex()}"
    story.acknowledge(2, 4)
    assert both_ways(world, write_folder(world, tmp_path / "told")).findings == ()


def opening(told, at=0):
    """Key of an opening that nobody has erased."""
    return rows_of(told, b"S")[at][0]


def test_a_residue_without_an_erasure_is_found(told, tmp_path):
    key = opening(told)
    accepted = next(data for _, data in rows_of(told, RESIDUE))
    for erasure in (0, decode_row(Residue, key, accepted).erasure):
        left = Residue(bytes(32), erasure, bytes(32), "", b"")
        residue = residue_key(key[1:33], int.from_bytes(key[33:]))
        changes = {key: None, residue: encode(left)}
        folder = write_folder(told, tmp_path / str(erasure), changes)
        first, *_ = both_ways(told, folder).findings
        assert (first.severity, first.kind) == ("error", "submission")
        assert first.reproduce == f"audit --row {residue.hex()}"


def test_a_withheld_opening_with_a_true_stand_in_is_found(tmp_path):
    """A node that is asked for nothing destroys openings of its own will, as if it had been."""
    story = Story(destroys=False).begin()
    world, node = story.world, story.node
    place = (1, 3, 2)  # an engagement's open
    for erasure in (3, 10**6):
        node.waiting[:] = [(*place, erasure)]
        before = dict(world.store.scan(b"\x00", b"\xff"))
        node.destroy()
        report = both_ways(world, write_folder(world, tmp_path / str(erasure)))
        key = residue_key(world.store.get(lane_key(*place[:2])), place[2])
        finding, *others = report.findings
        assert (finding.severity, finding.kind) == ("error", "residue")
        assert {each.kind for each in others} <= {"score"}
        assert key.hex() in finding.where
        assert finding.reproduce == f"audit --row {key.hex()}"
        world.store.write({key: None})
        world.store.write(before)


def test_a_false_residue_is_found(told, tmp_path):
    key, data = rows_of(told, RESIDUE)[4]
    true = decode_row(Residue, key, data)
    for nth, changed in enumerate(
        (
            Residue(flip(true.commitment, 3), *(true.erasure, true.hash, true.rule, true.stand_in)),
            Residue(true.commitment, true.erasure + 1, true.hash, true.rule, true.stand_in),
            Residue(true.commitment, true.erasure, flip(true.hash, 9), true.rule, true.stand_in),
            Residue(true.commitment, true.erasure, true.hash, true.rule, true.stand_in[:-1]),
        )
    ):
        folder = write_folder(told, tmp_path / str(nth), {key: encode(changed)})
        assert both_ways(told, folder).findings, nth


def test_an_opening_that_is_missing_without_a_residue_is_found(told, tmp_path):
    key, _ = rows_of(told, RESIDUE)[0]
    submission = submission_key(key[1:33], int.from_bytes(key[33:]))
    for nth, (gone, named) in enumerate(((key, submission), (opening(told), opening(told)))):
        report = both_ways(told, write_folder(told, tmp_path / str(nth), {gone: None}))
        [finding] = [each for each in report.findings if named.hex() in each.where]
        assert (finding.kind, finding.reproduce) == ("batch", f"audit --row {named.hex()}")


def test_an_opening_whose_key_is_destroyed_is_as_good_as_missing(told, tmp_path):
    folder = write_folder(told, tmp_path)
    key = opening(told)
    with plyvel.DB(str(folder)) as database:
        slot = int.from_bytes(database.get(key)[:6])
    Sealing(open_vault(folder, new=False)).destroy([slot])
    report = both_ways(told, folder)
    assert any(key.hex() in each.where and each.kind == "batch" for each in report.findings)


@pytest.mark.parametrize("prefix", [ERASURE, b"F", b"E", b"X"])
def test_what_erasures_read_is_compared_like_all_else(told, tmp_path, prefix):
    for nth, (key, value) in enumerate(rows_of(told, prefix)[::7]):
        folder = write_folder(told, tmp_path / str(nth), {key: flip(value, len(value) - 1)})
        report = both_ways(told, folder)
        assert any(key.hex() in each.where for each in report.findings), key.hex()


def test_files_that_are_partly_erased_are_scored_alike(told, tmp_path):
    report = audited(told, write_folder(told, tmp_path), thorough=True)
    assert report.scores == 5
    assert handle("w") in {data[5:] for data, _ in rows_of(told, b"W")}


def test_an_audit_goes_on_over_an_erasure(tmp_path):
    story, state = Story().begin(), tmp_path / "state"
    world = story.world
    first = audited(world, write_folder(world, tmp_path / "one"), state=state)
    assert first.findings == ()
    story.go_on()
    # What the first audit has read is erased by now, and stands in no new block.
    second = audited(world, write_folder(world, tmp_path / "two"), state=state)
    assert second.findings == ()
    assert second.since == first.height
    assert any("rows of earlier blocks" in each for each in second.unchecked)
    assert second.erased == len(
        [each for each in story.node.erased if each[1] > 0 and _is_new(world, each, first.size)]
    )
    story.acknowledge(1, 2, 3, 4)
    story.later(40)
    third = audited(world, write_folder(world, tmp_path / "three"), state=state)
    assert (third.findings, third.since) == ((), second.height)
    shutil.rmtree(f"{state}.rows")
    whole = audited(world, tmp_path / "three", state=state)
    assert (whole.findings, whole.since) == ((), 0)
    assert [each.opens for each in third.furnishers] == [each.opens for each in whole.furnishers]


def _is_new(world, erased, size):
    """Whether a record's batch was executed when the log had `size` entries already."""
    lane, height, _, _ = erased
    for key, data in rows_of(world, b"B"):
        row = decode_row(BlockRow, key, data)
        if any(tip.lane == lane and tip.height >= height for tip in row.block.tips):
            return row.size > size
    raise AssertionError(erased)


def test_marks_are_compared_alike_where_other_processes_keep_the_index(told, tmp_path):
    folder = write_folder(told, tmp_path / "true")
    with FolderLedger(folder) as ledger, Workers(1) as workers:
        whole = replay_fast(ledger, ledger.genesis(), workers)
        assert whole is not None
        assert whole.erased == len(rows_of(told, RESIDUE))
        assert whole.roots[whole.newest] == (told.state.log.size, told.state.log.root())
        key, value = next(row for row in rows_of(told, b"E") if is_marked(row))
    unmarked_row = recall(told.store, key, told.state.log.size)
    assert (unmarked_row[-1:], len(unmarked_row) <= len(value)) == (b"\xc0", True)
    for nth, changes in enumerate(({key: unmarked_row}, {b"P" + bytes(32): bytes(32)})):
        other = write_folder(told, tmp_path / str(nth), changes)
        with FolderLedger(other) as ledger, Workers(1) as workers:
            assert replay_fast(ledger, ledger.genesis(), workers) is None
        assert both_ways(told, other).findings


def is_marked(row):
    key, data = row
    return data[:1] != SEAL_KIND and decode_row(LeafRow, key, data).erasure is not None


def test_a_record_is_recalled_only_from_where_it_was_accepted(told):
    key, value = rows_of(told, b"X")[0]
    at = decode_row(Uint, key, value)
    assert recall(told.store, key, at + 1) == value
    assert recall(told.store, key, at) is None
    assert recall(told.store, b"X" + bytes(16), at) is None


@pytest.mark.parametrize("marks", [False, True])
def test_a_wrong_mark_is_found_by_an_audit_that_goes_on(tmp_path, marks):
    story, state = Story().begin(), tmp_path / "state"
    world = story.world
    audited(world, write_folder(world, tmp_path / "one"), state=state)
    size = world.state.log.size
    story.go_on()
    key, value = next(
        row
        for row in rows_of(world, b"E")[size:]
        if row[1][:1] != SEAL_KIND and is_marked(row) == (not marks)
    )
    changed = value[:-1] + encode(size) if marks else recall(world.store, key, 10**6)
    report = audited(world, write_folder(world, tmp_path / "two", {key: changed}), state=state)
    assert report.since
    [finding] = [each for each in report.findings if key.hex() in each.where]
    assert (finding.severity, finding.kind) == ("error", "row")
