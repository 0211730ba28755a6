"""The quick replay: says yes to a whole ledger only, whoever does its work, and leaves no trace."""

import os
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import plyvel
import pytest

from ledger.store import MemoryStore, after
from node.audit.fast import replay_fast
from node.audit.folder import FolderLedger, FolderReader
from node.audit.live import LiveRows
from node.audit.run import Audit, audit
from node.audit.tasks import digest, merge
from node.audit.view import Hold, live_tables
from node.audit.workers import Inline, Workers, executor_for
from node.bench.ledger_folder import make_ledger


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "data"
    return folder, make_ledger(folder, 9_000, rater_signed=True)


BESIDE_THE_LEDGER = {b"C", b"K", b"N", b"Z"}
"""Which q have signed, consensus' rows, the node's own, its window."""


def flipped(folder, key, at):
    with plyvel.DB(str(folder)) as database:
        value = bytearray(database.get(key))
        value[at] ^= 1
        database.put(key, bytes(value))


def run_fast(folder, executor):
    with FolderLedger(folder) as ledger:
        return replay_fast(ledger, ledger.genesis(), executor)


@pytest.mark.parametrize("kind", ["inline", "threads", "processes", "workers"])
def test_a_whole_ledger_passes_on_any_executor(made, kind):
    folder, ledger = made
    executors = {
        "inline": Inline,
        "threads": lambda: ThreadPoolExecutor(1),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("forkserver")),
        "workers": lambda: Workers(2),
    }
    with executors[kind]() as executor:
        whole = run_fast(folder, executor)
    assert whole is not None
    assert (whole.records, whole.newest) == (ledger.records, ledger.blocks)
    assert whole.roots[whole.newest][0] == ledger.size
    assert whole.others == ()


def test_the_quick_and_the_thorough_replay_report_the_same(made):
    folder, ledger = made
    with FolderLedger(folder) as opened:
        quick = audit(opened, ledger.policy, command="audit", scores=3)
        with Audit(opened, ledger.policy, "audit", thorough=True) as run:
            thorough = run.run(3, lambda *_: None)
    assert quick == thorough
    assert quick.findings == ()
    assert [each.refused for each in quick.furnishers] == [2, 2, 2, 1]
    assert sum(each.records + each.refused for each in quick.furnishers) == ledger.records
    for each in quick.furnishers:
        assert each.unclosed == each.opens - each.outcomes > 0
        assert each.ratings == each.outcomes


def test_any_changed_row_is_refused(tmp_path):
    drawn = random.Random(5)
    folder = tmp_path / "data"
    make_ledger(folder, 600)
    assert run_fast(folder, Inline()) is not None
    with plyvel.DB(str(folder)) as database:
        keys = [key for key, _ in database if key not in {b"Mformat", b"Mslots"}]
    for prefix in sorted({key[:1] for key in keys} - BESIDE_THE_LEDGER):
        own = [key for key in keys if key[:1] == prefix]
        key = own[drawn.randrange(len(own))]
        with plyvel.DB(str(folder)) as database:
            value = database.get(key)
        if value:
            flipped(folder, key, drawn.randrange(len(value)))
            assert run_fast(folder, Inline()) is None, (prefix, key.hex())
        with plyvel.DB(str(folder)) as database:
            database.delete(key)
        assert run_fast(folder, Inline()) is None or prefix == b"D", (prefix, key.hex())
        with plyvel.DB(str(folder)) as database:
            database.put(key, value)
    with plyvel.DB(str(folder)) as database:
        database.put(b"X" + bytes(32), b"\x00")
    assert run_fast(folder, Inline()) is None


def test_an_audit_changes_nothing_in_the_folder(made):
    folder, ledger = made

    def state():
        return {
            each.name: (each.stat().st_size, each.stat().st_mtime_ns) for each in folder.iterdir()
        }

    before = state()
    with FolderLedger(folder) as opened:
        audit(opened, ledger.policy, command="audit", scores=0)
    assert state() == before


def test_a_held_store_is_nobody_elses(made):
    folder, _ = made
    held = Hold(folder)
    with pytest.raises(plyvel.IOError, match="lock"):
        plyvel.DB(str(folder))
    held.close()
    plyvel.DB(str(folder)).close()


def test_set_digests_depend_on_rows_and_secret_and_on_no_order():
    rows = [(b"Xab", b"c"), (b"Xa", b"bc"), (b"Yk", b""), (b"Yk2", b"v")]
    secret = os.urandom(32)
    whole = digest(secret, rows)
    assert whole == digest(secret, rows[::-1])
    assert whole == merge([digest(secret, rows[:1]), digest(secret, rows[1:])])
    assert whole != digest(bytes(32), rows)
    assert digest(secret, [(b"Xab", b"c")]) != digest(secret, [(b"Xa", b"bc")])
    assert digest(secret, [*rows, rows[0]]) != whole


def test_live_rows_keep_what_execution_reads_and_hand_on_the_rest():
    taken = []
    rows = LiveRows(taken.extend, taken.remove, MemoryStore())
    rows.write({b"E1": b"leaf", b"Wa": b"1", b"X" + bytes(16): b"in", b"X" + bytes(36): b"out"})
    rows.write({b"Wa": b"2", b"Wb": b"3", b"T0": bytes(64)})
    rows.write({b"Wb": None, b"T0": bytes(8192)})
    assert taken == [(b"E1", b"leaf"), (b"X" + bytes(16), b"in"), (b"T0", bytes(8192))]
    assert dict(rows.rows()) == {b"Wa": b"2", b"X" + bytes(36): b"out"}
    assert list(rows.scan(b"W", after(b"W"))) == [(b"Wa", b"2")]
    assert rows.get(b"E1") is None


def test_small_ledgers_start_no_processes():
    with executor_for(10, 2) as executor:
        assert isinstance(executor, Inline)
        failed = executor.submit(int, "x")
        with pytest.raises(ValueError, match="invalid"):
            failed.result()


def test_a_view_reads_what_the_journal_holds(tmp_path):
    folder = tmp_path / "data"
    with plyvel.DB(str(folder), create_if_missing=True) as database:
        database.put(b"k", b"v")
    reader = FolderReader(folder)
    assert reader.get(b"k") == b"v"
    reader.close()


def test_what_a_compaction_left_behind_is_not_written_to(tmp_path):
    folder = tmp_path / "data"
    made = make_ledger(folder, 400)
    newest = max(int(each.stem) for each in folder.iterdir() if each.stem.isdecimal())
    left = [folder / f"{number:06}.ldb" for number in range(newest + 1, newest + 12)]
    for path in left:
        path.write_bytes(b"left behind")
    with FolderLedger(folder) as opened:
        assert audit(opened, made.policy, command="audit", scores=0).findings == ()
    assert {path.read_bytes() for path in left} == {b"left behind"}


def test_live_tables_are_those_that_the_store_tells_of(made):
    folder, _ = made
    plyvel.DB(str(folder)).close()  # which makes a table of what stands in the journal
    name = (folder / "CURRENT").read_text().strip()
    manifest = (folder / name).read_bytes()
    live = live_tables(manifest)
    assert live
    assert all((folder / f"{number:06}.ldb").is_file() for number in live)
    for cut in range(0, len(manifest), 97):
        assert live_tables(manifest[:cut]) <= set(range(10_000))
    assert live_tables(b"\xff" * 100) == set()
