"""`standing model show|compare|propose`: the model in force, and what another one would change.

A model comes into force by record only: a member proposes it, a quorum approves it
(`standing network approve`), and it binds at an epoch's end. Before it is proposed it is compared:
the whole ledger is executed under it, and who moves is counted.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.activating import with_model
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.errors import StandingError
from ledger.parameters import Parameters
from ledger.records.model import ModelActivate
from ledger.rows import HEAD_KEY, HeadRow, need_row, parameters_key
from node.api.changes import moves_of
from node.api.json_records import value_from_json, value_to_json
from node.audit.folder import FolderLedger
from node.audit.public import ExportedSource
from node.audit.remote import RemoteLedger
from node.cli.audit_kinds import is_url
from node.cli.changes import ACTIVATE, MODEL_EFFECT, moves_lines
from node.cli.comparison import show_comparison
from node.cli.members import hand_in, look
from node.cli.model_text import number_text, read_model, toml_text
from node.cli.output import fail, print_json, stderr, stdout
from node.cli.place import HomeOption, YesOption, confirm, folder_of, place_of
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, ask, read_token
from node.comparing.outcomes import EVENTS_MAX
from node.comparing.run import Plan, compare
from node.comparing.subjects import SUBJECTS_MAX
from node.home import TOKEN_FILE

EVENTS: Final = 2_000
SUBJECTS: Final = 10_000

app = typer.Typer(no_args_is_help=True, add_completion=False)

ModelOption = Annotated[
    Path, typer.Option("--model", help="The model file (TOML; `standing model show --toml`).")
]
EventsOption = Annotated[
    int,
    typer.Option(
        "--events", min=0, max=EVENTS_MAX, help="Measure calibration on at most so many outcomes."
    ),
]
SubjectsOption = Annotated[
    int,
    typer.Option("--subjects", min=1, max=SUBJECTS_MAX, help="Compare at most so many subjects."),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**53 - 1, help="What the samples are drawn by.")
]


@app.callback()
def _model() -> None:
    """The model of the score: what is in force, and how it changes."""


@app.command()
def show(
    *,
    node: Annotated[
        str, typer.Option("--node", envvar="STANDING_NODE", help="The node's address.")
    ] = "",
    toml: Annotated[bool, typer.Option("--toml", help="Print a model file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every number of the model in force on a node's ledger (of this program, without --node).

    Q16 numbers (65,536 is 1) are shown as decimals.
    """
    told = ask(node, None, lambda client: client.governance()) if node else None
    model = FIRST_MODEL if told is None else _model_of(told)
    if toml:
        stdout.file.write(toml_text(model))
        return
    if as_json:
        named = {"parameters": told["parameters"], "models": told["models"]} if told else {}
        print_json({**named, "model": value_to_json(model)})
        return
    for name, value in value_to_json(model).items():
        stdout.print(f"{name:28} {number_text(name, value)}", markup=False, soft_wrap=True)
    for each in told["models"] if told else ():
        stdout.print(
            f"epoch {each['epoch']}: {each['id']}, parameters {each['parameters']}",
            markup=False,
            soft_wrap=True,
        )


@app.command("compare")
def compare_(
    target: Annotated[str, typer.Argument(help="A node's URL, or a stopped node's folder.")],
    *,
    model: ModelOption,
    token_file: TokenFileOption = None,
    events: EventsOption = EVENTS,
    subjects: SubjectsOption = SUBJECTS,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Execute a ledger under another model, and show who moves, by how much, and how it predicts.

    Two numbers of each: on the day it comes into force (files as they stand), and replayed (had it
    been in force from the start, to which answers tend).
    """
    plan = Plan(_read(model), events, subjects, seed)
    figures = _compared(target, plan, token_file)
    if as_json:
        print_json(figures)
    else:
        show_comparison(figures)


@app.command()
def propose(
    *,
    model: ModelOption,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Hand it in without a comparison.")
    ] = False,
    events: EventsOption = EVENTS,
    subjects: SubjectsOption = SUBJECTS,
    seed: SeedOption = 0,
    read_token_file: Annotated[
        Path | None,
        typer.Option(
            help="A token that may read, for the comparison (with --home, its file `token`)."
        ),
    ] = None,
    yes: YesOption = False,
    home: HomeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose another model: a member's word, which counts as its approval.

    First the ledger is executed under it, and the difference is shown.
    """
    wanted, place = _read(model), place_of(home, node, token_file)
    network, told = look(place, lambda client, _: client.governance())
    moves = [value_to_json(each) for each in moves_of(_model_of(told), wanted)]
    if not moves:
        fail(f"{model} is the model in force; nothing was handed in")
    figures: dict[str, Any] | None = None
    if not no_compare:
        reading = read_token_file or (folder_of(home) / TOKEN_FILE if home else token_file)
        figures = _compared(place.node, Plan(wanted, events, subjects, seed), reading)
        if not as_json:
            show_comparison(figures)
    needed = f"{network['quorum']} of {len(network['members'])} members"
    lines = [
        f"{network['code']} proposes the model {wanted.id}, and so approves it: {ACTIVATE}",
        f"    it needs {needed}; once they approve, nobody stops it",
        *moves_lines(moves),
        *MODEL_EFFECT,
    ]
    confirm(lines, f"Propose the model {wanted.id}?", yes=yes, as_json=as_json)
    replaces = bytes.fromhex(told["parameters"])
    hand_in(
        lambda own, at_ms: ModelActivate(own, at_ms, replaces, wanted),
        f"the model {wanted.id} is proposed",
        place,
        as_json=as_json,
        beside={} if figures is None else {"comparison": figures},
    )


# --- what is compared ---


def _read(path: Path) -> Model:
    try:
        return read_model(path)
    except StandingError as error:
        fail(str(error))


def _model_of(told: dict[str, Any]) -> Model:
    """The model in force, as a node tells it."""
    return value_from_json(Model, told["model"])


def _compared(target: str, plan: Plan, token_file: Path | None) -> dict[str, Any]:
    """The figures of a comparison. Exit 2 if the ledger cannot be executed."""
    began = time.monotonic()
    try:
        with _opened(target, token_file) as ledger, _bar() as on_progress:
            figures = compare(ledger, plan, _in_force(ledger), on_progress=on_progress)
    except StandingError as error:
        fail(f"{target} cannot be compared: {error}")
    return {**figures, "seconds": round(time.monotonic() - began, 3)}


def _opened(target: str, token_file: Path | None) -> FolderLedger | RemoteLedger:
    if is_url(target):
        return RemoteLedger(target, read_token(token_file))
    if ExportedSource.is_at(Path(target)):
        raise StandingError(
            "an exported log holds no openings, which a score reads: name a stopped node's folder, "
            "or a node's URL with a token that may read"
        )
    return FolderLedger(Path(target))


def _in_force(ledger: FolderLedger | RemoteLedger) -> Parameters:
    """The parameters behind the ledger's newest block, by the store's or the node's own word."""
    if isinstance(ledger, FolderLedger):
        head = need_row(ledger.stored, HeadRow, HEAD_KEY)
        return need_row(ledger.stored, Parameters, parameters_key(head.parameters))
    told = ledger.ask(ledger.client.governance())
    return with_model(ledger.genesis().foundation.parameters, _model_of(told))


@contextmanager
def _bar() -> Iterator[Any]:
    """A progress bar for each part of the work, on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield tell
