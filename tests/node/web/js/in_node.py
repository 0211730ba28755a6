"""Runs the browser's verifier in Node: one process for a whole run of cases."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).parent / "run.mjs"
VERSION_MIN = 20
RUN_S = 300


def _node() -> tuple[str | None, str]:
    """The path of a Node that will do, or None and why there is none."""
    path = shutil.which("node")
    if path is None:
        return None, "no node is installed"
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.lstrip("v").split(".")[0]) < VERSION_MIN:
        return None, f"node is {told.strip()}, and version {VERSION_MIN} is needed"
    return path, ""


NODE, WHY_NOT = _node()
needs_node = pytest.mark.skipif(NODE is None, reason=WHY_NOT)


def in_node(task: str, **given: Any) -> Any:
    """What a task of `run.mjs` yields."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(RUNNER)],
        input=json.dumps({"task": task, **given}),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
