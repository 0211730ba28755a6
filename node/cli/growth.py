"""`standing bench growth`: the figures of a federation with more and more records in its ledger."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from ledger.errors import Misconfigured
from node.cli.figures import CompareOption, Figures, JsonOption, earlier_figures, show
from node.cli.load_options import (
    CLIENTS,
    RECORDS_MAX,
    WORKERS,
    KeptOption,
    PeopleOption,
    SecondsOption,
    SeedOption,
)
from node.cli.output import stdout
from node.cli.stages import run_whole, stages

SIZES: Final = (0, 1_000_000, 5_000_000, 10_000_000)

# key of a point → what it is called, its unit
ROWS: Final = {
    "final_records_per_s": ("final records", "1/s"),
    "throughput_share": ("… over those of the first size", ""),
    "cpu_us_per_record": ("CPU of all nodes per record", "µs"),
    "lone_latency_ms.p50": ("lone record final, median", "ms"),
    "lone_latency_ms.p99": ("lone record final, p99", "ms"),
    "proven_scores_per_s": ("scores with proof", "1/s"),
    "proven_score_ms.p50": ("score with proof, median", "ms"),
    "proven_score_ms.p99": ("score with proof, p99", "ms"),
    "rss_mib_max": ("largest node in memory", "MiB"),
    "anonymous_mib_max": ("… without pages of tables", "MiB"),
    "disk_bytes_per_record": ("disk per record and node", "B"),
    "start_clean_s": ("start after a stop", "s"),
    "start_killed_s": ("start after SIGKILL", "s"),
    "start_all_s": ("start of all four at once", "s"),
    "stop_s": ("stop", "s"),
}


def growth(
    *,
    records: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=RECORDS_MAX,
            help="Records in the ledger beforehand; may be given several times.",
        ),
    ] = None,
    seconds: SecondsOption = 20.0,
    seed: SeedOption = 1,
    workers: PeopleOption = WORKERS,
    clients: PeopleOption = CLIENTS,
    kept: KeptOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Throughput, latency, queries, memory, disk and starts at growing sizes of the ledger."""
    from node.bench.growth import GrowthPlan, measure_growth  # noqa: PLC0415
    from node.bench.load import Population  # noqa: PLC0415
    from node.bench.preload import Kept  # noqa: PLC0415

    earlier = earlier_figures(compare)
    population = Population(workers, clients)
    sizes = tuple(records or SIZES)
    plan = GrowthPlan(sizes=sizes, population=population, seconds=seconds, seed=seed)
    with tempfile.TemporaryDirectory(prefix="standing-bench-") as temporary, stages() as progress:
        place = Kept.under(kept or Path(temporary), population, seed)
        try:
            place.make(sizes, progress)
            figures = run_whole(measure_growth(place, plan, progress))
        except OSError as error:
            raise Misconfigured(f"{place.folder} cannot be used: {error}") from error
    tell(figures, as_json=as_json, earlier=earlier)


def tell(figures: Figures, *, as_json: bool, earlier: Figures | None) -> None:
    """Print the figures: a column for each size; with an earlier run, each size beside its own."""
    rows = {
        f"points.{at}.{key}": (f"{point['records']:,}: {name}", unit)
        for at, point in enumerate(figures["points"])
        for key, (name, unit) in ROWS.items()
    }
    show(figures, as_json=as_json, earlier=earlier, rows=rows, told=_table)


def _table(figures: Figures) -> None:
    stdout.print(table_of(figures["points"]))


def table_of(points: Sequence[Mapping[str, Any]]) -> Table:
    """One row per figure, one column per size."""
    from node.bench.report import figure_at  # noqa: PLC0415 - loads the benches' tables

    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for point in points:
        table.add_column(f"{point['records']:,}", justify="right")
    table.add_column("unit")
    for key, (name, unit) in ROWS.items():
        table.add_row(name, *(_text(figure_at(point, key)) for point in points), unit)
    return table


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.1f}"
