"""Figures as a table for people, alone or beside those of an earlier run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

# key of the figures → what it is called, its unit
ROWS: Final = {
    "final_records_per_s": ("final records", "1/s"),
    "lone_latency_ms.p50": ("lone record final, median", "ms"),
    "lone_latency_ms.p99": ("lone record final, p99", "ms"),
    "half_load_latency_ms.p50": ("final at half load, median", "ms"),
    "half_load_latency_ms.p99": ("final at half load, p99", "ms"),
    "blocks_per_s": ("blocks", "1/s"),
    "cpu_us_per_record": ("CPU of all nodes per record", "µs"),
    "cpu_us_per_record_by_node": ("CPU of each node per record", "µs"),
    "load_cpu_us_per_record": ("CPU of the load itself per record", "µs"),
    "disk_bytes_per_record": ("disk per record and node", "B"),
    "wire_bytes_per_record": ("sent to peers per record and node", "B"),
    "rss_mib_max": ("largest node in memory", "MiB"),
    "tls": ("TLS 1.3 between nodes", ""),
    "fsync": ("fsync before each promise", ""),
}

UNITS: Final = {"ms": "ms", "us": "µs", "s": "s", "seconds": "s", "mib": "MiB", "bytes": "B"}
"""A word of a figure's name → its unit."""


def table_of(
    figures: Mapping[str, Any],
    earlier: Mapping[str, Any] | None = None,
    rows: Mapping[str, tuple[str, str]] = ROWS,
) -> Table:
    """One row per figure; with an earlier run its value and the change beside it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    if earlier is not None:
        table.add_column("earlier", justify="right")
        table.add_column("change", justify="right")
    table.add_column("unit")
    for key, (name, unit) in rows.items():
        value = figure_at(figures, key)
        cells = [name, _text(value)]
        if earlier is not None:
            before = figure_at(earlier, key)
            cells += [_text(before), _change(value, before)]
        table.add_row(*cells, unit)
    return table


def rows_of(figures: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Every figure by its own key, for `table_of`; parts of a figure stand below each other."""
    return {key: (key.replace(".", " "), _unit(key)) for key, _ in _leaves(figures)}


def compared(figures: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """`compared`: {key: [now, then, change in percent]} of each number that both runs have."""
    found = {}
    for key, value in _leaves(figures):
        before = figure_at(earlier, key)
        if _is_number(value) and _is_number(before):
            change = round((value / before - 1) * 100, 2) if before else None
            found[key] = [value, before, change]
    return {"compared": found}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The figures in the parts of a figure, by the keys that lead to them. Of a list whose items
    have parts, each one by its place from 0; any other list is one figure."""
    if isinstance(value, Mapping):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        parts = [(str(at), part) for at, part in enumerate(value)]
    else:
        yield key, value
        return
    for name, part in parts:
        yield from _leaves(part, f"{key}.{name}" if key else name)


def figure_at(figures: Mapping[str, Any], key: str) -> Any:
    """A figure, or a part of one, by the key that leads to it; None if it is not there."""
    value: Any = figures
    for part in key.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unit(key: str) -> str:
    """The unit in a figure's name, or in the nearest of those that it stands under."""
    for part in reversed(key.split(".")):
        if part.endswith("_per_s"):
            return "1/s"
        for word in part.split("_"):
            if word in UNITS:
                return UNITS[word]
    return ""


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            digits = 1 if abs(value) >= 10 else 2
            return f"{value:,.{digits}f}" if abs(value) >= 1 else f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_text(each) for each in value)
    return str(value)


def _change(value: Any, before: Any) -> str:
    if not _is_number(value) or not _is_number(before) or not before:
        return ""
    return f"{(value / before - 1) * 100:+.1f} %"
