"""Answers that were given of late, each for as long as it holds: whoever asks the same again gets
the same bytes.

An answer stands on a checkpoint and a question, so it never changes, with one exception: an erasure
takes away what an answer at an earlier checkpoint needs. So all are forgotten as soon as a block
with an erasure is executed, and none is kept while one is under way.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from aiohttp import web

from ledger.store import ERASURE, Reader, after
from node.api.port import Node

BYTES_MAX: Final = 32 * 1_024 * 1_024
ANSWER_BYTES_MAX: Final = BYTES_MAX // 4
OVERHEAD_BYTES: Final = 1_024
"""What an answer takes besides its bytes."""


class Remembered:
    """The newest answers of at most `bytes_max` bytes in all."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()
        self._height = -1
        self._newest = b""
        self.generation = 0
        """Grows whenever all are forgotten."""

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, node: Node, key: Hashable) -> bytes | None:
        """The answer that was given to a question at a checkpoint, if it is kept and holds."""
        self._check(node)
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def keep(self, node: Node, key: Hashable, answer: bytes, generation: int) -> None:
        """Keep an answer; `generation`: as it was before anything of the answer was read."""
        self._check(node)
        stale = generation != self.generation or node.state.erasing
        if stale or len(answer) > ANSWER_BYTES_MAX or key in self._answers:
            return
        self._answers[key] = answer
        self._bytes += len(answer) + OVERHEAD_BYTES
        while self._bytes > self._bytes_max:
            _, gone = self._answers.popitem(last=False)
            self._bytes -= len(gone) + OVERHEAD_BYTES

    def _check(self, node: Node) -> None:
        """Forget everything if an erasure was executed since the last time."""
        state = node.state
        if state.height == self._height:
            return
        self._height = state.height
        newest = _newest_erasure(node.reader)
        if newest != self._newest or state.erasing:
            self._newest = newest
            self._answers.clear()
            self._bytes = 0
            self.generation += 1


def _newest_erasure(reader: Reader) -> bytes:
    """The key of the newest erasure's row, or nothing."""
    return next((key for key, _ in reader.scan(ERASURE, after(ERASURE), reverse=True)), b"")


REMEMBERED: Final = web.AppKey("remembered", Remembered)
