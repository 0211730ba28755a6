"""Figures as a table for people, alone or beside those of an earlier run."""

from collections.abc import Mapping, Sequence
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


def table_of(figures: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> Table:
    """One row per figure; with an earlier run its value and the change beside it."""
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    if earlier is not None:
        table.add_column("earlier", justify="right")
        table.add_column("change", justify="right")
    table.add_column("unit")
    for key, (name, unit) in ROWS.items():
        value = _at(figures, key)
        cells = [name, _text(value)]
        if earlier is not None:
            before = _at(earlier, key)
            cells += [_text(before), _change(value, before)]
        table.add_row(*cells, unit)
    return table


def _at(figures: Mapping[str, Any], key: str) -> Any:
    value: Any = figures
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return f"{value:,.1f}"
    if isinstance(value, Sequence):
        return " ".join(_text(each) for each in value)
    return str(value)


def _change(value: Any, before: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not isinstance(before, int | float) or not before:
        return ""
    return f"{(value / before - 1) * 100:+.1f} %"
