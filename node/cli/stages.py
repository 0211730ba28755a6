"""A bar on stderr for each stage of a measurement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from node.cli.output import stderr

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
