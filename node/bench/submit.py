"""`standing bench submit`: how many records become final that come in through one node, over HTTP.

In order: create and start the nodes; register the population at the first one; then the same number
of records in each form: *ndjson* and *msgpack* as streams of one POST each, *single* as one JSON
record per POST over connections that are kept alive. Only the first node is fed, the others agree.
Requests are made before the clock starts. The clock stops when all records stand under the newest
checkpoint of the node. CPU is user + system time of all node processes over that span.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec

from ledger.genesis import Genesis, chain_id
from node.api.json_records import record_to_json
from node.bench import measure
from node.bench.asking import ask
from node.bench.feeder import Feeder, LoadFailed
from node.bench.intake import LANE, measure_intake
from node.bench.load import Offer, PlatformLoad, Population
from node.client import Client
from node.federation import Federation, Seat
from node.network import GENESIS_FILE, load_genesis

WINDOW_RECORDS: Final = 8_192
PIECE_LINES: Final = 256
ARRAY_RECORDS: Final = 512
INTAKE_RECORDS_MAX: Final = 60_000
POLL_S: Final = 0.05
FINAL_SECONDS_MAX: Final = 300.0

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: so many records by stream, so many one by one."""

    records: int = 60_000
    singles: int = 6_000
    streams: int = 2
    connections: int = 32
    seed: int = 1
    population: Population = field(default_factory=lambda: Population(20_000, 4_000))


async def measure_submit(federation: Federation, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Run the plan on a started federation and return its figures.

    Raises:
        StandingError: a node ended, or refused a record.
    """
    seat = federation.seats[0]
    load = PlatformLoad(federation.chain, seat.number, (0, 1), plan.population, plan.seed)
    async with Client(seat.url, seat.token) as client:
        progress("registering", 0.0)
        feeder = Feeder(client, seat, load, ARRAY_RECORDS)
        await feeder.register(window_records=WINDOW_RECORDS)
        gate = _Gate(federation, feeder, progress)
        made = {name: await gate.measure(name, plan, form) for name, form in FORMS.items()}
    progress("intake", 0.0)
    genesis = load_genesis(federation.folder / GENESIS_FILE)
    intake = {name: await asyncio.to_thread(_intake, name, plan, genesis) for name in STREAMED}
    progress("intake", 1.0)
    return {
        **_turned(made),
        "intake_cpu_us_per_record": intake,
        "nodes": len(federation.seats),
        "streams": plan.streams,
        "connections": plan.connections,
        "load_average": round(os.getloadavg()[0], 2),
    }


def _intake(name: str, plan: Plan, genesis: Genesis) -> float:
    """What the intake alone takes for a record, in this process, which does nothing else."""
    load = PlatformLoad(chain_id(genesis.foundation), LANE, (0, 1), plan.population, plan.seed)
    offers = records_of(load, min(plan.records, INTAKE_RECORDS_MAX))
    pieces = STREAMED[name][1](offers)
    return measure_intake(name, pieces, len(offers), load, genesis)


def records_of(load: PlatformLoad, count: int) -> list[Offer]:
    """Engagements of the load, each one's open, outcome and rating in a row."""
    now_ms = time.time_ns() // 1_000_000
    offers: list[Offer] = []
    for engagement in load.engagements(-(-count // 3)):
        offers.append(load.open(engagement, now_ms))
        offers += load.close(engagement, now_ms)
    return offers[:count]


# --- forms ---


def as_lines(offers: Sequence[Offer]) -> list[bytes]:
    """The records as JSON lines, some hundred of them in each piece."""
    lines = [msgspec.json.encode(record_to_json(*each)) + b"\n" for each in offers]
    starts = range(0, len(lines), PIECE_LINES)
    return [b"".join(lines[at : at + PIECE_LINES]) for at in starts]


def as_arrays(offers: Sequence[Offer]) -> list[bytes]:
    """The records as MessagePack arrays."""
    starts = range(0, len(offers), ARRAY_RECORDS)
    return [msgspec.msgpack.encode(offers[at : at + ARRAY_RECORDS]) for at in starts]


def as_posts(offers: Sequence[Offer], seat: Seat) -> list[bytes]:
    """The records as whole requests of one JSON record each."""
    head = (
        f"POST /v1/records HTTP/1.1\r\nHost: {seat.config.api_listen}\r\n"
        f"Authorization: Bearer {seat.token}\r\nContent-Type: application/json\r\n"
    )
    bodies = [msgspec.json.encode(record_to_json(*each)) for each in offers]
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


STREAMED: Final[Mapping[str, tuple[str, Callable[[Sequence[Offer]], list[bytes]]]]] = {
    "ndjson": ("application/x-ndjson", as_lines),
    "msgpack": ("application/msgpack", as_arrays),
}


@dataclass(slots=True)
class Made:
    """What one form has yielded: records, the time until all were final, and what that cost."""

    records: int
    seconds: float
    nodes_us: int
    first_us: int
    own_us: int
    answered_seconds: float


class _Gate:
    """The one node that is fed."""

    def __init__(self, federation: Federation, feeder: Feeder, progress: Progress) -> None:
        self.federation, self.feeder, self.progress = federation, feeder, progress
        self.seat = feeder.seat

    async def measure(self, name: str, plan: Plan, form: "Form") -> Made:
        """Hand in the plan's records in a form, and wait until they are final."""
        self.progress(name, 0.0)
        send = form(self, plan)
        begun = (await self.feeder.certified()).records
        first_us, nodes_us = self._cpu_us()
        own_us, clock = measure.own_cpu_us(), time.perf_counter()
        sending = asyncio.ensure_future(send.run())
        ends = begun + send.records
        answered = 0.0
        async with asyncio.timeout(FINAL_SECONDS_MAX):
            while (done := (await self.feeder.certified()).records) < ends:
                self.progress(name, (done - begun) / send.records)
                if sending.done():
                    sending.result()
                    answered = answered or time.perf_counter() - clock
                await asyncio.sleep(POLL_S)
                self.federation.check_alive()
        seconds = time.perf_counter() - clock
        await sending
        last_us, all_us = self._cpu_us()
        self.progress(name, 1.0)
        return Made(
            send.records,
            seconds,
            all_us - nodes_us,
            last_us - first_us,
            measure.own_cpu_us() - own_us,
            answered or seconds,
        )

    def _cpu_us(self) -> tuple[int, int]:
        """Processor time so far of the node that is fed, and of all."""
        pids = [self.federation.pid(seat.code) for seat in self.federation.seats]
        each = [measure.cpu_us(pid) for pid in pids if pid is not None]
        return each[0], sum(each)


@dataclass(frozen=True, slots=True)
class _Sending:
    records: int
    run: Callable[[], Any]


Form = Callable[[_Gate, Plan], _Sending]


def _streamed(name: str) -> Form:
    media_type, write = STREAMED[name]

    def form(gate: _Gate, plan: Plan) -> _Sending:
        offers = records_of(gate.feeder.load, plan.records)
        # A stream has an order of its own: an engagement's records stay in one stream.
        share = -(-len(offers) // (3 * plan.streams)) * 3
        parts = [write(offers[at : at + share]) for at in range(0, len(offers), share)]

        async def run() -> None:
            await asyncio.gather(*(_post(gate.seat, media_type, part) for part in parts))

        return _Sending(len(offers), run)

    return form


def _single(gate: _Gate, plan: Plan) -> _Sending:
    # Posts overtake each other, so only what depends on nothing is handed in: opens.
    now_ms = time.time_ns() // 1_000_000
    load, address = gate.feeder.load, gate.seat.config.api_listen
    offers = [load.open(each, now_ms) for each in load.engagements(plan.singles)]
    requests = iter(as_posts(offers, gate.seat))

    async def run() -> None:
        await ask(
            address.host,
            address.port,
            requests,
            connections=plan.connections,
            seconds=FINAL_SECONDS_MAX,
        )

    return _Sending(len(offers), run)


FORMS: Final[Mapping[str, Form]] = {
    "ndjson": _streamed("ndjson"),
    "msgpack": _streamed("msgpack"),
    "single": _single,
}


async def _post(seat: Seat, media_type: str, pieces: Sequence[bytes]) -> None:
    """One POST of a stream; every record must be taken."""
    headers = {"Authorization": f"Bearer {seat.token}", "Content-Type": media_type}
    timeout = aiohttp.ClientTimeout(total=FINAL_SECONDS_MAX)

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.post(f"{seat.url}/v1/records", data=body()) as response,
    ):
        answers = await response.read()
    if response.status != 202 or b'"problem"' in answers:
        at = max(0, answers.find(b'"problem"') - 60)
        raise LoadFailed(f"records of the load were not taken: {answers[at : at + 400]!r}")


def _turned(made: Mapping[str, Made]) -> dict[str, dict[str, float]]:
    """The figures of each form, by figure."""
    figures: dict[str, dict[str, float]] = {}
    for name, each in made.items():
        count = each.records
        row = {
            "records_per_s": round(count / each.seconds, 1),
            "answered_per_s": round(count / each.answered_seconds, 1),
            "records": count,
            "cpu_us_per_record": measure.per_record(each.nodes_us, count),
            "first_node_cpu_us_per_record": measure.per_record(each.first_us, count),
            "load_cpu_us_per_record": measure.per_record(each.own_us, count),
        }
        for key, value in row.items():
            figures.setdefault(key, {})[name] = value
    return figures
