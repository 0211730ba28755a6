"""`scripts/fuzz` by chance alone: it ends, names what it does not know, and keeps what it finds."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BROKEN = """
import sys
from tests.fuzz import __main__, targets
from tests.fuzz.target import Target

def check(data):
    if data[:1] != b"g":
        raise KeyError("no error of ours")

targets.targets = lambda: {"broken": Target("broken", check, lambda: [b"good"])}
sys.exit(__main__.main())
"""


def run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_target_without_a_finding() -> None:
    done = run("-m", "tests.fuzz", "--plain", "--seconds", "1", "--seed", "3", "decimal")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("decimal: tried ")
    assert done.stdout.endswith("no finding\n")


def test_a_target_that_is_not_there() -> None:
    done = run("-m", "tests.fuzz", "--seconds", "1", "nothing")
    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_one_input_again(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"007")
    done = run("-m", "tests.fuzz", "--input", str(tmp_path / "one"), "decimal")
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_a_finding_is_kept_and_told(tmp_path: Path) -> None:
    given = ("--alone", "--plain", "--seconds", "20", "--seed", "3", "broken")
    done = run("-c", BROKEN, *given, folder=tmp_path)
    assert done.returncode == 1
    assert "no error of ours" in done.stderr
    [kept] = (tmp_path / "fuzz-findings").iterdir()
    assert kept.read_bytes()[:1] != b"g"
