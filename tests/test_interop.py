"""Other people's programs accept what a node serves. STANDING_INTEROP=1 runs it all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {
    "tessera_fsck_http",
    "tessera_fsck_export",
    "sumdb_note_formats",
    "torchwood_policy",
    "litewitness",
    "go_witness_client",
}


@pytest.mark.skipif(
    not os.environ.get("STANDING_INTEROP"),
    reason="STANDING_INTEROP is not set: Go and its modules would be fetched and built",
)
def test_other_peoples_programs_accept_a_node() -> None:
    done = subprocess.run(
        [ROOT / "scripts/interop", "--json"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found.keys() >= TOOLS | {"machine", "version", "go"}
    for tool in TOOLS:
        assert found[tool].keys() >= {"ran", "ok", "version", "why_not"}
        assert found[tool]["ran"], (tool, found[tool]["why_not"])
        assert found[tool]["ok"], (tool, found[tool]["why_not"])
    assert done.returncode == 0


def test_without_go_each_tool_says_why_it_did_not_run(tmp_path: Path) -> None:
    """The same script where no toolchain is found: nothing ran, nothing failed, each says why."""
    code = (
        "import runpy, sys\n"
        "from pathlib import Path\n"
        f"run = runpy.run_path({str(ROOT / 'scripts/interop.d/run.py')!r}, run_name='interop')\n"
        "def none():\n"
        "    raise run['Missing']('there is no Go toolchain')\n"
        "run['Tools'].build.__globals__['find_go'] = none\n"
        f"tools = run['Tools'](Path({str(tmp_path)!r}))\n"
        f"tools.build(Path({str(tmp_path)!r}))\n"
        "for tool in run['MODULES']:\n"
        "    tools.judge(tool, lambda: tools('fsck'))\n"
        "import json\n"
        "print(json.dumps(tools.results))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    found = json.loads(done.stdout)
    assert found.keys() == TOOLS
    for result in found.values():
        assert (result["ran"], result["ok"]) == (False, False)
        assert result["why_not"] == "there is no Go toolchain"
