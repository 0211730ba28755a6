"""What a node's process costs: CPU, memory, disk, bytes on the wire; and whether it speaks TLS."""

import asyncio
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
LATENCY_SHARES: Final = {"p50": 0.50, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one node's process had used up at one moment."""

    cpu_us: int
    rss_max_mib: float
    disk_bytes: int
    wire_bytes: int
    syncs: int
    rooms_s: Mapping[str, float]
    """Processor time by room (`node/sampling.py`); nought where nobody looks."""


def cpu_us(pid: int) -> int:
    """User and system time of a process and all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


def own_cpu_us() -> int:
    """User and system time of this process so far."""
    times = os.times()
    return int((times.user + times.system) * 1_000_000)


def rss_max_mib(pid: int) -> float:
    """The most memory that a process ever held."""
    return _status_mib(pid, "VmHWM:")


def rss_mib(pid: int) -> float:
    """The memory that a process holds."""
    return _status_mib(pid, "VmRSS:")


def anonymous_mib(pid: int) -> float:
    """The memory that a process holds itself: without pages of files, which the system may take
    back at any time."""
    return _status_mib(pid, "RssAnon:")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def disk_bytes(folder: Path) -> int:
    """Bytes of all files under a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def counter(metrics: str, name: str, labels: Mapping[str, str] | None = None) -> float:
    """The sum of a counter's samples that carry these labels, from a /metrics text."""
    wanted = (labels or {}).items()
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name and wanted <= sample.labels.items()
    )


async def speaks_tls(host: str, port: int) -> bool:
    """Whether a port answers with TLS 1.3, seen by shaking hands with it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # we ask how it speaks, not who it is
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=context), 5)
    except (OSError, TimeoutError):  # ssl.SSLError is an OSError
        return False
    version = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    return bool(version == "TLSv1.3")


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of latencies, by nearest rank."""
    ordered = sorted(samples_ms)
    return {
        name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
        for name, share in LATENCY_SHARES.items()
    }


def per_record(total: float, records: int) -> float:
    """A share per record, with two decimals; 0 where there is no record."""
    return round(total / records, 2) if records else 0.0


def spread(values: Iterable[float], records: int) -> list[float]:
    """Each node's share per record."""
    return [per_record(value, records) for value in values]
