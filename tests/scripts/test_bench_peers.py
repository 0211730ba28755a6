"""The peers' bench: its arithmetic with made-up systems, and a short real run of PostgreSQL."""

import contextlib
import json
import signal
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "ran", "why_not", "version", "operations_per_s", "latency_ms", "processes", "fsync", "tls",
    "byzantine_tolerance", "signed_records", "what_it_does_not_do",
}  # fmt: skip


@pytest.fixture
def peers(monkeypatch):
    """The bench's modules, found as the script finds them."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts/bench/peers.d"))
    from peers import __main__ as bench

    return bench


def system(peers, name, measure):
    from peers.figures import System

    return System(name, f"the {name}", 1, False, ("anything but count",), measure)


def making(peers, operations, seconds):
    def measure(terms, folder, say):
        say("counting")
        (folder / "left").write_text("over")
        return peers.Measured(
            version="1.2",
            operations=operations,
            seconds=seconds,
            lone_ms={"p50": 1.5, "p99": 9.0},
            processes=4,
            fsync=True,
            tls=False,
            cpu_us=operations * 7,
            how="counted",
        )

    return measure


def absent(terms, folder, say):
    from peers.figures import Missing

    raise Missing("it is not to be had")


def broken(terms, folder, say):
    raise ValueError("it fell over")


@pytest.fixture
def figures(peers):
    systems = [
        system(peers, "fast", making(peers, 9_000, 2.0)),
        system(peers, "absent", absent),
        system(peers, "broken", broken),
        system(peers, "standing", making(peers, 3_000, 2.0)),
    ]
    return systems, peers.run(systems, peers.Terms(2.0))


def test_each_system_says_what_came_of_it(figures):
    _, told = figures
    assert told["fast"].keys() >= KEYS
    assert told["fast"]["operations_per_s"] == 4_500.0
    assert told["fast"]["cpu_us_per_operation"] == 7.0
    assert (told["absent"]["ran"], told["absent"]["why_not"]) == (False, "it is not to be had")
    assert (told["broken"]["ran"], told["broken"]["why_not"]) == (False, "failed: it fell over")
    assert told["absent"].keys() == told["fast"].keys()
    assert told["absent"]["operations_per_s"] is None
    assert told["absent"]["what_it_does_not_do"] == ["anything but count"]


def test_ratios_are_of_standing_to_each_other_that_ran(peers, figures):
    _, told = figures
    assert told["ratios"] == {"fast": 0.33, "absent": None, "broken": None}
    alone = {name: told[name] for name in ("fast", "absent")}
    assert peers.ratios(alone) == {"fast": None, "absent": None}


def test_the_table_tells_what_ran_and_the_notes_why_not(peers, figures, capsys):
    systems, told = figures
    peers.show(told, systems)
    shown = capsys.readouterr().out
    fast = next(line for line in shown.splitlines() if line.startswith("the fast "))
    assert "4,500" in fast
    assert "0.33 ×" in fast
    assert "the absent: not run: it is not to be had" in shown
    assert "not run: failed: it fell over" in shown
    assert "does not: anything but count" in shown


@pytest.mark.parametrize(
    ("last", "code"), [("standing", 0), ("broken", 1), ("absent", 0)], ids=["ok", "failed", "none"]
)
def test_only_a_system_that_was_there_and_failed_fails_the_run(
    peers, monkeypatch, capsys, last, code
):
    measures = {"standing": making(peers, 10, 1.0), "broken": broken, "absent": absent}
    chosen = [system(peers, last, measures[last])]
    monkeypatch.setattr(peers, "SYSTEMS", chosen)
    with handlers_kept():
        assert peers.main(["--json", "--seconds", "1"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told.keys() >= {last, "ratios", "machine", "version"}


def test_the_first_word_stops_the_run_in_order_and_a_second_does_not_disturb_it(
    peers, monkeypatch, capsys
):
    ended = []

    def stopped(terms, folder, say):
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            ended.append(folder)

    monkeypatch.setattr(peers, "SYSTEMS", [system(peers, "slow", stopped)])
    with handlers_kept():
        assert peers.main(["--json", "--seconds", "1"]) == 130
    assert [folder.exists() for folder in ended] == [False]
    told = capsys.readouterr()
    assert told.out == ""
    assert "everything that was started is ended" in told.err


@contextlib.contextmanager
def handlers_kept():
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_wrong_usage_is_told(peers):
    for arguments in (["--seconds", "0"], ["--seconds", "x"], ["--only", "none"], ["--seed", "-1"]):
        with pytest.raises(SystemExit) as ended:
            peers.main(arguments)
        assert ended.value.code == 2


def test_what_pgbench_says_is_read_strictly(peers):
    from peers.figures import Failed
    from peers.postgresql import transactions_of

    said = (
        "number of transactions actually processed: 1200\n"
        "number of failed transactions: 0 (0.000%)\n"
        "tps = 400.0 (without initial connection time)\n"
    )
    assert transactions_of(said) == (1_200, 3.0)
    for wrong in ("", said.replace("failed transactions: 0", "failed transactions: 3")):
        with pytest.raises(Failed, match="pgbench says"):
            transactions_of(wrong)


def test_the_configuration_of_cometbft_is_changed_in_its_section_only(peers):
    from peers.cometbft import configured
    from peers.figures import Failed

    text = 'laddr = "x"\n[rpc]\nladdr = "y"\nsize = 1\n[p2p]\nladdr = "z"\n'
    changes = {("", "laddr"): '"X"', ("p2p", "laddr"): '"Z"'}
    assert configured(text, changes) == (
        'laddr = "X"\n[rpc]\nladdr = "y"\nsize = 1\n[p2p]\nladdr = "Z"\n'
    )
    with pytest.raises(Failed, match=r"0 values p2p\.size"):
        configured(text, {("p2p", "size"): "2"})


def test_a_transaction_has_one_sign_that_the_kvstore_parts_it_by(peers):
    from peers.cometbft import transaction

    made = transaction("3-7", b"a=b:c\x1b1" + bytes(range(256)))
    assert (made.count(b"="), made.count(b":")) == (1, 0)
    key, _, value = made.partition(b"=")
    assert key == b"3-7"
    back = value.replace(b"\x1b2", b"=").replace(b"\x1b1", b":").replace(b"\x1b0", b"\x1b")
    assert back == b"a=b:c\x1b1" + bytes(range(256))


def test_the_values_are_records_of_three_kinds(peers):
    from peers.sample import records

    from ledger.records import decode_record

    found = [type(decode_record(each)).__name__ for each in records(6, 1)]
    assert found == ["EngagementOpen", "EngagementOutcome", "Rating"] * 2
    assert len(set(records(300, 1))) == 300


def test_processes_end_with_what_they_started(peers, tmp_path):
    from peers.figures import Failed
    from peers.processes import Processes

    log = tmp_path / "log"
    with Processes() as running:
        shell = running.start("/bin/sh", "-c", "sleep 300 & echo $!; wait", log=log)
        wait_for(lambda: log.read_text().endswith("\n"))
        child = int(log.read_text())
        running.check_alive()
    assert shell.returncode == -signal.SIGTERM
    wait_for(lambda: is_gone(child))
    with Processes() as running:
        running.start("/bin/sh", "-c", "echo so it is; exit 7", log=log).wait(10)
        with pytest.raises(Failed, match=r"(?s)sh ended with code 7: .*so it is"):
            running.check_alive()


def test_a_command_that_is_not_done_in_time_is_ended(peers, tmp_path):
    from peers.figures import Failed
    from peers.processes import call

    with pytest.raises(Failed, match=r"sh was not done after 0\.3 s"):
        call("/bin/sh", "-c", "sleep 300 & echo $! > child; wait", limit_s=0.3, cwd=tmp_path)
    wait_for(lambda: is_gone(int((tmp_path / "child").read_text())))
    with pytest.raises(Failed, match="sh: no such luck"):
        call("/bin/sh", "-c", "echo no such luck >&2; exit 3", limit_s=10)


def wait_for(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_postgresql_is_measured(peers, monkeypatch, tmp_path):
    """A real server for a second: it synced, and as many rows stand in it as were told."""
    from peers.figures import Missing
    from peers.postgresql import find_account, find_programs, measure_rows

    try:
        find_programs()
        find_account()
    except Missing as error:
        pytest.skip(str(error))
    place = Path(tempfile.mkdtemp())
    place.chmod(0o711)  # the server's account passes through
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    terms = peers.Terms(1.0, run_in_seconds=1.0, lone_samples=10)
    told = measure_rows(terms, tmp_path, lambda _text: None)
    assert told.operations > 0
    assert told.seconds > 0
    assert told.fsync is True
    assert 0 < told.lone_ms["p50"] <= told.lone_ms["p99"]
    assert told.cpu_us > 0
    place.rmdir()  # nothing is left in it
