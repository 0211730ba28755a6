"""`standing file SUBJECT`: all that stands about one subject, in log order."""

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
from node.client import Client

PAGE_LEAVES: Final = 1_000
# Of each type, the fields that tell most.
_TOLD: Final = {
    "subject.register": ("assurance",),
    "engagement.open": ("format", "role", "domains"),
    "engagement.outcome": ("status", "fault", "acceptance"),
    "rating": ("direction", "value", "scale"),
    "erasure": ("scope",),
}

app = typer.Typer(add_completion=False)


@app.command()
def file(
    subject: Annotated[str, typer.Argument(help="platform:handle; number or code, 64 hex digits.")],
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many leaves.")] = 10_000,
    size: SizeOption = None,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every record about a subject, with what execution added to it."""
    found = ask(node, token_file, lambda client: _whole(client, subject, limit, at_size(size)))
    if as_json:
        print_json(found)
        return
    leaves = found["leaves"]
    stdout.print(f"[bold]{found['subject']}[/]  assurance: {found['assurance']}", soft_wrap=True)
    for link in found["links"]:
        stdout.print(f"linked with {link}", soft_wrap=True)
    show_erased(found["erased"])
    stdout.print(_table(leaves), soft_wrap=True)
    rest = "" if found["next"] is None else "; there are more (--limit)"
    stdout.print(f"{len(leaves)} leaves under a log of {found['size']} entries{rest}", style="dim")


async def _whole(client: Client, subject: str, limit: int, query: dict[str, str]) -> dict[str, Any]:
    found = await client.file(subject, limit=str(min(limit, PAGE_LEAVES)), **query)
    leaves = found["leaves"]
    while found["next"] is not None and len(leaves) < limit:
        size = min(limit - len(leaves), PAGE_LEAVES)
        start = str(found["next"])
        found = await client.file(subject, limit=str(size), **query, **{"from": start})
        leaves += found["leaves"]
    return {**found, "leaves": leaves}


def _table(leaves: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("log", "at", "type", "says", "record id"):
        table.add_column(name, justify="right" if name == "log" else "left", no_wrap=name != "says")
    for leaf in leaves:
        record = leaf["record"]
        at = leaf["time"] if record is None else record["at"]
        table.add_row(
            str(leaf["log_index"]), _date(at), leaf["type"], _says(leaf), leaf["id"][:16] + "…"
        )
    return table


def _says(leaf: dict[str, Any]) -> str:
    record, target = leaf["record"], leaf["target"]
    if leaf["erasure"] is not None:
        return f"(erased by {leaf['erasure']})"
    if leaf["type"] == "erasure" and target is not None:
        return f"erases {target}"
    if record is None:
        return "(not held here)"
    if leaf["type"] == "erasure.ack":
        return f"platform {record['platform']} has destroyed what {target} erases"
    if leaf["type"] == "subject.link":
        sides = [f"{record[s + '_platform']}:{record[s + '_handle'][:8]}…" for s in _SIDES]
        return " = ".join(sides)
    parts = [record[name] for name in _TOLD.get(leaf["type"], ())]
    told = [", ".join(part) if isinstance(part, list) else str(part) for part in parts]
    annotation = leaf["annotation"]
    if annotation and annotation["retrospective"]:
        told.append("told in hindsight")
    return " · ".join(told)


_SIDES: Final = ("first", "second")


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
