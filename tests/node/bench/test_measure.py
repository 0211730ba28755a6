"""Measures: what they read, and how figures are made of them."""

import asyncio
import os
from io import StringIO
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest
from rich.console import Console

from node.bench import measure
from node.bench.report import table_of


def test_percentiles_by_rank() -> None:
    samples = [float(value) for value in range(1, 101)]
    assert measure.percentiles(samples[::-1]) == {"p50": 51.0, "p99": 100.0}
    assert measure.percentiles([3.0]) == {"p50": 3.0, "p99": 3.0}


def test_counters_are_read_from_the_text_of_metrics() -> None:
    registry = CollectorRegistry()
    counter = Counter("sent_bytes", "bytes", ("peer",), registry=registry)
    counter.labels("a").inc(5)
    counter.labels("b").inc(7)
    text = generate_latest(registry).decode()
    assert measure.counter(text, "sent_bytes_total") == 12
    assert measure.counter(text, "sent_bytes_total", {"peer": "b"}) == 7
    assert measure.counter(text, "other_total") == 0


def test_costs_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(bytes(1_000))
    (tmp_path / "file").write_bytes(bytes(24))
    assert measure.disk_bytes(tmp_path) == 1_024
    assert measure.rss_max_mib(os.getpid()) > 1
    assert measure.cpu_us(os.getpid()) > 0
    assert measure.own_cpu_us() > 0


async def test_a_port_without_tls_is_found_out() -> None:
    async def shut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"hello\r\n")
        writer.close()

    server = await asyncio.start_server(shut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert not await measure.speaks_tls("127.0.0.1", port)
    server.close()
    await server.wait_closed()
    assert not await measure.speaks_tls("127.0.0.1", port)


def test_the_table_compares_with_an_earlier_run() -> None:
    figures = {"final_records_per_s": 3_000.0, "lone_latency_ms": {"p50": 50.0}, "tls": True}
    earlier = {"final_records_per_s": 2_000.0, "lone_latency_ms": {"p50": 100.0}}
    written = StringIO()
    Console(file=written, width=120).print(table_of(figures, earlier))
    text = written.getvalue()
    assert "+50.0 %" in text
    assert "-50.0 %" in text
    assert "yes" in text
