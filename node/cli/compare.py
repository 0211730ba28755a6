"""`standing compare SUBJECT SUBJECT …`: several at one checkpoint, and who can be told apart.

No order is claimed that the intervals do not warrant: whoever cannot be told apart from the first
of a group stands in that group.
"""

from typing import Annotated, Any, Final

import typer
from rich.table import Table

from ledger.bundle_verify import show_time
from node.cli.output import print_json, stdout
from node.cli.target import (
    NODE_URL,
    JsonOption,
    NodeOption,
    SizeOption,
    TokenFileOption,
    ask,
    at_size,
)

HANDLE_SHOWN: Final = 12

app = typer.Typer(add_completion=False)


@app.command()
def compare(
    subjects: Annotated[
        list[str],
        typer.Argument(help="Two to twenty, each platform:handle; number or code, 64 hex digits."),
    ],
    *,
    domain: Annotated[str, typer.Option(help="A domain code; without it, all work.")] = "",
    role: Annotated[str, typer.Option(help="worker or client")] = "worker",
    size: SizeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score several subjects at one checkpoint, and say who of them cannot be told apart."""
    query = {"role": role, **({"domain": domain} if domain else {}), **at_size(size)}
    found = ask(node, token_file, lambda client: client.compare(subjects, **query))
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Print a comparison for people."""
    names = _names(found)
    scores = {each["subject"]: each for each in found["scores"]}
    stdout.print(f"as {found['role']}s, {found['domain'] or 'all work'}; 90 % intervals")
    table = Table(box=None, pad_edge=False)
    for name in ("", "subject"):
        table.add_column(name)
    for name in ("probability", "between", "points", "evidence"):
        table.add_column(name, justify="right")
    for nth, group in enumerate(found["groups"], 1):
        for at, subject in enumerate(group):
            table.add_row("" if at else str(nth), names[subject], *_cells(scores[subject]))
    stdout.print(table)
    for line in _verdict(found, names):
        stdout.print(line, markup=False, soft_wrap=True)
    checkpoint = found["checkpoint"]
    stdout.print(
        f"model {found['model']}, as of {show_time(found['as_of'])}, checkpoint of "
        f"{checkpoint['size']} entries (block {checkpoint['height']})",
        style="dim",
        soft_wrap=True,
    )


def _cells(score: dict[str, Any]) -> tuple[str, str, str, str]:
    low, high = (f"{100 * each:.1f}" for each in score["interval"])
    thin = score["thin_file"]
    return (
        "thin" if thin else f"{100 * score['probability']:.1f} %",
        f"{low}–{high} %",
        "–" if thin else str(score["points"]),
        str(score["evidence"]),
    )


def _verdict(found: dict[str, Any], names: dict[str, str]) -> list[str]:
    """The pairs that cannot be told apart, by whom they are about; and who is one person."""
    pairs = found["not_distinguishable"]
    count = len(found["scores"])
    lines = [f"not distinguishable: {names[one]} and {names[other]}" for one, other in pairs]
    if len(pairs) == count * (count - 1) // 2:
        lines = ["not distinguishable: all of them; their intervals overlap"]
    elif not pairs:
        lines = ["each can be told apart from every other"]
    same = found["same_person"]
    return lines + [
        f"one person, by a link: {names[one]} and {names[other]}" for one, other in same
    ]


def _names(found: dict[str, Any]) -> dict[str, str]:
    """Subjects with their handles cut short, whole where that would name two alike."""
    whole = [each["subject"] for each in found["scores"]]
    short = [f"{each[: each.index(':') + 1 + HANDLE_SHOWN]}…" for each in whole]
    return {
        name: cut if short.count(cut) == 1 else name for name, cut in zip(whole, short, strict=True)
    }
