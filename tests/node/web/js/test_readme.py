"""The README's example runs as it stands there."""

import re
import subprocess
from pathlib import Path

from tests.ledger.certify import policy_of
from tests.ledger.test_bundle import bundle_of, small_world
from tests.node.web.js.in_node import NODE, needs_node

pytestmark = needs_node

ROOT = Path(__file__).parents[4]


def test_the_example(tmp_path: Path) -> None:
    world = small_world()
    text = (ROOT / "node/web/README.md").read_text()
    [example] = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    (tmp_path / "worker.bundle").write_bytes(bundle_of(world))
    (tmp_path / "policy").write_text(policy_of(world).format())
    script = tmp_path / "example.mjs"
    script.write_text(example.replace("./node/web", f"{ROOT.as_uri()}/node/web"))
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("✓") == 10
    assert "\ntrue " in done.stdout
