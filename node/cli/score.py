"""`standing score SUBJECT`: how reliable, how sure, and why; what would change it, what tells most.

`--json` prints the score's keys as they ever were, and behind them `counterfactuals`, `information`
and `peers` (node/api/README.md, *The outlook*).
"""

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
TELLERS: Final = {
    "platform": "on the platform's own word",
    "new-counterparty": "on the word of a counterparty of full standing who is new",
    "known-counterparty": "on the word of one who has told before",
}

app = typer.Typer(add_completion=False)


@app.command()
def score(
    subject: Annotated[str, typer.Argument(help="platform:handle; number or code, 64 hex digits.")],
    *,
    domain: Annotated[str, typer.Option(help="A domain code; without it, all work.")] = "",
    role: Annotated[str, typer.Option(help="worker or client")] = "worker",
    size: SizeOption = None,
    outlook: Annotated[
        bool, typer.Option(help="What would change it, what tells most, and peers, too.")
    ] = True,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """The probability that the next engagement is completed, accepted and on time."""
    query = {"role": role, **({"domain": domain} if domain else {}), **at_size(size)}
    if outlook:
        whole = ask(node, token_file, lambda client: client.outlook(subject, **query))
        found = whole.pop("score")
    else:
        whole, found = {}, ask(node, token_file, lambda client: client.score(subject, **query))
    if as_json:
        print_json({**{key: found[key] for key in KEYS}, **found, **whole})
    else:
        show(found, whole)


def show(found: dict[str, Any], outlook: dict[str, Any]) -> None:
    """Print a score for people, and its outlook if there is one."""
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
    stdout.print(_base(found["base_rate"]), soft_wrap=True)
    if outlook and outlook["peers"] is not None:
        stdout.print(_peers(outlook["peers"], found), soft_wrap=True)
    stdout.print(_counted(found["counts"]) + _freshness(found), soft_wrap=True)
    for each in found["transfers"]:
        stdout.print(_transfer(each), soft_wrap=True)
    show_erased(found["erased"])
    if not found["thin_file"]:
        stdout.print(_reasons(found))
    if outlook:
        _show_outlook(outlook, found["domain"])
    checkpoint = found["checkpoint"]
    stdout.print(
        f"model {found['model']}, as of {_date(found['as_of'])}, checkpoint of "
        f"{checkpoint['size']} entries (block {checkpoint['height']})",
        style="dim",
        soft_wrap=True,
    )


def _base(base: dict[str, Any]) -> str:
    """What is said of whom nothing is known, and what that rests on."""
    newcomers = (
        f"{base['good']:,} of {base['results']:,} newcomers' results were good of late"
        if base["results"]
        else "no newcomers' results are counted"
    )
    return (
        f"base rate {100 * base['probability']:.1f} %, {base['points']} points: "
        f"with nothing known of a subject ({newcomers})"
    )


def _peers(peers: dict[str, Any], found: dict[str, Any]) -> str:
    """The place among comparable subjects, and that this is the node's own figure."""
    kind = f"comparable {found['role']}s"
    own = f"this node's own sample at {peers['size']} entries, not proven"
    if peers["quartiles"] is None:
        return f"{peers['sampled']} {kind} found, too few to stand among ({own})"
    if peers["percentile"] is None:
        first, _, last = (f"{100 * each:.1f} %" for each in peers["quartiles"])
        return f"half of {peers['sampled']} {kind} are between {first} and {last} ({own})"
    low, high = peers["percentiles"]
    return (
        f"above {peers['percentile']} % of {peers['sampled']} {kind}, {low} to {high} % by the "
        f"interval ({own})"
    )


def _transfer(told: dict[str, Any]) -> str:
    low, high = told["interval"]
    basis = f"{told['workers']:,} shared workers" if told["workers"] else "not measured yet"
    return (
        f"a result on {told['platform']} counts {told['weight']:.2f} of one here "
        f"({low:.2f} to {high:.2f}; {basis})"
    )


def _freshness(found: dict[str, Any]) -> str:
    if found["newest_days"] is None:
        return ""
    days = found["newest_days"]
    age = "today" if days == 0 else "1 day old" if days == 1 else f"{days:,} days old"
    off = f", {found['off_domain']} off the domain" if found["domain"] else ""
    return f"{off}; the newest is {'of ' if days == 0 else ''}{age}"


def _show_outlook(outlook: dict[str, Any], domain: str) -> None:
    """What more good engagements would lead to, and which next one tells most."""
    where = " in this domain" if domain else ""
    table = Table(box=None, pad_edge=False)
    table.add_column("completed, accepted and on time" + where)
    table.add_column("points", justify="right")
    for each in outlook["counterfactuals"]:
        count = each["engagements"]
        more = "1 more engagement" if count == 1 else f"{count} more engagements"
        table.add_row(f"{more} →", _range(each["points"]))
    stdout.print(table)
    best = outlook["information"][0]
    if best["narrower_q16"]:
        stdout.print(
            f"tells most next: an engagement {TELLERS.get(best['teller'], best['teller'])} "
            f"(the interval {100 * best['narrower']:.1f} % points narrower)",
            soft_wrap=True,
        )
    else:
        stdout.print("no single engagement would narrow the interval")


def _range(points: list[int] | None) -> str:
    if points is None:
        return "still too little"
    low, high = points
    return str(low) if low == high else f"{low}–{high}"


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
