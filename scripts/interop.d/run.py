"""Runs other people's programs against a local federation, and says what came of each.

tessera_fsck_http      tessera's fsck over HTTP, against each node with the vkey of that node
tessera_fsck_export    the same over the exported folder (file://)
sumdb_note_formats     golang.org/x/mod/sumdb/note and transparency-dev/formats open the checkpoint
torchwood_policy       torchwood verifies checkpoint, policy and a receipt
litewitness            torchwood's witness cosigns this node's checkpoints while the log grows
go_witness_client      a client in Go has its own log cosigned by this node's witness
"""

import argparse
import asyncio
import base64
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.checkpoint import log_vkey
from ledger.merkle import EMPTY_ROOT
from ledger.note import COSIGNATURE_V1, format_vkey
from ledger.records import encode_record
from ledger.records.subject import SubjectRegister
from ledger.signing import SigningKey
from node.cli.output import print_json
from node.client import Client
from node.federation import Federation, create, free_ports_from
from node.keystore import key_path, read_seed
from node.network import GENESIS_FILE, load_genesis

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "go"
PROGRAMS = ("opennote", "policy", "witnessclient", "sshagent")
OTHERS = {
    "fsck": "github.com/transparency-dev/tessera/cmd/fsck",
    "litewitness": "filippo.io/torchwood/cmd/litewitness",
}
MODULES = {
    "tessera_fsck_http": "github.com/transparency-dev/tessera",
    "tessera_fsck_export": "github.com/transparency-dev/tessera",
    "sumdb_note_formats": "github.com/transparency-dev/formats",
    "torchwood_policy": "filippo.io/torchwood",
    "litewitness": "filippo.io/torchwood",
    "go_witness_client": "golang.org/x/mod",
}
BUILD_S, RUN_S, WITNESS_S = 900, 120, 60
OTHER_ORIGIN, OTHER_SEED = "interop.example/log", "a log made up for this run"


class Failed(Exception):
    """A tool ran and did not accept."""


class Missing(Exception):
    """A tool could not be run."""


def find_go() -> str:
    for found in (os.environ.get("STANDING_GO"), shutil.which("go"), "/usr/local/go/bin/go"):
        if found and Path(found).is_file():
            return found
    raise Missing("there is no Go toolchain (PATH, /usr/local/go/bin, STANDING_GO)")


def call(*command: str, cwd: Path | None = None, limit_s: float = RUN_S) -> str:
    """Run a command; its stdout. What it says on failure is the reason."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{Path(command[0]).name} was not done after {limit_s} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(" / ".join(said[-3:])[:500] or f"exit {done.returncode}")
    return done.stdout


class Tools:
    """The built programs, or why each is not there; and the results."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.missing = folder / "bin", dict[str, str]()
        self.results: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, str] = {}
        self.folder.mkdir()

    def build(self, work: Path) -> None:
        names = [*PROGRAMS, *OTHERS]
        try:
            go = find_go()
        except Missing as error:
            self.missing = dict.fromkeys(names, str(error))
            return
        sources = work / "go"
        shutil.copytree(SOURCES, sources)
        for name in names:
            say(f"building {name}")
            path = OTHERS.get(name, f"./{name}")
            try:
                call(go, "build", "-o", str(self.folder), path, cwd=sources, limit_s=BUILD_S)
            except Failed as error:
                self.missing[name] = f"cannot be built: {error}"
        for module in set(MODULES.values()):
            line = call(go, "list", "-m", module, cwd=sources).split()
            self.versions[module] = line[-1]
        self.versions["go"] = call(go, "env", "GOVERSION").strip()

    def __call__(self, name: str, *arguments: str) -> str:
        return call(self.path(name), *arguments)

    def path(self, name: str) -> str:
        if name in self.missing:
            raise Missing(self.missing[name])
        return str(self.folder / name)

    def judge(self, tool: str, run: Callable[[], object]) -> None:
        """Run a tool's part and write down what came of it."""
        say(f"running {tool}")
        result = {"ran": True, "ok": False, "version": self.versions.get(MODULES[tool], "")}
        why_not = ""
        try:
            result["detail"] = run() or ""
            result["ok"] = True
        except Missing as error:
            result["ran"], why_not = False, str(error)
        except Exception as error:  # whatever it is, it is this tool's result
            why_not = str(error) or type(error).__name__
        self.results[tool] = {**result, "why_not": why_not}


def say(text: str) -> None:
    print(f"interop: {text}", file=sys.stderr, flush=True)


class Network:
    """A federation of four, one node of which witnesses and is witnessed."""

    def __init__(self, work: Path) -> None:
        base = free_ports_from(8_740, 4)
        self.folder = work / "net"
        create(self.folder, "abcd", api_port=base, peer_port=free_ports_from(base + 1_000, 4))
        foundation = load_genesis(self.folder / GENESIS_FILE).foundation
        self.origin, self.members = foundation.origin, foundation.validators
        self.vkeys = [log_vkey(self.origin, each.log_key) for each in self.members]
        self.cosigners = [
            format_vkey(f"{self.origin}/{each.code}", COSIGNATURE_V1, each.cosigner_key)
            for each in self.members
        ]
        seed = read_seed(key_path(self.folder / "a" / "keys", "witness"))
        self.witness_vkey = format_vkey(
            f"{self.origin}/a/witness", COSIGNATURE_V1, SigningKey.from_seed(seed).public
        )

    def configure(self, more: str) -> None:
        path = self.folder / "a" / "node.toml"
        path.write_text(path.read_text() + more)


class Litewitness:
    """torchwood's witness with a key in an agent of ours, that knows node a's log key."""

    def __init__(self, tools: Tools, work: Path, network: Network) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self.log = work / "litewitness.log"
        socket, database = work / "agent.sock", work / "litewitness.db"
        agent = self._start(tools.path("sshagent"), str(socket), out=subprocess.PIPE)
        assert agent.stdout is not None
        fingerprint = agent.stdout.readline().strip()
        self.url = f"http://127.0.0.1:{free_ports_from(7_380, 1)}"
        self._start(
            tools.path("litewitness"), "-ssh-agent", str(socket), "-db", str(database), "-name",
            "litewitness.example/w", "-listen", self.url.removeprefix("http://"), "-key",
            fingerprint, out=self.log.open("w"),
        )  # fmt: skip
        found = None
        deadline = time.monotonic() + 20
        while found is None or "listening" not in self.log.read_text():
            if time.monotonic() > deadline:
                self.stop()
                raise Missing(f"litewitness does not start: {self.log.read_text()[-300:]}")
            time.sleep(0.1)
            found = re.search(r"vkey=(\S+)", self.log.read_text())
        self.vkey = found[1]
        self._know(database, network.origin, network.vkeys[0])

    def _know(self, database: Path, origin: str, vkey: str) -> None:
        with sqlite3.connect(database) as rows:
            empty = base64.b64encode(EMPTY_ROOT).decode()
            rows.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, empty))
            rows.execute("INSERT INTO key VALUES (?, ?)", (origin, vkey))
        rows.close()

    def _start(self, *command: str, out: Any) -> "subprocess.Popen[str]":
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


async def load(federation: Federation, rounds: int) -> str:
    """Records through all four nodes, final; the id of the last."""
    answers: list[dict[str, Any]] = []
    for at in range(rounds):
        url, token = federation.urls[at % 4], federation.tokens[at % 4]
        async with Client(url, token) as client:
            now_ms = time.time_ns() // 1_000_000
            made = [
                SubjectRegister(at % 4 + 1, now_ms, os.urandom(32), b"", "none") for _ in range(50)
            ]
            records = [(encode_record(each), b"") for each in made]
            answers = await client.submit_msgpack(records, wait_final=True)
    return str(answers[-1]["id"])


async def fetch(federation: Federation, path: str, node: int = 0) -> bytes:
    async with Client(federation.urls[node], federation.tokens[node]) as client:
        if path.startswith("/log/"):
            return await client.log_file(path.removeprefix("/log/"))
        return await client.receipt(path.removeprefix("/v1/records/").removesuffix("/receipt"))


class Parts:
    """One part per tool; each returns a word on what was seen."""

    def __init__(self, tools: Tools, work: Path, network: Network, running: Federation) -> None:
        self.tools, self.work, self.network, self.running = tools, work, network, running

    def file(self, name: str, data: bytes | str) -> str:
        path = self.work / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    def get(self, path: str, node: int = 0) -> bytes:
        return asyncio.run(fetch(self.running, path, node))

    def fsck(self, url: str, vkey: str) -> str:
        key = self.file("vkey", vkey)
        arguments = ("--storage_url", url, "--public_key", key, "--ui=false")
        self.tools("fsck", *arguments)
        return vkey.split("+")[1]

    def fsck_http(self) -> str:
        pairs = zip(self.running.urls, self.network.vkeys, strict=True)
        return " ".join(self.fsck(f"{url}/log/", vkey) for url, vkey in pairs)

    def fsck_export(self) -> str:
        self.tools.path("fsck")
        folder = self.work / "export"
        command = (sys.executable, "-P", "-m", "node", "export", "log", str(folder), "--node")
        call(*command, self.running.urls[1], cwd=ROOT)
        return self.fsck(f"file://{folder}/", self.network.vkeys[1])

    def note(self) -> str:
        found = []
        for node, vkey in enumerate(self.network.vkeys):
            note = self.file("checkpoint", self.get("/log/checkpoint", node))
            said = self.tools("opennote", note, vkey, *self.network.cosigners)
            size, _, signed, unknown = said.split()
            if (signed, unknown) != ("4", "0"):
                raise Failed(f"{signed} signatures hold, {unknown} are unknown; 4 and 0 are right")
            found.append(size)
        return f"sizes {' '.join(found)}"

    def policy(self) -> str:
        self.tools.path("policy")
        record = asyncio.run(load(self.running, 1))
        # This reader demands a line of every log key that a policy names, where C2SP demands one:
        # it is given the key of the node that it reads, as every tool that takes one log key.
        lines = self.get("/log/policy").decode().splitlines(keepends=True)
        others = [f"log {vkey}\n" for vkey in self.network.vkeys[1:]]
        policy = self.file("policy", "".join(line for line in lines if line not in others))
        note = self.file("checkpoint", self.get("/log/checkpoint"))
        raw = self.get(f"/v1/records/{record}/receipt")
        receipt = self.file("receipt", raw)
        extra = next(line for line in raw.split(b"\n") if line.startswith(b"extra "))
        entry = base64.b64decode(extra[6:])[:47].hex()
        return self.tools("policy", policy, note, receipt, entry).strip()

    def litewitness(self, witness: Litewitness | None) -> str:
        if witness is None:
            self.tools.path("litewitness")
            raise Missing("litewitness does not start")
        deadline, sizes = time.monotonic() + WITNESS_S, dict[str, None]()
        while len(sizes) < 3:
            asyncio.run(load(self.running, 4))
            try:
                note = self.file("witnessed", self.get("/log/witnessed"))
            except Exception:
                note = ""
            if note:
                keys = (self.network.vkeys[0], *self.network.cosigners, witness.vkey)
                size, _, signed, unknown = self.tools("opennote", note, *keys).split()
                if (signed, unknown) != ("5", "0"):
                    raise Failed(f"{signed} signatures hold, {unknown} are unknown")
                sizes[size] = None
            if time.monotonic() > deadline:
                raise Failed(f"{len(sizes)} checkpoints were cosigned in {WITNESS_S} s")
            time.sleep(0.5)
        return f"sizes {' '.join(sizes)}"

    def witness_client(self) -> str:
        url, vkey = f"{self.running.urls[0]}/witness", self.network.witness_vkey
        arguments = (OTHER_ORIGIN, OTHER_SEED, url, vkey)
        said = self.tools("witnessclient", "run", *arguments)
        return f"{said.strip()} checkpoints cosigned"


async def start(running: Federation) -> None:
    await running.start_all()
    await load(running, 16)


def run(work: Path) -> dict[str, Any]:
    tools = Tools(work)
    tools.build(work)
    network = Network(work)
    witness: Litewitness | None = None
    running = Federation.at(network.folder)
    try:
        try:
            witness = Litewitness(tools, work, network)
            network.configure(f'\n[[witnesses]]\nurl = "{witness.url}"\nvkey = "{witness.vkey}"\n')
            other = tools("witnessclient", "vkey", OTHER_ORIGIN, OTHER_SEED).strip()
            network.configure(f'\n[[witness.logs]]\norigin = "{OTHER_ORIGIN}"\nvkey = "{other}"\n')
        except (Missing, Failed) as error:
            say(str(error))
        running = Federation.at(network.folder)
        asyncio.run(start(running))
        parts = Parts(tools, work, network, running)
        tools.judge("tessera_fsck_http", parts.fsck_http)
        tools.judge("tessera_fsck_export", parts.fsck_export)
        tools.judge("sumdb_note_formats", parts.note)
        tools.judge("torchwood_policy", parts.policy)
        tools.judge("litewitness", lambda: parts.litewitness(witness))
        tools.judge("go_witness_client", parts.witness_client)
    finally:
        asyncio.run(running.stop())
        if witness is not None:
            witness.stop()
    return {**tools.results, "go": tools.versions.get("go", "")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/interop", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="standing-interop-"))
    try:
        results = run(work)
    finally:
        if options.keep:
            say(f"kept {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    tools = {name: each for name, each in results.items() if name != "go"}
    if options.json:
        print_json(results)
    else:
        for name, each in tools.items():
            state = "ok" if each["ok"] else "FAILED" if each["ran"] else "not run"
            print(
                f"{name:<20} {state:<8} {each['version']:<10} {each['why_not'] or each['detail']}"
            )
    return 1 if any(each["ran"] and not each["ok"] for each in tools.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
