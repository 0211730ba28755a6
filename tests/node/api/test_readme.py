"""The README's examples run, and its table names every address."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from node.api.app import ROUTES
from tests.node.api.live_node import BOTH
from tests.node.api.test_cli import Served

README = Path(__file__).resolve().parents[3] / "node" / "api" / "README.md"
TEXT = README.read_text("utf-8")


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("sh") is None, reason="there is no curl here"
)
def test_the_examples_run() -> None:
    examples = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    assert len(examples) >= 6
    served = Served()
    try:
        environment = {
            **os.environ,
            "STANDING_NODE": served.url.rstrip("/"),
            "STANDING_TOKEN": BOTH,
        }
        told = []
        for example in examples:
            done = subprocess.run(
                ["sh", "-e", "-c", example],
                env=environment,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, (example, done.stdout, done.stderr)
            told.append(done.stdout.decode())
    finally:
        served.stop()
    assert '"state":"final","log_index":1' in told[0]
    lines = told[1].splitlines()
    assert [line.startswith(f'{{"line":{n},') for n, line in enumerate(lines, 1)] == [True] * 3
    assert '"rule":"dated-before-open"' in lines[2]
    assert '"thin_file":true' in told[3]
    assert "event: block" in told[4]


def test_every_address_stands_in_the_table() -> None:
    for route in ROUTES:
        assert f"{route.method} {route.public_path}" in TEXT
