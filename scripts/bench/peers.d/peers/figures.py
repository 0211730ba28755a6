"""What is told of each system, the ratios between them, and the table.

A system is measured by a function that returns `Measured`; what it is (its promises, and what it
does not do) stands beside that function in `System`. One that cannot be had raises `Missing`, one
that ran and went wrong `Failed`: both then say `ran: false` and why not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from ledger.errors import StandingError
from node.bench.cluster import CHUNK_RECORDS, STREAMS, WINDOW_RECORDS

NODES: Final = 4
OURS: Final = "standing"
WHY_NOT_CHARS_MAX: Final = 600

Say = Callable[[str], None]


class Missing(StandingError):
    """The system cannot be had on this machine."""


class Failed(StandingError):
    """The system was there and did not do what was asked of it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for every system."""

    seconds: float
    run_in_seconds: float = 5.0
    lone_samples: int = 100
    streams: int = STREAMS * NODES
    chunk_records: int = CHUNK_RECORDS
    window_records: int = WINDOW_RECORDS * NODES
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run found. Latencies are of lone records, in ms; CPU is of the system's processes.

    `fsync` and `tls` are what was seen. `how` says how it was loaded.
    """

    version: str
    operations: int
    seconds: float
    lone_ms: Mapping[str, float]
    processes: int
    fsync: bool
    tls: bool
    cpu_us: int
    how: str

    @property
    def operations_per_s(self) -> float:
        """Final operations by the second of the measured time."""
        return round(self.operations / self.seconds, 1)


@dataclass(frozen=True, slots=True)
class System:
    """A system, what it promises and what it does not do.

    `byzantine_tolerance`: how many of its processes may lie without harm.
    """

    name: str
    title: str
    byzantine_tolerance: int
    signed_records: bool
    what_it_does_not_do: tuple[str, ...]
    measure: Callable[[Terms, Path, Say], Measured]


def figures_of(system: System, found: Measured | str) -> dict[str, Any]:
    """One system's part of the JSON object; a text tells why it did not run."""
    ran = not isinstance(found, str)
    told = found if isinstance(found, Measured) else None
    return {
        "ran": ran,
        "why_not": "" if told else str(found)[:WHY_NOT_CHARS_MAX],
        "version": told.version if told else "",
        "operations_per_s": told.operations_per_s if told else None,
        "latency_ms": dict(told.lone_ms) if told else None,
        "processes": told.processes if told else None,
        "fsync": told.fsync if told else None,
        "tls": told.tls if told else None,
        "byzantine_tolerance": system.byzantine_tolerance,
        "signed_records": system.signed_records,
        "what_it_does_not_do": list(system.what_it_does_not_do),
        "operations": told.operations if told else None,
        "seconds": round(told.seconds, 2) if told else None,
        "cpu_us_per_operation": _per_operation(told) if told else None,
        "how": told.how if told else "",
    }


def _per_operation(told: Measured) -> float:
    return round(told.cpu_us / max(told.operations, 1), 2)


def ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Standing's operations per second over each other system's; None where one is not there."""
    ours = systems.get(OURS, {}).get("operations_per_s")
    return {
        name: round(ours / theirs, 2) if ours and theirs else None
        for name, theirs in (
            (name, each["operations_per_s"]) for name, each in systems.items() if name != OURS
        )
    }


def table_of(
    systems: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], by: Mapping[str, Any]
) -> Table:
    """One row per system: what it made, beside what it promises; `by` are the ratios."""
    table = Table(box=None, pad_edge=False)
    table.add_column("system")
    for name in ("final/s", "lone p50 ms", "p99 ms", "CPU µs each", "processes"):
        table.add_column(name, justify="right")
    for name in ("fsync", "TLS", "liars borne", "signed"):
        table.add_column(name)
    table.add_column("Standing is", justify="right")
    for name, each in systems.items():
        if not each["ran"]:
            table.add_row(titles[name], "not run")
            continue
        table.add_row(
            titles[name],
            f"{each['operations_per_s']:,.0f}",
            f"{each['latency_ms']['p50']:,.1f}",
            f"{each['latency_ms']['p99']:,.1f}",
            f"{each['cpu_us_per_operation']:,.0f}",
            str(each["processes"]),
            _yes(each["fsync"]),
            _yes(each["tls"]),
            str(each["byzantine_tolerance"]),
            _yes(each["signed_records"]),
            f"{by[name]:.2f} ×" if by.get(name) else "",
        )
    return table


def notes_of(systems: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> Sequence[str]:
    """Below the table: how each was loaded or why it did not run, and what it does not do."""
    lines: list[str] = []
    for name, each in systems.items():
        version = f" {each['version']}" if each["version"] else ""
        lines.append(f"{titles[name]}{version}: {each['how'] or 'not run: ' + each['why_not']}")
        lines += [f"    does not: {text}" for text in each["what_it_does_not_do"]]
    return lines


def _yes(seen: bool) -> str:
    return "yes" if seen else "no"
