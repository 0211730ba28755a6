"""CometBFT's kvstore: Byzantine agreement in Go, four validators with the application inside each.

Built at a pinned version into the cache folder. The application is its `persistent_kvstore`; a
transaction is `key=value` with a key of its own and a record's bytes as the value. What differs
from the configuration of `cometbft testnet` is in CHANGED, and each change is there to help it: no
pause after a block, no checking again of what waits, no index, larger pools and faster links.

A transaction is final when its block is committed at the slowest of the four.
"""

import asyncio
import base64
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from node.bench import measure as cost
from node.federation import free_ports_from
from peers import cache, sample
from peers.figures import NODES, Failed, Measured, Missing, Say, System, Terms
from peers.processes import Processes, call

VERSION: Final = "v0.38.26"
MODULE: Final = "github.com/cometbft/cometbft/cmd/cometbft"
PORT: Final = 26_656
BUILD_LIMIT_S: Final = 900.0
CALL_LIMIT_S: Final = 60.0
READY_LIMIT_S: Final = 60.0
DRAIN_LIMIT_S: Final = 60.0
POLL_S: Final = 0.1
IDLE_S: Final = 0.01
RECORDS: Final = 30_000
HEADERS_AT_ONCE: Final = 20  # the most that /blockchain gives
CHANGED: Final[Mapping[tuple[str, str], str]] = {
    ("rpc", "max_request_batch_size"): "0",
    ("rpc", "max_body_bytes"): "10000000",
    ("p2p", "send_rate"): "500000000",
    ("p2p", "recv_rate"): "500000000",
    ("p2p", "flush_throttle_timeout"): '"10ms"',
    ("p2p", "pex"): "false",
    ("mempool", "size"): "50000",
    ("mempool", "cache_size"): "100000",
    ("mempool", "recheck"): "false",
    ("consensus", "timeout_commit"): '"0s"',
    ("consensus", "create_empty_blocks"): "false",
    ("consensus", "peer_gossip_sleep_duration"): '"10ms"',
    ("tx_index", "indexer"): '"null"',
}


def find_go() -> str:
    """The Go toolchain.

    Raises:
        Missing: there is none.
    """
    for found in (os.environ.get("STANDING_GO"), shutil.which("go"), "/usr/local/go/bin/go"):
        if found and Path(found).is_file():
            return found
    raise Missing("there is no Go toolchain (PATH, /usr/local/go/bin, STANDING_GO)")


def program(say: Say) -> Path:
    """The built program.

    Raises:
        Missing: it cannot be built.
    """

    def make(folder: Path) -> None:
        go = find_go()
        say(f"CometBFT: building {VERSION}")
        call(
            go, "install", f"{MODULE}@{VERSION}",
            limit_s=BUILD_LIMIT_S, cwd=folder, env={"GOBIN": str(folder)},
        )  # fmt: skip

    try:
        return cache.made(f"cometbft-{VERSION}", make) / "cometbft"
    except Failed as error:
        raise Missing(f"CometBFT cannot be built: {error}") from error


def configured(text: str, changes: Mapping[tuple[str, str], str]) -> str:
    """A configuration's text with some values changed.

    Raises:
        Failed: it has not each of the keys once.
    """
    parts = re.split(r"(?m)^(?=\[)", text)
    for (section, key), value in changes.items():
        made = 0
        for at, part in enumerate(parts):
            if part.startswith(f"[{section}]") or (not section and at == 0):
                line = f"{key} = {value}".replace("\\", r"\\")
                parts[at], count = re.subn(rf"(?m)^{re.escape(key)} = .*$", line, part)
                made += count
        if made != 1:
            raise Failed(f"the configuration has {made} values {section}.{key}")
    return "".join(parts)


def transaction(key: str, record: bytes) -> bytes:
    """`key=value` with the record as the value; the application takes no second `=` and no `:`."""
    value = record.replace(b"\x1b", b"\x1b0").replace(b":", b"\x1b1").replace(b"=", b"\x1b2")
    return key.encode() + b"=" + value


@dataclass(frozen=True, slots=True)
class Net:
    """The validators' RPC addresses and process ids."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]

    def cpu_us(self) -> int:
        """What all validators used so far."""
        return sum(map(cost.cpu_us, self.pids))


def start(running: Processes, binary: Path, folder: Path) -> Net:
    """Write the network's folder with `cometbft testnet`, and start its validators."""
    call(
        binary, "testnet", "--v", str(NODES), "--o", folder, "--starting-ip-address", "127.0.0.1",
        limit_s=CALL_LIMIT_S,
    )  # fmt: skip
    base = free_ports_from(PORT, 2 * NODES)
    homes = [folder / f"node{place}" for place in range(NODES)]
    ids = [call(binary, "show-node-id", "--home", home, limit_s=30).strip() for home in homes]
    everybody = ",".join(f"{name}@127.0.0.1:{base + place}" for place, name in enumerate(ids))
    urls, pids = [], []
    for place, home in enumerate(homes):
        port = base + NODES + place
        changes = {
            **CHANGED,
            ("", "proxy_app"): '"persistent_kvstore"',
            ("", "log_level"): '"error"',
            ("rpc", "laddr"): f'"tcp://127.0.0.1:{port}"',
            ("p2p", "laddr"): f'"tcp://127.0.0.1:{base + place}"',
            ("p2p", "persistent_peers"): f'"{everybody}"',
        }
        path = home / "config" / "config.toml"
        path.write_text(configured(path.read_text(), changes))
        process = running.start(binary, "node", "--home", home, log=folder / f"node{place}.log")
        urls.append(f"http://127.0.0.1:{port}")
        pids.append(process.pid)
    return Net(tuple(urls), tuple(pids))


class Load:
    """The clients, and the count of what is final."""

    def __init__(self, session: aiohttp.ClientSession, net: Net, terms: Terms) -> None:
        self._session, self._net, self._terms = session, net, terms
        self._records = itertools.cycle(sample.records(RECORDS, terms.seed))
        self._height = 0
        self.sent = self.final = 0

    async def ask(self, place: int, method: str, **params: Any) -> dict[str, Any]:
        """One call of a validator's RPC."""
        body = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
        return _result(await self._post(place, body))

    async def _post(self, place: int, body: Any) -> Any:
        async with self._session.post(
            self._net.urls[place], data=msgspec.json.encode(body)
        ) as response:
            return msgspec.json.decode(await response.read())

    def _transactions(self, name: str) -> Iterator[str]:
        for number in itertools.count():
            made = transaction(f"{name}-{number}", next(self._records))
            yield base64.b64encode(made).decode("ascii")

    async def ready(self) -> None:
        """Wait until every validator has its three peers and agrees.

        Raises:
            Failed: not within the time.
        """
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline:
            try:
                told = [await self.ask(place, "net_info") for place in range(NODES)]
            except (aiohttp.ClientError, TimeoutError, Failed):
                told = []
            if told and all(int(each["n_peers"]) == NODES - 1 for each in told):
                return
            await asyncio.sleep(POLL_S)
        raise Failed(f"the validators are not connected within {READY_LIMIT_S:g} s")

    async def lone(self) -> list[float]:
        """Lone transactions, through each validator in turn, until it says: committed."""
        samples = []
        values = self._transactions("lone")
        for at in range(self._terms.lone_samples):
            begun = time.perf_counter()
            told = await self.ask(at % NODES, "broadcast_tx_commit", tx=next(values))
            if told["check_tx"]["code"] or told["tx_result"]["code"] or not int(told["height"]):
                raise Failed(f"a transaction was refused: {told}")
            samples.append((time.perf_counter() - begun) * 1_000)
            self.sent += 1
            await asyncio.sleep(0.1)
        return samples

    async def feed(self, stream: int) -> None:
        """One client: chunks of transactions in one request, while the window lets. Endless."""
        values = self._transactions(f"{stream}")
        size = self._terms.chunk_records
        while True:
            if self.sent - self.final > self._terms.window_records - size:
                await asyncio.sleep(IDLE_S)
                continue
            self.sent += size
            body = [
                {"jsonrpc": "2.0", "id": at, "method": "broadcast_tx_sync", "params": {"tx": tx}}
                for at, tx in enumerate(itertools.islice(values, size))
            ]
            for each in await self._post(stream % NODES, body):
                if _result(each)["code"]:
                    raise Failed(f"a transaction was refused: {each}")

    async def watch(self) -> None:
        """Count what is final, endlessly."""
        while True:
            await self.count()
            await asyncio.sleep(POLL_S)

    async def count(self) -> int:
        """Transactions in the blocks that all four have committed."""
        told = await asyncio.gather(*(self.ask(place, "status") for place in range(NODES)))
        height = min(int(each["sync_info"]["latest_block_height"]) for each in told)
        while self._height < height:
            first = self._height + 1
            last = min(height, self._height + HEADERS_AT_ONCE)
            asked = {"minHeight": str(first), "maxHeight": str(last)}
            metas = (await self.ask(0, "blockchain", **asked))["block_metas"]
            if len(metas) != last - first + 1:
                raise Failed(f"{len(metas)} headers where {last - first + 1} were asked for")
            self.final += sum(int(each["num_txs"]) for each in metas)
            self._height = last
        return self.final


def _result(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or "result" not in answer:
        raise Failed(f"the RPC says: {str(answer)[:300]}")
    result: dict[str, Any] = answer["result"]
    return result


def measure(terms: Terms, folder: Path, say: Say) -> Measured:
    """Four validators; lone transactions, then as many as the window lets."""
    binary = program(say)
    with Processes() as running:
        net = start(running, binary, folder / "net")
        running.check_alive()
        return asyncio.run(_measure(terms, running, net, say))


async def _measure(terms: Terms, running: Processes, net: Net, say: Say) -> Measured:
    timeout = aiohttp.ClientTimeout(total=CALL_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        load = Load(session, net, terms)
        await load.ready()
        say("CometBFT: lone records")
        lone_ms = await load.lone()
        say(f"CometBFT: full load, {terms.seconds:g} s")
        tasks = [asyncio.create_task(load.watch())]
        tasks += [asyncio.create_task(load.feed(stream)) for stream in range(terms.streams)]
        try:
            await _pass(terms.run_in_seconds, tasks, running)
            begun, clock, used = await load.count(), time.perf_counter(), net.cpu_us()
            await _pass(terms.seconds, tasks, running)
            ended, seconds = await load.count(), time.perf_counter() - clock
            used = net.cpu_us() - used
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return Measured(
        version=VERSION,
        operations=ended - begun,
        seconds=seconds,
        lone_ms=cost.percentiles(lone_ms),
        processes=NODES,
        fsync=True,  # as its code has it: the consensus log is synced before each signature
        tls=False,
        cpu_us=used,
        how=f"{terms.streams} clients by HTTP, {terms.chunk_records} transactions a request, "
        f"at most {terms.window_records} not final; persistent_kvstore; no pause between blocks",
    )


async def _pass(seconds: float, tasks: list["asyncio.Task[None]"], running: Processes) -> None:
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
    running.check_alive()


SYSTEM: Final = System(
    name="cometbft",
    title="CometBFT kvstore",
    byzantine_tolerance=(NODES - 1) // 3,
    signed_records=False,
    what_it_does_not_do=(
        "check or sign what it orders: the kvstore takes any key=value",
        "keep an index or proofs that an outsider can verify (its kvstore has none)",
        "use TLS: its links are encrypted and authenticated by a protocol of its own",
    ),
    measure=measure,
)
