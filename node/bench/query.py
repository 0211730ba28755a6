"""`standing bench query`: how fast one node answers scores, over HTTP, with a ledger in its store.

A network of four platforms is founded and a ledger of the fixed load made for it
(`node/bench/ledger_folder.py`), or a folder that such a run has kept is taken. One of its nodes is
started on the store; the other three are not, so that the node's and the asker's processor time is
all that is used. It is asked for scores of that load's workers by a closed loop over a few
connections that are kept alive (`node/bench/asking.py`).

Who is asked about, from the seed: *each once*, the workers who were hired, in random order, so that
nothing can be remembered of an earlier answer; then *by work*, each as often as hired, by the same
Zipf's law, so that the longest files are asked for most; then the longest file by itself.

What is asked: *plain*, the score; *with proof*, the bundle, which carries the answer and the whole
file that it is made of. CPU is user + system time of the node's process.
"""

import asyncio
import itertools
import os
import random
import re
import time
from bisect import bisect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import msgspec

from ledger.bundle import decode_bundle
from ledger.errors import Misconfigured
from ledger.membership import PURPOSES
from ledger.signing import SigningKey
from node.bench import measure
from node.bench.asking import Asked, ask, request_of
from node.bench.feeder import LoadFailed
from node.bench.ledger_folder import PLATFORMS, SPAN_DAYS, Founders, make_ledger, population_of
from node.bench.load import DAY_MS, PlatformLoad, Population
from node.client import Client
from node.federation import (
    API_PORT,
    PEER_PORT,
    Federation,
    Seat,
    free_ports_from,
)
from node.home import CONFIG_FILE
from node.keystore import key_path, read_seed
from node.network import GENESIS_FILE, LOOPBACK, found_network, load_genesis

CODES: Final = tuple("abcd"[:PLATFORMS])
ASKED: Final = CODES[0]
KEPT: Final = "bench.json"
NOBODY: Final = 1  # a port that nobody listens on: the node is to be linked with none of the others
START_SECONDS_MAX: Final = 120.0
LONGEST_ASKED: Final = 20
NO_INQUIRIES: Final = "an inquiry is no type of record yet, so no answer waits for one"

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `records` in the ledger, each kind of question for so many `seconds`."""

    records: int = 1_000_000
    seconds: float = 10.0
    connections: int = 4
    seed: int = 1


class _Kept(msgspec.Struct, frozen=True):
    """What a folder says of the ledger in it."""

    records: int
    seed: int


# --- the store ---


def prepare(folder: Path, plan: Plan, progress: Progress) -> None:
    """Found a network in a new folder, and make its first node's ledger; or take an earlier run's.

    Raises:
        Misconfigured: the folder holds something else, or another ledger.
    """
    if (folder / GENESIS_FILE).exists():
        _check_kept(folder, plan)
        return
    created_ms = time.time_ns() // 1_000_000 - (SPAN_DAYS + 1) * DAY_MS
    found_network(
        folder,
        CODES,
        origin="standing.local/bench",
        api_port=API_PORT,
        peer_port=PEER_PORT,
        created_ms=created_ms,
    )
    make_ledger(
        folder / ASKED / "data",
        plan.records,
        seed=plan.seed,
        founders=_founders(folder),
        on_progress=lambda done, total: progress("making a ledger", done / total),
    )
    (folder / KEPT).write_bytes(msgspec.json.encode(_Kept(plan.records, plan.seed)))


def _check_kept(folder: Path, plan: Plan) -> None:
    try:
        kept = msgspec.json.decode((folder / KEPT).read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{folder} holds no whole ledger of `bench query`: {error}") from error
    if kept != _Kept(plan.records, plan.seed):
        raise Misconfigured(
            f"{folder} holds the ledger of --records {kept.records} --seed {kept.seed}"
        )


def _founders(folder: Path) -> Founders:
    genesis = load_genesis(folder / GENESIS_FILE)
    keys = {}
    for number, code in enumerate(CODES, 1):
        for purpose in PURPOSES:
            home = folder / code
            path = key_path(home if purpose == "root" else home / "keys", purpose)
            keys[number, purpose] = SigningKey.from_seed(read_seed(path))
    return Founders(genesis, keys)


# --- the node ---


@asynccontextmanager
async def running(folder: Path, progress: Progress) -> AsyncIterator[tuple[Federation, float]]:
    """The one node of a folder, and how long it took until it served a score's checkpoint."""
    _listen_anew(folder / ASKED / CONFIG_FILE)
    federation = Federation.at(folder)
    seat = federation.seat(ASKED)
    begun = time.perf_counter()
    progress("starting", 0.0)
    try:
        federation.start(ASKED)
        async with aiohttp.ClientSession() as session:
            while not await _serves(session, seat):
                federation.check_alive()
                if time.perf_counter() - begun > START_SECONDS_MAX:
                    raise LoadFailed(f"the node does not serve within {START_SECONDS_MAX} s")
                await asyncio.sleep(0.05)
        progress("starting", 1.0)
        yield federation, time.perf_counter() - begun
    finally:
        await federation.stop()


def _listen_anew(path: Path) -> None:
    """Let the node listen on ports that are free now, and dial where nobody listens."""
    text = path.read_text(encoding="utf-8")
    for section, port in (("api", API_PORT), ("peers", PEER_PORT)):
        listen = f'\\g<1>"{LOOPBACK}:{free_ports_from(port, 1)}"'
        text = re.sub(rf'(\[{section}\]\nlisten = )"[^"]*"', listen, text)
    nobody = f':{NOBODY}"'
    text = re.sub(r"(?m)^addresses = .*", lambda at: re.sub(r':\d+"', nobody, at[0]), text)
    path.write_text(text, encoding="utf-8")


async def _serves(session: aiohttp.ClientSession, seat: Seat) -> bool:
    try:
        async with session.get(f"{seat.url}/log/checkpoint") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


# --- whom to ask about ---


class Draws:
    """The workers of the ledger's platforms, and in which order they are asked about."""

    def __init__(self, chain: bytes, plan: Plan) -> None:
        population = population_of(plan.records, PLATFORMS)
        self._rng = random.Random(f"query/{plan.seed}")  # noqa: S311 - a load, not a secret
        self._platforms = [
            _subjects(chain, number, population, plan.seed) for number in range(1, PLATFORMS + 1)
        ]
        places = range(1, len(self._platforms[0]) + 1)
        self._weights = list(itertools.accumulate(1 / i**population.exponent for i in places))
        engagements = (plan.records - population.workers - population.clients) / 3 / PLATFORMS
        self._hired = max(1, bisect(self._hires(engagements), -1.0))

    def _hires(self, engagements: float) -> Sequence[float]:
        """How often each of a platform's workers is hired on average, negative, so ascending."""
        before = itertools.chain([0.0], self._weights)
        all_ = self._weights[-1]
        return [
            (lower - upper) * engagements / all_
            for lower, upper in zip(before, self._weights, strict=False)
        ]

    @property
    def longest(self) -> str:
        """The worker who was hired most often."""
        return self._platforms[0][0]

    def each_once(self) -> Iterator[str]:
        """The workers who were hired at least once, on average: each once, then again."""
        everybody = [each for subjects in self._platforms for each in subjects[: self._hired]]
        self._rng.shuffle(everybody)
        return itertools.cycle(everybody)

    def by_work(self) -> Iterator[str]:
        """Each as often as hired, for ever."""
        while True:
            for subjects in self._platforms:
                yield from self._rng.choices(subjects, cum_weights=self._weights, k=8)


def _subjects(chain: bytes, number: int, population: Population, seed: int) -> list[str]:
    load = PlatformLoad(chain, number, (number - 1, PLATFORMS), population, seed)
    return [f"{number}:{handle.hex()}" for handle in load.workers]


# --- measuring ---

ASKS: Final = {"plain": "score", "with_proof": "bundle"}


async def measure_query(folder: Path, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Start the node of a folder that `prepare` has made, ask it, and return the figures.

    Raises:
        StandingError: the node ended, or refused what it was asked.
    """
    async with running(folder, progress) as (federation, start_s):
        draws = Draws(federation.chain, plan)
        asker = _Asker(federation, plan, progress)
        once = {name: await asker.run(name, draws.each_once()) for name in ASKS}
        by_work = {name: await asker.run(name, draws.by_work(), " by work") for name in ASKS}
        longest = await _longest(federation, draws.longest)
        rss_mib_max = measure.rss_max_mib(asker.pid)
    return {
        **_figures(once),
        "by_work": _figures(by_work),
        "longest_file": longest,
        "with_inquiry_null": NO_INQUIRIES,
        "records": plan.records,
        "connections": plan.connections,
        "start_seconds": round(start_s, 2),
        "rss_mib_max": round(rss_mib_max, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """One kind of question, asked for a while: what was asked, and what that cost both sides."""

    asked: Asked
    node_us: int
    own_us: int


class _Asker:
    """Asks the node of a federation the questions of a plan."""

    def __init__(self, federation: Federation, plan: Plan, progress: Progress) -> None:
        self._seat, self._plan, self._progress = federation.seat(ASKED), plan, progress
        self._token = self._seat.token
        pid = federation.pid(ASKED)
        assert pid is not None, "a node that is measured runs"
        self.pid = pid

    async def run(self, name: str, subjects: Iterator[str], what: str = "") -> _Run:
        stage = name.replace("_", " ") + what
        self._progress(stage, 0.0)
        address, ending = self._seat.config.api_listen, ASKS[name]
        requests = (
            request_of(f"/v1/subjects/{each}/{ending}", str(address), self._token)
            for each in subjects
        )
        node_us, own_us = measure.cpu_us(self.pid), measure.own_cpu_us()
        asked = await ask(
            address.host,
            address.port,
            requests,
            connections=self._plan.connections,
            seconds=self._plan.seconds,
        )
        node_us, own_us = measure.cpu_us(self.pid) - node_us, measure.own_cpu_us() - own_us
        self._progress(stage, 1.0)
        return _Run(asked, node_us, own_us)


async def _longest(federation: Federation, subject: str) -> dict[str, Any]:
    """What the longest file takes: the first answer to a question, and the same again (median)."""
    seat = federation.seat(ASKED)
    found: dict[str, Any] = {"subject": subject}
    async with Client(seat.url, seat.token) as client:
        time_ms = (await client.score(subject))["as_of"]
        for at, (name, what) in enumerate(ASKS.items(), 1):
            # As of another moment nobody has asked before.
            query = {"as_of": str(time_ms - at)}
            times = []
            for _ in range(LONGEST_ASKED):
                begun = time.perf_counter()
                await (client.score if what == "score" else client.bundle)(subject, **query)
                times.append((time.perf_counter() - begun) * 1_000)
            found[name] = {"first_ms": round(times[0], 2), "again_ms": round(median(times[1:]), 2)}
        bundle = await client.bundle(subject)
    found["leaves"] = sum(len(each.leaves) for each in decode_bundle(bundle).files)
    found["bundle_bytes"] = len(bundle)
    return found


def _figures(runs: Mapping[str, _Run]) -> dict[str, Any]:
    """The figures of each kind of question, by figure; None where it cannot be asked."""
    figures: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        count = len(run.asked.latencies_ms)
        latencies = measure.percentiles(run.asked.latencies_ms)
        each = {
            "scores_per_s": round(count / run.asked.seconds, 1),
            **{f"{key}_ms": value for key, value in latencies.items()},
            "scores": count,
            "node_cpu_us_per_score": measure.per_record(run.node_us, count),
            "asker_cpu_us_per_score": measure.per_record(run.own_us, count),
            "answer_bytes": round(measure.per_record(run.asked.body_bytes, count)),
        }
        for key, value in each.items():
            figures.setdefault(key, {})[name] = value
    for key in ("scores_per_s", "p50_ms", "p99_ms"):
        figures[key]["with_inquiry"] = None
    return figures
