"""How a measurement runs: a bar on stderr for each stage, and no process that outlives it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import typer
import uvloop
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from node.cli.output import stderr

T = TypeVar("T")

TOLD_TO_END: Final = 128 + signal.SIGTERM
"""Exit code."""

ProgressOf = Callable[[str, float], None]
"""Told the stage of a measurement, and how much of it is done."""


@contextmanager
def stages() -> Iterator[ProgressOf]:
    """Bars, one for each stage that is told of; a new stage completes those before it."""
    columns = (
        TextColumn("{task.description:16}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=stderr) as bar:

        def progress(stage: str, share: float) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bar.update(earlier, completed=1.0)
                tasks[stage] = bar.add_task(stage, total=1.0)
            bar.update(tasks[stage], completed=min(share, 1.0))

        yield progress


def run_whole(measuring: Coroutine[Any, Any, T]) -> T:
    """Run a measurement. SIGTERM ends it as Ctrl-C does: whatever it started is stopped first."""

    async def run() -> T:
        task = asyncio.ensure_future(measuring)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return uvloop.run(run())
    except asyncio.CancelledError:
        raise typer.Exit(TOLD_TO_END) from None
