"""`scripts/bench/rows` as a person runs it: from anywhere, with any arguments."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/bench/rows"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_it_tells_how_it_is_used(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Data folder of a stopped node" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--unknown", "x")])
def test_wrong_usage_is_told_as_such(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_a_folder_is_named_as_seen_from_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("empty", cwd=tmp_path)
    assert done.returncode == 1
    assert "empty cannot be read" in done.stderr
