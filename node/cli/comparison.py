"""What `standing model compare` shows people: who moves, who crosses the thin line, calibration."""

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from ledger.bundle_verify import show_time
from node.cli.changes import moves_lines
from node.cli.output import stdout

Told = Mapping[str, Any]

_VIEWS: Final = {"on_the_day": "on the day", "replayed": "replayed"}
_MEASURES: Final = ("log_loss", "brier", "ece", "auc")
_GROUPS_SHOWN: Final = 12


def show_comparison(figures: Told) -> None:
    """Print a comparison."""
    for line in _head(figures):
        stdout.print(line, markup=False, soft_wrap=True)
    stdout.print(_moves_table({"all": figures}))
    stdout.print(_calibration_table({"all": figures["calibration"]}))
    for kind, groups in figures["by"].items():
        shown = dict(list(groups.items())[:_GROUPS_SHOWN])
        stdout.print(f"\nby {kind}", markup=False)
        stdout.print(_moves_table(shown))
        measured = {
            name: each["calibration"]
            for name, each in shown.items()
            if each["calibration"]["events"]
        }
        if measured:
            stdout.print(_calibration_table(measured))
        if len(shown) < len(groups):
            stdout.print(f"and {len(groups) - len(shown)} more (--json)", markup=False)
    for each in figures["most_moved"]:
        stdout.print(
            f"{each['subject']} ({each['role']}): {each['before']} → {each['after']} on the day",
            markup=False,
            soft_wrap=True,
        )
    stdout.print(
        "on the day: files as they stand; replayed: had it been in force from the start",
        markup=False,
    )


def _head(figures: Told) -> list[str]:
    subjects, outcomes = figures["subjects"], figures["outcomes"]
    counts = (
        f"{subjects['compared']:,} of {subjects['of']:,} subjects compared, "
        f"{outcomes['predicted']:,} of {outcomes['of']:,} outcomes predicted"
    )
    return [
        f"model {figures['before']['id']} → {figures['after']['id']}",
        *moves_lines(figures["numbers"]),
        f"over {figures['size']:,} entries, sealed {show_time(figures['time'])}:",
        f"    {counts} (seed {figures['seed']})",
    ]


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _moves_table(groups: Mapping[str, Told]) -> Table:
    """One line for each group and view."""
    table = _table(
        "points", "", "subjects", "moved", "up", "down", "scored now", "thin now",
        "p05", "median", "p95", "size p90", "largest",
    )  # fmt: skip
    for name, each in groups.items():
        for view, title in _VIEWS.items():
            told = each[view]
            counts = (told[part] for part in ("subjects", "moved", "up", "down"))
            crossed = (told["no_longer_thin"], told["newly_thin"])
            points = (told["points"][part] for part in ("p05", "p50", "p95"))
            sizes = (told["absolute"]["p90"], told["absolute"]["max"])
            cells = (*counts, *crossed, *points, *sizes)
            table.add_row(name, title, *("–" if cell is None else f"{cell:,}" for cell in cells))
    return table


def _calibration_table(groups: Mapping[str, Told]) -> Table:
    """One line for each group and view: how well outcomes were foreseen."""
    table = _table("calibration", "", "events", "log-loss", "Brier", "ECE", "AUC")
    for name, each in groups.items():
        for view, title in {"before": "before", **_VIEWS}.items():
            cells = (each[view][part] for part in _MEASURES)
            shown = ("–" if cell is None else f"{cell:.4f}" for cell in cells)
            table.add_row(name, title, f"{each['events']:,}", *shown)
    return table
