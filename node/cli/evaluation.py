"""`standing bench score`: how good the score is, on real events, through the code a node runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ledger.errors import Misconfigured
from node.cli.figures import CompareOption, Figures, JsonOption, earlier_figures
from node.cli.figures import show as show_figures
from node.cli.output import stderr, stdout

if TYPE_CHECKING:
    from node.evaluation.run import Plan

KNOWN: Final = ("bitcoin-otc", "crowd-gold")
_WIDTH: Final = 160
_COLUMNS: Final = {
    "auc": "AUC",
    "auc_within_months": "months",
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece": "ECE",
    "ece_thin": "ECE thin",
    "coverage_90": "cover 90",
    "events": "events",
}


def score(
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A set's name, a group's (crowd-gold), a folder or a mapping file; several, "
            "apart by commas or given again."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Parameters file (JSON) of a model version.")
    ] = None,
    part: Annotated[
        Literal["test", "fit"],
        typer.Option(help="test: the last half; fit: the first, to choose constants by."),
    ] = "test",
    only: Annotated[
        list[str] | None, typer.Option(help="Leave in this model only; may be given again.")
    ] = None,
    attacks: Annotated[
        bool, typer.Option(help="Make the attacks of the table, where a set has raters.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**53 - 1, help="Draws targets.")] = 1,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="CSV with handle,group: calibration and errors by groups that only you know. It "
            "is read, and kept nowhere."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with tables and plots.")
    ] = None,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="Instead: score many made-up subjects over all cores.")
    ] = False,
    shared: Annotated[
        int, typer.Option(min=0, max=10_000, help="Instead: workers whom two platforms share.")
    ] = 0,
    subjects: Annotated[int, typer.Option(min=1, max=100_000_000, help="Of --bulk.")] = 1_000_000,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="Of --bulk; 0: one a core.")] = 0,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict each event of real data from earlier ones, by the score that nodes run, and measure.

    Exit 1 if a figure misses what it must reach. Without --data all known sets are measured.
    """
    earlier = earlier_figures(compare)
    if bulk:
        figures = _bulk(model, subjects, seed, jobs)
        show_figures(figures, as_json=as_json, earlier=earlier)
        raise typer.Exit(0 if figures["file_ms_best"] <= figures["file_ms_must"] else 1)
    if shared:
        show_figures(_shared(model, shared, seed), as_json=as_json, earlier=earlier)
        raise typer.Exit(0)
    from node.evaluation.fairness import read_groups  # noqa: PLC0415
    from node.evaluation.ground import load_model  # noqa: PLC0415 - only this command needs it
    from node.evaluation.run import Plan, check_models  # noqa: PLC0415

    names = _names(data)
    models = tuple(_names(only)) if only else None
    check_models(models or ())
    known = None if groups is None else read_groups(groups)
    plan = Plan(tuple(names), load_model(model), part, models, attacks, seed, known)
    figures = _measure(plan, report)
    show_figures(figures, as_json=as_json, earlier=earlier, rows=_rows(figures), told=show)
    raise typer.Exit(0 if all(check["met"] for check in figures["checks"]) else 1)


def _bulk(model: Path | None, subjects: int, seed: int, jobs: int) -> Figures:
    from node.audit.workers import Inline, Workers  # noqa: PLC0415 - only this needs processes
    from node.evaluation.bulk import measure_bulk, measure_large  # noqa: PLC0415
    from node.evaluation.ground import load_model  # noqa: PLC0415

    chosen = load_model(model)
    processes = jobs or os.cpu_count() or 1
    figures: Figures = dict(measure_large(chosen))
    with Bars() as bars, Inline() if processes == 1 else Workers(processes) as executor:
        figures |= measure_bulk(
            chosen,
            subjects,
            seed,
            executor,
            processes=processes,
            on_progress=lambda share: bars("scored", share),
        )
    return figures


def _shared(model: Path | None, workers: int, seed: int) -> Figures:
    from node.evaluation.ground import load_model  # noqa: PLC0415 - only this command needs it
    from node.evaluation.sharing import measure_sharing  # noqa: PLC0415

    return measure_sharing(load_model(model), workers, seed)


def _rows(figures: Figures) -> dict[str, tuple[str, str]]:
    """What is set beside an earlier run: each model's measures on each set, and the attacks."""
    measured = {
        f"sets.{name}.{model}.{key}": (f"{name}, {model}: {column}", "")
        for name, models in figures["sets"].items()
        for model in models
        for key, column in _COLUMNS.items()
    }
    attacked = {
        f"attacks.{attack}.{model}.{when}": (f"{attack}, {model}: {when}", "")
        for attack, models in figures["attacks"].items()
        for model in models
        for when in ("before", "after")
    }
    return measured | attacked


def _names(told: list[str] | None) -> list[str]:
    names = [name.strip() for each in told or KNOWN for name in each.split(",") if name.strip()]
    if not names:
        raise Misconfigured("--data names nothing: bitcoin-otc,crowd-gold, a folder, or a mapping")
    return names


def _measure(plan: "Plan", report: Path | None) -> dict[str, Any]:
    from node.evaluation.run import figures_of, measure_set, read_all  # noqa: PLC0415

    with Bars() as bars:
        measured = [measure_set(each, plan, bars) for each in read_all(plan.data)]
    figures = figures_of(measured, plan)
    if report is not None:
        from node.evaluation.page import write_report  # noqa: PLC0415 - loads the plotting

        stderr.print(f"report: {write_report(report, measured, figures)}")
    return figures


class Bars:
    """A bar for each stage, on stderr."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:22}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=stderr)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, share: float) -> None:
        """A stage is done so far, 0 … 1."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=1.0)
        self._progress.update(self._tasks[stage], completed=min(1.0, share))


def show(figures: dict[str, Any]) -> None:
    """The figures as tables."""
    for name, models in figures["sets"].items():
        about = figures["about"][name]
        stdout.print(f"\n[bold]{name}[/bold]: {about['title']}", soft_wrap=True)
        if about["note"]:
            stdout.print(about["note"], style="dim", soft_wrap=True)
        show_wide(_table("model", models))
        if "standing" in models:
            bins = figures["by_earlier_records"][name]["standing"]
            show_wide(_table("standing, by earlier records", bins))
    if figures["attacks"]:
        stdout.print(f"\nattacks on {', '.join(figures['attacked_sets'])}: mean of the targets")
        show_wide(attacks_table(figures["attacks"]))
    for name, dimensions in figures["fairness"].items():
        _show_fairness(name, dimensions)
    if figures["checks"]:
        show_wide(checks_table(figures["checks"]))


def show_wide(table: Table) -> None:
    """A table at its full width: where it is narrower, the terminal breaks lines, not words."""
    stdout.print(table, width=max(stdout.width, _WIDTH))


def _table(title: str, rows: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True)
    for column in _COLUMNS.values():
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(_text(row[key]) for key in _COLUMNS))
    return table


def _show_fairness(name: str, dimensions: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Every dimension that has more than one value, and the auditor's groups in any case."""
    for dimension, values in dimensions.items():
        if len(values) > 1 and dimension != "earlier_records":
            stdout.print(f"\n{name}, fairness by {dimension}")
            show_wide(fairness_table(dimension, values))


def fairness_table(dimension: str, values: dict[str, dict[str, Any]]) -> Table:
    """Calibration and errors by the values of a dimension; of few events the count alone."""
    keys = ("events", "observed", "predicted", "gap", "ece", "auc", "false_rejection",
            "false_acceptance")  # fmt: skip
    table = Table(box=None, pad_edge=False)
    table.add_column(dimension, no_wrap=True)
    for key in keys:
        table.add_column(key.replace("_", " "), justify="right", no_wrap=True)
    for value, row in values.items():
        table.add_row(value, *(_text(row.get(key)) for key in keys))
    return table


def attacks_table(attacks: dict[str, dict[str, dict[str, float]]]) -> Table:
    """Before and after, a column for each model."""
    table = Table(box=None, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for name in next(iter(attacks.values())):
        table.add_column(name, justify="right", no_wrap=True)
    for attack, effects in attacks.items():
        cells = (f"{each['before']:.2f} {each['after']:.2f}" for each in effects.values())
        table.add_row(attack, *cells)
    return table


def checks_table(checks: list[dict[str, Any]]) -> Table:
    """Figures beside what they must reach, and the aims."""
    table = Table(box=None, pad_edge=False)
    for column in ("check", "is", "must", "", "aim", ""):
        table.add_column(column, no_wrap=True)
    for check in checks:
        aimed = {None: "", True: "reached", False: "not yet"}[check["aim_met"]]
        value = _text(check["value"])
        met = "pass" if check["met"] else "FAIL"
        table.add_row(check["name"], value, check["must"], met, check["aim"], aimed)
    return table


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
