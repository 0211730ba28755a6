"""The browser's score in one Node process that lives for a whole run, and the ledger's beside it.

Each answers a case with the bytes of its answer in hex, `refused`, or what broke.
"""

import json
import subprocess
from collections.abc import Sequence
from typing import Final, Self

from ledger.bureau.score import score
from ledger.encoding import encode
from ledger.errors import InvalidInput
from tests.node.web.js.in_node import NODE, RUNNER
from tests.node.web.js.random_files import Case

REFUSED: Final = "refused"


def ledgers_answer(case: Case) -> str:
    """What the node's own code says."""
    try:
        return encode(score(case.files, case.tally, case.parameters, case.question)).hex()
    except InvalidInput:
        return REFUSED
    except Exception as error:
        return f"broke: {error!r}"


class Browser:
    """What the browser's code says, run in Node: a line of cases in, a line of answers out."""

    def __init__(self) -> None:
        assert NODE is not None, "needs Node"
        self._node = subprocess.Popen(
            [NODE, str(RUNNER), "--lines"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._node.stdin is not None
        self._node.stdin.close()
        try:
            self._node.wait(10)
        except subprocess.TimeoutExpired:
            self._node.kill()
            self._node.wait()

    def ask(self, cases: Sequence[Case]) -> None:
        """Begin with some cases; `told` waits for the answers."""
        assert self._node.stdin is not None
        given = {"task": "answers", "cases": [case.as_json() for case in cases]}
        self._node.stdin.write(json.dumps(given) + "\n")
        self._node.stdin.flush()

    def told(self) -> list[str]:
        """The answers to what was asked.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self._node.stdout is not None
        line = self._node.stdout.readline()
        if not line:
            raise RuntimeError(f"Node ended with {self._node.wait(10)}")
        told: list[str] = json.loads(line)
        return told

    def __call__(self, case: Case) -> str:
        self.ask([case])
        return self.told()[0]
