"""`scripts/simulate` as it is called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.faults import FAULTS, LIARS

ROOT = Path(__file__).parents[2]


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["simulate", *words])
    return main()


def test_many_seeds_give_their_figures(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert call(monkeypatch, "--seeds", "2", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["seeds"], first["violations"]) == (2, 0)
    wanted = {"simulated_hours", "faults", "blocks", "slowest_recovery_s", "trace_hash"}
    assert wanted <= first.keys()
    call(monkeypatch, "--seeds", "2", "--json")
    assert json.loads(capsys.readouterr().out)["trace_hash"] == first["trace_hash"]


def test_equal_seeds_run_alike_in_every_process() -> None:
    """Seed 5 has siblings off the branch: nothing may hang on the order of a set of hashes."""
    words = "--seeds 1 --first 5 --nodes 7 --changes --json"
    traces = set()
    for salt in ("3", "4"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", *words.split()],
            env={**os.environ, "PYTHONHASHSEED": salt},
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=120,
        )
        traces.add(json.loads(done.stdout)["trace_hash"])
    assert len(traces) == 1


def test_one_seed_of_named_faults_is_told(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert call(monkeypatch, "--seed", "3", "--faults", "crash,equivocator") == 0
    told = capsys.readouterr().out
    assert "byzantine" in told
    assert "crash" in told
    assert "partition" not in told


def test_a_violation_is_told_and_exits_with_one(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("consensus.safety.may_nullify", lambda round_: 2 not in round_.own)
    monkeypatch.setattr("consensus.safety.may_finalize", lambda round_: 3 not in round_.own)
    words = ("--faults", "delay,reorder,hasty,lost_finality", "--trials", "40")
    assert call(monkeypatch, "--seed", "0", *words) == 1
    told = capsys.readouterr().out
    (last,) = [line for line in told.splitlines() if line.startswith("violation: ")]
    assert "signed finalize and nullify in view" in last
    assert "events are enough" in told


def test_the_faults_are_listed(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert call(monkeypatch, "--faults", "list") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in FAULTS.keys() | LIARS.keys())


@pytest.mark.parametrize(
    "words",
    [(), ("--seed", "1", "--faults", "gremlins"), ("--seed", "1", "--nodes", "101")],
)
def test_wrong_usage_is_named(words, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert call(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith("scripts/simulate: ")


def test_more_liars_than_f_are_refused(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert call(monkeypatch, "--seed", "1", "--faults", "silent,nuller") == 2
    assert "bear 1" in capsys.readouterr().err
