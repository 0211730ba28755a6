"""What the command line says of files that are partly erased, for `standing score` and `file`."""

from datetime import UTC, datetime
from typing import Any

from node.cli.output import stdout


def show_erased(erased: dict[str, Any] | None) -> None:
    """Say that a file is partly erased, by what, and who has yet to acknowledge it; or nothing."""
    if erased is None:
        return
    stdout.print(
        f"[yellow]partly erased[/]: {_counted(erased['records'])} at the wish of someone they are "
        "about; what is erased counts for nothing",
        soft_wrap=True,
    )
    for each in erased["erasures"]:
        stdout.print(_told(each), soft_wrap=True, style="dim")
    stdout.print(
        "  bundles given out before an erasure hold what is erased, and cannot be recalled",
        soft_wrap=True,
        style="dim",
    )


def _told(erasure: dict[str, Any]) -> str:
    told = (
        f"  {_date(erasure['time'])}  erasure {erasure['id'][:16]}…: {_counted(erasure['records'])}"
    )
    if erasure["done"] is None:
        return f"{told}; still going on"
    acknowledged = ", ".join(erasure["acknowledged"]) or "nobody yet"
    told += f"; acknowledged by {acknowledged}"
    if erasure["awaited"]:
        told += f"; awaited of {', '.join(erasure['awaited'])} until {_date(erasure['due'])}"
    return told


def _counted(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M")
