"""A local federation: the nodes of several platforms, as processes on this machine.

The demo and the benchmark run it. Nothing in it is special: `standing network create` writes the
folder, `standing node run` runs each node, and the rest of the world reaches them by HTTP.

A folder holds genesis.json and one folder per platform with node.toml, keys/, token, data/, and
here node.log, to which the process writes.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from ledger.errors import StandingError
from ledger.genesis import chain_id
from node.config import Config, load_config
from node.network import GENESIS_FILE, load_genesis

API_PORT: Final = 8440
PEER_PORT: Final = 9440
CREATE_TIMEOUT_S: Final = 60.0
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
LOG_TAIL_BYTES: Final = 2_000
_COMMAND: Final = (sys.executable, "-P", "-m", "node")


class FederationFailed(StandingError):
    """A node of the local federation did not come up, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One platform's place: its number and code, its folder, and how its node is reached."""

    number: int
    code: str
    folder: Path
    config: Config

    @property
    def url(self) -> str:
        """The node's HTTP address."""
        return f"http://{self.config.api_listen}"

    @property
    def config_file(self) -> Path:
        """The node's configuration."""
        return self.folder / "node.toml"

    @property
    def log(self) -> Path:
        """What the node's process writes."""
        return self.folder / "node.log"

    @property
    def token(self) -> str:
        """The bearer token that `network create` made for this platform; it reads and writes."""
        return (self.folder / "token").read_text(encoding="ascii").strip()


def free_ports_from(start: int, count: int) -> int:
    """The lowest port ≥ `start` from which `count` ports on 127.0.0.1 can be listened on."""
    base = start
    while base + count <= 65_535:
        taken = next((p for p in reversed(range(base, base + count)) if not _is_free(p)), None)
        if taken is None:
            return base
        base = taken + 1
    raise FederationFailed(f"there are no {count} free ports in a row from {start} up")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def create(
    folder: Path,
    codes: Sequence[str],
    *,
    api_port: int = 0,
    peer_port: int = 0,
    epoch_blocks: int = 0,
) -> None:
    """Write a new federation's folder with `standing network create`.

    Port 0 means: the usual ports, or the next free ones above them; 0 blocks: as many as usual.

    Raises:
        FederationFailed: with what the command said.
    """
    api = api_port or free_ports_from(API_PORT, len(codes))
    peer = peer_port or free_ports_from(PEER_PORT, len(codes))
    ports = ("--api-port", str(api), "--peer-port", str(peer))
    names = ("--platforms", ",".join(codes))
    blocks = ("--epoch-blocks", str(epoch_blocks)) if epoch_blocks else ()
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        [*_COMMAND, "network", "create", str(folder), *names, *ports, *blocks],
        capture_output=True,
        text=True,
        timeout=CREATE_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise FederationFailed(f"network create failed: {(done.stderr or done.stdout).strip()}")


class Federation:
    """The running nodes of one folder. Use as an async context: leaving it stops every node."""

    def __init__(self, folder: Path, seats: Sequence[Seat], chain: bytes) -> None:
        self.folder = folder
        self.chain = chain
        self.seats: tuple[Seat, ...] = tuple(seats)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The federation of a folder that `create` wrote; nothing is started.

        Raises:
            StandingError: the folder holds no federation.
        """
        genesis = load_genesis(folder / GENESIS_FILE)
        seats = []
        for validator in genesis.foundation.validators:
            home = folder / validator.code
            config = load_config(home / "node.toml")
            seats.append(Seat(validator.number, validator.code, home, config))
        return cls(folder, seats, chain_id(genesis.foundation))

    @property
    def urls(self) -> tuple[str, ...]:
        """The nodes' HTTP addresses, by platform number."""
        return tuple(seat.url for seat in self.seats)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The nodes' bearer tokens, by platform number."""
        return tuple(seat.token for seat in self.seats)

    def add(self, number: int, code: str, folder: Path) -> Seat:
        """Another platform's folder, made by `standing network join`; nothing is started."""
        seat = Seat(number, code, folder, load_config(folder / "node.toml"))
        self.seats = (*self.seats, seat)
        return seat

    def seat(self, code: str) -> Seat:
        """The seat of a platform's code."""
        return next(seat for seat in self.seats if seat.code == code)

    def pid(self, code: str) -> int | None:
        """The process id of a running node."""
        process = self._processes.get(code)
        return process.pid if process is not None and process.poll() is None else None

    def start(self, code: str) -> None:
        """Start one node's process; `wait_ready` tells when it serves."""
        assert self.pid(code) is None, f"node {code} runs already"
        seat = self.seat(code)
        with seat.log.open("ab") as log:
            self._processes[code] = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*_COMMAND, "node", "run", str(seat.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us first, and we stop them in order
            )

    async def start_all(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start every node and wait until all are ready."""
        for seat in self.seats:
            self.start(seat.code)
        await self.wait_ready(timeout_s=timeout_s)

    async def wait_ready(
        self, codes: Sequence[str] | None = None, *, timeout_s: float = READY_TIMEOUT_S
    ) -> None:
        """Wait until the named nodes (default: all) answer 200 on /readyz.

        Raises:
            FederationFailed: one ended, or was not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for seat in self.seats:
                if codes is not None and seat.code not in codes:
                    continue
                while not await _is_ready(session, seat.url):
                    self._check_alive(seat)
                    if time.monotonic() > deadline:
                        raise FederationFailed(_with_log(f"{seat.code} is not ready", seat))
                    await asyncio.sleep(0.1)

    def check_alive(self) -> None:
        """Demand that every node that was started still runs.

        Raises:
            FederationFailed: one ended; with the end of its log.
        """
        for code in self._processes:
            self._check_alive(self.seat(code))

    def _check_alive(self, seat: Seat) -> None:
        process = self._processes.get(seat.code)
        if process is not None and process.poll() is not None:
            raise FederationFailed(
                _with_log(f"node {seat.code} ended with code {process.returncode}", seat)
            )

    def kill(self, code: str) -> None:
        """End one node at once, as a power failure would (SIGKILL)."""
        process = self._processes.pop(code)
        process.kill()
        process.wait()

    async def stop_one(self, code: str) -> None:
        """Ask one node to stop; end it if it does not within the time."""
        process = self._processes.pop(code)
        process.terminate()
        await asyncio.to_thread(_end, process)

    async def stop(self) -> None:
        """Ask every node to stop; end those that do not within the time."""
        processes = list(self._processes.values())
        self._processes.clear()
        for process in processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
        await asyncio.gather(*(asyncio.to_thread(_end, process) for process in processes))

    async def __aenter__(self) -> Self:
        try:
            await self.start_all()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _with_log(message: str, seat: Seat) -> str:
    try:
        tail = seat.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    except FileNotFoundError:
        tail = ""
    return f"{message}; {seat.log} ends:\n{tail}"
