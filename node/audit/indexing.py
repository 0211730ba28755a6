"""The index of a quick replay, kept by a process of its own.

Nothing that execution does depends on the index root that it seals. So a block's updates are sent
away, the next block is executed meanwhile, and the root that the stored seal claims is taken for
granted until the replay's end, when it must be the one that the updates yielded.

The tasks here go on from one call to the next: they need an executor of one worker, which does what
it is given in order.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Final, NoReturn

from ledger.index import Index
from ledger.index_image import image_of
from node.audit.ahead import Unfit

VERSIONS_WAITING_MAX: Final = 8

_indexes: dict[bytes, Index] = {}


def apply_updates(run: bytes, version: int, updates: Mapping[bytes, bytes]) -> bytes:
    """The index root after a block; `run` names the replay, whose index begins empty."""
    if run not in _indexes:
        _indexes[run] = Index(1)
    return _indexes[run].apply(version, updates)


def far_image(run: bytes) -> bytes:
    """The image of the index (`ledger/index_image.py`)."""
    return image_of(_indexes[run])


class FarIndex(Index):
    """An index that another process keeps. `claimed` yields the root that a version should have."""

    def __init__(self, executor: Executor, run: bytes, claimed: Callable[[int], bytes]) -> None:
        super().__init__(1)
        self._executor = executor
        self._run = run
        self._claimed = claimed
        self._waiting: deque[tuple[bytes, Future[bytes]]] = deque()
        self._root = self.apply(0, {})

    def apply(self, version: int, updates: Mapping[bytes, bytes], oldest: int = 0) -> bytes:
        """Send a block's updates; the root that its seal claims."""
        del oldest
        if len(self._waiting) >= VERSIONS_WAITING_MAX:
            self._check_oldest()
        self._root = self._claimed(version)
        future = self._executor.submit(apply_updates, self._run, version, updates)
        self._waiting.append((self._root, future))
        return self._root

    def image(self) -> bytes:
        """The image of the newest version."""
        return self._executor.submit(far_image, self._run).result()

    def root(self, version: int | None = None) -> bytes:
        """The newest version's root, as claimed."""
        del version
        return self._root

    def check(self) -> None:
        """Demand that all roots are as claimed.

        Raises:
            Unfit: one is not.
        """
        while self._waiting:
            self._check_oldest()

    def _check_oldest(self) -> None:
        claimed, future = self._waiting.popleft()
        if future.result() != claimed:
            raise Unfit

    def get(self, key: bytes, version: int | None = None) -> NoReturn:
        """Nothing is held here."""
        raise NotImplementedError("this index is kept by another process")

    def prove(self, key: bytes, version: int | None = None) -> NoReturn:
        """Nothing is held here."""
        raise NotImplementedError("this index is kept by another process")
