"""How every `standing bench` shows its figures: one JSON object, or a table; each with `--compare`
beside those of an earlier run of the same command."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ledger.errors import Misconfigured
from node.cli.output import print_json, stdout

FIGURES_BYTES_MAX: Final = 16 * 1_024 * 1_024

CompareOption = Annotated[
    Path | None, typer.Option("--compare", help="JSON of an earlier run, shown beside this one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Figures = dict[str, Any]


def earlier_figures(path: Path | None) -> Figures | None:
    """The figures of an earlier run; read before anything is measured.

    Raises:
        Misconfigured: the file cannot be read, or holds none.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FIGURES_BYTES_MAX), type=Figures)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"--compare {path} is no figures of an earlier run: {error}") from error


def show(
    figures: Figures,
    *,
    as_json: bool,
    earlier: Figures | None = None,
    rows: Mapping[str, tuple[str, str]] | None = None,
    told: Callable[[Figures], None] | None = None,
) -> None:
    """Print the figures; `rows`: which are in the table, each with its name and unit (else all).

    `told` prints the figures in tables of their own: then the rows follow only with an earlier run.
    With an earlier run the JSON has `compared` besides: of each figure that is a number in both,
    [now, then, the change in percent or null where it was 0].
    """
    from node.bench.report import compared, rows_of, table_of  # noqa: PLC0415 - loads the tables

    if as_json:
        print_json(figures if earlier is None else figures | compared(figures, earlier))
        return
    if told is not None:
        told(figures)
    if told is None or earlier is not None:
        stdout.print(table_of(figures, earlier, rows or rows_of(figures)))
