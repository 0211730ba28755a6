"""Who does an audit's work that needs no state: this process, or others beside it."""

import gc
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final

POOLED_ENTRIES: Final = 20_000
"""Smaller ledgers are audited before other processes have started."""

_PRELOADED: Final = ["node.audit.indexing"]


class Inline(Executor):
    """Runs everything at once and here: for ledgers too small to be worth other processes."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """The outcome of a call that has been made."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Workers(Executor):
    """Processes of this machine. `in_order`: one more, which keeps what it is given and does what
    it is asked in order."""

    def __init__(self, processes: int) -> None:
        # Not a fork of this process: it holds an open store, and may hold threads.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        # What they do is bytes: there is nothing in cycles, and much to look through in vain.
        self._pool = ProcessPoolExecutor(processes, context, gc.disable)
        self.in_order = ProcessPoolExecutor(1, context, gc.disable)

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Have something done by any of the processes."""
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        self.in_order.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def executor_for(entries: int, processes: int) -> Iterator[Executor]:
    """Where to have work done for a ledger of so many entries."""
    if entries < POOLED_ENTRIES:
        yield Inline()
        return
    with Workers(processes) as workers:
        yield workers
