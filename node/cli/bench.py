"""`standing bench`: figures of this machine, each with one command."""

import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ledger.errors import Misconfigured
from node import federation, sampling
from node.cli import evaluation, growth
from node.cli.figures import CompareOption, Figures, JsonOption, earlier_figures, show
from node.cli.load_options import (
    CLIENTS,
    RECORDS_MAX,
    WORKERS,
    KeptOption,
    NewFolderOption,
    PeopleOption,
    RaterSignedOption,
    SecondsOption,
    SeedOption,
)
from node.cli.output import stderr
from node.cli.stages import ProgressOf, run_whole, stages

if TYPE_CHECKING:
    from node.bench.cluster import Plan

app = typer.Typer(
    help="Figures of this machine, each with one command.",
    no_args_is_help=True,
    add_completion=False,
)

app.command()(evaluation.score)
app.command()(growth.growth)

NODES_MAX: Final = 26
PRELOADED_NODES: Final = 4
SAMPLE_MS: Final = 5

Measure = Callable[[federation.Federation, ProgressOf], Awaitable[dict[str, Any]]]


@app.callback()
def bench() -> None:
    """Figures of this machine, each with one command."""


@app.command()
def cluster(
    *,
    nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, help="Platforms, a node each.")] = 4,
    seconds: SecondsOption = 60.0,
    preload: Annotated[
        int, typer.Option(min=0, max=RECORDS_MAX, help="Records in the ledger beforehand.")
    ] = 0,
    kept: KeptOption = None,
    rater_signed: RaterSignedOption = False,
    seed: SeedOption = 1,
    workers: PeopleOption = WORKERS,
    clients: PeopleOption = CLIENTS,
    split: Annotated[
        bool, typer.Option("--split", help="Look in the nodes where their CPU goes (1 % more).")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="SVG to draw: throughput against latency."),
    ] = None,
    folder: NewFolderOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a federation of processes, TLS and LevelDB as in production, under the fixed load."""
    from node.bench.cluster import CURVE_SHARES, Plan, measure_cluster  # noqa: PLC0415 - slow
    from node.bench.load import Population  # noqa: PLC0415

    if preload and nodes != PRELOADED_NODES:
        raise Misconfigured(f"--preload: the made ledger is one of {PRELOADED_NODES} platforms")
    earlier = earlier_figures(compare)
    plan = Plan(
        seconds=seconds,
        preload=preload,
        seed=seed,
        population=Population(workers, clients, rater_signed=rater_signed),
        curve_shares=CURVE_SHARES if plot else (),
    )
    if split:
        os.environ[sampling.VARIABLE] = str(SAMPLE_MS)
    codes = [chr(ord("a") + place) for place in range(nodes)]
    if preload:
        figures = _on_preloaded(folder, kept, plan)
    else:
        figures = _on_federation(
            folder, codes, lambda running, progress: measure_cluster(running, plan, progress)
        )
    from node.bench.report import ROWS  # noqa: PLC0415

    rows = ROWS | {f"cpu_split.{room}": (f"… {room}", "%") for room in figures["cpu_split"] or ()}
    if plot is not None:
        _draw(plot, figures, earlier)
    show(figures, as_json=as_json, earlier=earlier, rows=rows)


def _draw(path: Path, figures: Figures, earlier: Figures | None) -> None:
    from node.bench.curve import draw_curve  # noqa: PLC0415

    try:
        path.write_bytes(draw_curve(figures["curve"], (earlier or {}).get("curve") or ()))
    except OSError as error:
        raise Misconfigured(f"--plot {path} cannot be written: {error.strerror}") from error


@app.command()
def audit(
    *,
    records: Annotated[
        int, typer.Option(min=100, max=RECORDS_MAX, help="Records of the ledger that is made.")
    ] = 1_000_000,
    rater_signed: RaterSignedOption = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="New folder for the ledger, kept afterwards.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="As of `standing audit`.")] = 0,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a ledger of four platforms in a folder, and time `standing audit` on it."""
    from node.bench.audit import measure_audit  # noqa: PLC0415

    earlier = earlier_figures(compare)
    if folder is not None and folder.exists():
        raise Misconfigured(f"{folder} is there already: name a new folder")
    with tempfile.TemporaryDirectory(prefix="standing-bench-") as temporary, stages() as progress:
        place = folder or Path(temporary) / "ledger"
        place.mkdir(parents=True)
        figures = measure_audit(
            place,
            records,
            rater_signed=rater_signed,
            options=("--jobs", str(jobs)),
            progress=progress,
        )
    show(figures, as_json=as_json, earlier=earlier)
    raise typer.Exit(1 if figures["findings"] else 0)


@app.command()
def index(
    *,
    keys: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10_000_000, help="Keys in the map; may be given several times."),
    ] = None,
    block: Annotated[int, typer.Option(min=1, help="Keys that one block updates.")] = 5_000,
    window: Annotated[int, typer.Option(min=1, max=4_096, help="Versions kept.")] = 16,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time and memory of the index at 1,000, 100,000 and 1,000,000 keys."""
    from node.bench.index import measure  # noqa: PLC0415

    earlier = earlier_figures(compare)
    sizes = [
        measure(count, block, window, stderr.print) for count in keys or [1_000, 100_000, 1_000_000]
    ]
    largest = max(sizes, key=lambda each: int(each["keys"]))
    chosen = {name: largest[name] for name in ("us_per_update", "proof_bytes", "memory_mib")}
    figures = {**chosen, "window_blocks": window, "sizes": sizes}
    show(figures, as_json=as_json, earlier=earlier)


@app.command()
def faults(
    *,
    kills: Annotated[int, typer.Option(min=0, max=1_000, help="Leaders that are killed.")] = 10,
    freeze_seconds: Annotated[
        float, typer.Option(min=0, max=3_600, help="How long two nodes stand still.")
    ] = 60.0,
    flood_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="How long each kind of flood lasts.")
    ] = 20.0,
    flood: Annotated[
        list[str] | None, typer.Option(help="A kind of flood; may be given several times.")
    ] = None,
    seed: SeedOption = 1,
    folder: NewFolderOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Kill leaders, freeze half of four nodes, and flood the others, all under load; 0 leaves a
    part out."""
    from node.bench.faults.garbage import EVERY  # noqa: PLC0415
    from node.bench.faults.ground import CODES, Plan  # noqa: PLC0415 - loads the HTTP client
    from node.bench.faults.run import measure_faults  # noqa: PLC0415

    earlier = earlier_figures(compare)
    unknown = sorted(set(flood or ()) - set(EVERY))
    if unknown:
        raise Misconfigured(f"--flood {unknown[0]}: the kinds are {', '.join(EVERY)}")
    plan = Plan(
        kills=kills,
        freeze_seconds=freeze_seconds,
        flood_seconds=flood_seconds,
        floods=tuple(flood or ()),
        seed=seed,
    )
    figures = _on_federation(
        folder, CODES, lambda running, progress: measure_faults(running, plan, progress)
    )
    show(figures, as_json=as_json, earlier=earlier)


@app.command()
def sync(
    *,
    records: Annotated[
        int, typer.Option(min=100, max=RECORDS_MAX, help="Records while the node is away.")
    ] = 200_000,
    mode: Annotated[
        str, typer.Option(help="replay: its store is there; snapshot: it comes back without one.")
    ] = "replay",
    rate: Annotated[
        float, typer.Option(min=1, max=10_000, help="Records/s on the others meanwhile.")
    ] = 200.0,
    seed: SeedOption = 1,
    workers: PeopleOption = WORKERS,
    clients: PeopleOption = CLIENTS,
    folder: NewFolderOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """How fast one of four nodes that was away comes back, while the others go on."""
    from node.bench.load import Population  # noqa: PLC0415
    from node.bench.sync import CODES, MODES, Plan, measure_sync  # noqa: PLC0415

    earlier = earlier_figures(compare)
    if mode not in MODES:
        raise Misconfigured(f"--mode {mode}: it is one of {', '.join(MODES)}")
    plan = Plan(
        records=records,
        mode=MODES[mode],
        records_per_s=rate,
        seed=seed,
        population=Population(workers, clients),
    )
    figures = _on_federation(
        folder, CODES, lambda running, progress: measure_sync(running, plan, progress)
    )
    show(figures, as_json=as_json, earlier=earlier)


@app.command()
def submit(
    *,
    nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, help="Platforms, a node each.")] = 4,
    records: Annotated[
        int, typer.Option(min=300, max=10_000_000, help="Records by stream, in each form.")
    ] = 60_000,
    singles: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Records of one POST each.")
    ] = 6_000,
    streams: Annotated[int, typer.Option(min=1, max=64, help="Streams at a time.")] = 2,
    connections: Annotated[
        int, typer.Option(min=1, max=256, help="Connections for single records.")
    ] = 32,
    seed: SeedOption = 1,
    folder: NewFolderOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """How many records become final that come in through one node: by streams, and one by one."""
    from node.bench.submit import Plan, measure_submit  # noqa: PLC0415 - loads the HTTP client

    earlier = earlier_figures(compare)
    plan = Plan(records, singles, streams, connections, seed)
    codes = [chr(ord("a") + place) for place in range(nodes)]
    figures = _on_federation(
        folder, codes, lambda running, progress: measure_submit(running, plan, progress)
    )
    show(figures, as_json=as_json, earlier=earlier)


@app.command()
def query(
    *,
    records: Annotated[
        int, typer.Option(min=1_000, max=RECORDS_MAX, help="Records of the ledger that is made.")
    ] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each kind of question.")] = 10.0,
    connections: Annotated[int, typer.Option(min=1, max=256, help="Asked over at a time.")] = 4,
    seed: SeedOption = 1,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder of the ledger: made, kept, taken again.")
    ] = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """How fast one node answers scores, plain and with proof, with a ledger in its store."""
    import uvloop  # noqa: PLC0415

    from node.bench.query import Plan, measure_query, prepare  # noqa: PLC0415

    earlier = earlier_figures(compare)
    plan = Plan(records=records, seconds=seconds, connections=connections, seed=seed)
    with tempfile.TemporaryDirectory(prefix="standing-bench-") as temporary, stages() as progress:
        place = folder or Path(temporary) / "federation"
        prepare(place, plan, progress)
        figures = uvloop.run(measure_query(place, plan, progress))
    show(figures, as_json=as_json, earlier=earlier)


def _on_federation(folder: Path | None, codes: Sequence[str], measure: Measure) -> dict[str, Any]:
    """What is measured on a new federation: in a folder that is kept, or in a temporary one."""
    with tempfile.TemporaryDirectory(prefix="standing-bench-") as temporary, stages() as progress:
        place = folder or Path(temporary) / "federation"
        federation.create(place, codes)
        return _run(place, measure, progress)


def _on_preloaded(folder: Path | None, kept: Path | None, plan: "Plan") -> dict[str, Any]:
    """The load on a federation whose nodes begin with a made ledger."""
    from node.bench.cluster import measure_cluster  # noqa: PLC0415
    from node.bench.preload import Kept  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="standing-bench-") as temporary, stages() as progress:
        ledgers = Kept.under(kept or Path(temporary) / "kept", plan.population, plan.seed)
        ledgers.make([plan.preload], progress)
        place = folder or Path(temporary) / "federation"
        made = ledgers.lay_out(plan.preload, place)
        whole = replace(plan, preload=made.records, engagements=made.engagements)
        return _run(place, lambda running, told: measure_cluster(running, whole, told), progress)


def _run(place: Path, measure: Measure, progress: ProgressOf) -> dict[str, Any]:
    """What is measured while the federation of a folder runs."""

    async def run() -> dict[str, Any]:
        progress("starting", 0.0)
        async with federation.Federation.at(place) as running:
            progress("starting", 1.0)
            return await measure(running, progress)

    return run_whole(run())
