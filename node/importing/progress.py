"""The progress bar of an import, on stderr: share of the file, rows, rate, time left."""

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.text import Text

from node.cli.output import stderr
from node.importing.state import Tally


class _Rate(ProgressColumn):
    """Rows per second since this run began."""

    def render(self, task: Task) -> Text:
        rows = task.fields["rows"] - task.fields["already"]
        elapsed = task.elapsed or 0.0
        return Text(f"{rows / elapsed:,.0f} rows/s" if elapsed > 0 else "")


class Progress:
    """Shows how far an import is. Use as a context."""

    def __init__(self, file_bytes: int, *, already: int = 0) -> None:
        self._bars = Bars(
            TextColumn("{task.fields[rows]:,} rows"),
            BarColumn(),
            TaskProgressColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[bad]}"),
            console=stderr,
        )
        self._task = self._bars.add_task(
            "import", total=max(1, file_bytes), rows=already, already=already, bad=""
        )

    def show(self, offset: int, tally: Tally) -> None:
        """The import is final up to this byte of the file."""
        bad = f"{tally.rejected} rejected" if tally.rejected else ""
        self._bars.update(self._task, completed=offset, rows=tally.rows, bad=bad)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
