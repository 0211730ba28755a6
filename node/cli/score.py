"""`standing score SUBJECT`: how reliable, how sure, and why."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from node.cli.erased import show_erased
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

KEYS: Final = (
    "subject",
    "domain",
    "probability",
    "points",
    "interval",
    "evidence",
    "reasons",
    "thin_file",
    "model",
    "checkpoint",
)
# What each reason's code says to people.
WORDS: Final = {
    "platform-newcomers": "how newcomers of this platform do",
    "platform-offset": "how results on this platform differ of late from what was expected",
    "good-outcomes": "engagements completed, accepted and on time",
    "few-strong-counterparties": "few counterparties of long standing",
    "weak-evidence-capped": "weak word counts only so far",
    "idle-decay": "the evidence grows old",
    "other-domains": "evidence from other work",
    "other-platforms": "evidence from other platforms",
    "old-bad-outcomes": "earlier engagements that went wrong",
    "recent-bad-outcomes": "recent engagements that went wrong",
    "thin-file": "too little evidence for a score",
    "other": "everything else",
}

app = typer.Typer(add_completion=False)


@app.command()
def score(
    subject: Annotated[str, typer.Argument(help="platform:handle; number or code, 64 hex digits.")],
    *,
    domain: Annotated[str, typer.Option(help="A domain code; without it, all work.")] = "",
    role: Annotated[str, typer.Option(help="worker or client")] = "worker",
    size: SizeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """The probability that the next engagement is completed, accepted and on time."""
    query = {"role": role, **({"domain": domain} if domain else {}), **at_size(size)}
    found = ask(node, token_file, lambda client: client.score(subject, **query))
    if as_json:
        print_json({**{key: found[key] for key in KEYS}, **found})
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Print a score for people."""
    low, high = (f"{100 * share:.1f} %" for share in found["interval"])
    domain = found["domain"] or "all work"
    stdout.print(f"[bold]{found['subject']}[/]  as a {found['role']}, {domain}", soft_wrap=True)
    if found["thin_file"]:
        stdout.print("not enough evidence for a score: no guess is made")
    else:
        stdout.print(
            f"[bold]{100 * found['probability']:.1f} %[/] that the next engagement is completed, "
            f"accepted and on time   [bold]{found['points']}[/] points",
            soft_wrap=True,
        )
    stdout.print(f"between {low} and {high} (90 % interval)")
    stdout.print(_counted(found["counts"]))
    show_erased(found["erased"])
    if not found["thin_file"]:
        stdout.print(_reasons(found))
    checkpoint = found["checkpoint"]
    stdout.print(
        f"model {found['model']}, as of {_date(found['as_of'])}, checkpoint of "
        f"{checkpoint['size']} entries (block {checkpoint['height']})",
        style="dim",
        soft_wrap=True,
    )


def _counted(counts: dict[str, int]) -> str:
    names = ("good", "bad", "neutral", "open", "overdue")
    parts = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    files = f" in {counts['files']} linked files" if counts["files"] > 1 else ""
    engagements = (
        "1 engagement" if counts["engagements"] == 1 else f"{counts['engagements']} engagements"
    )
    return f"{engagements}{files}" + (f": {parts}" if parts else "")


def _reasons(found: dict[str, Any]) -> Table:
    """A table that adds up: a newcomer's points, each reason, the sum."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("why", footer="points")
    table.add_column("", justify="right", footer=str(found["points"]))
    table.add_row("where a newcomer starts", str(found["base_points"]))
    for reason in found["reasons"]:
        table.add_row(WORDS.get(reason["code"], reason["code"]), f"{reason['points']:+d}")
    return table


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
