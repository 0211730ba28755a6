"""A hostile member as a process: `python -m node.bench.faults.flooder FOLDER CODE KIND`.

It holds the keys of one platform of a local federation, dials all others as that platform would,
says hello, and then sends one kind of garbage (`garbage.py`) as fast as it is taken. A link that
ends is dialled again after 50 ms. It runs until its stdin ends, and then tells on stdout, as JSON,
how many frames and bytes it sent, how often its links ended and how often it was not let in.
"""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import aiohttp
import msgspec

from consensus.messages import Status, decode_message
from ledger.errors import StandingError
from ledger.genesis import chain_id
from node.bench.faults.garbage import HALF_OPEN, KINDS, UNREAD, Known
from node.bounds import BOUNDS
from node.config import Address, load_config
from node.keystore import Keystore
from node.links.peers import PATH
from node.links.tls import contexts
from node.links.wire import VERSION, Assembler, Hello, encode_hello
from node.network import GENESIS_FILE, load_genesis

REDIAL_S: Final = 0.05
HALF_OPEN_CONNECTIONS: Final = 600
HALF_OPEN_HOLD_S: Final = 0.02
FIRST_STATUS: Final = Status(1, 1, 0, 0, ())


@dataclass(slots=True)
class Told:
    """What it has done."""

    frames: int = 0
    bytes: int = 0
    ended: int = 0
    not_let_in: int = 0


class Flooder:
    """One platform's keys, turned against the others."""

    def __init__(self, folder: Path, code: str, kind: str) -> None:
        foundation = load_genesis(folder / GENESIS_FILE).foundation
        self._chain, self._kind, self.told = chain_id(foundation), kind, Told()
        self._own = next(each for each in foundation.validators if each.code == code)
        self._platforms = tuple(each.number for each in foundation.validators)
        config = load_config(folder / code / "node.toml")
        self._keys = Keystore.load(config.keys)
        self._victims = [each for name, each in config.peer_addresses.items() if name != code]
        _, self._context = contexts(self._keys.link_seed, self._own, foundation.validators)

    async def run(self) -> None:
        """Flood all others until cancelled."""
        async with asyncio.TaskGroup() as group:
            for victim in self._victims:
                if self._kind == HALF_OPEN:
                    group.create_task(self._hold_open(victim))
                else:
                    group.create_task(self._flood(victim, self._context))

    async def _flood(self, victim: Address, context: SSLContext) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.ws_connect(
                        f"wss://{victim}{PATH}", ssl=context, max_msg_size=2**20, compress=0
                    ) as socket:
                        await self._send_all(socket)
                    self.told.ended += 1
                except aiohttp.WSServerHandshakeError:
                    self.told.not_let_in += 1
                except (aiohttp.ClientError, OSError):
                    self.told.ended += 1
                await asyncio.sleep(REDIAL_S)

    async def _send_all(self, socket: Any) -> None:
        known = Known(self._keys, self._own.number, self._chain, self._platforms, FIRST_STATUS)
        await socket.send_bytes(encode_hello(Hello(VERSION, self._chain, self._own.number)))
        reading = None if self._kind == UNREAD else asyncio.create_task(_read(socket, known))
        try:
            for frame in self._frames(known):
                await socket.send_bytes(frame)
                self.told.frames += 1
                self.told.bytes += len(frame)
                await asyncio.sleep(0)
                if socket.closed:
                    return
        finally:
            if reading is not None:
                reading.cancel()

    def _frames(self, known: Known) -> Iterator[bytes]:
        return KINDS["fetches" if self._kind == UNREAD else self._kind](known)

    async def _hold_open(self, victim: Address) -> None:
        """Connections without a handshake, always so many; closed ones are opened again."""
        held: list[asyncio.StreamWriter] = []
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(victim.host, victim.port)
                held.append(writer)
                self.told.frames += 1
            if len(held) >= HALF_OPEN_CONNECTIONS:
                held.pop(0).transport.abort()
                self.told.ended += 1
                await asyncio.sleep(HALF_OPEN_HOLD_S)


async def _read(socket: Any, known: Known) -> None:
    """Take what comes, and keep the newest status."""
    assembler = Assembler(message_bytes_max=BOUNDS.message_bytes_max)
    await socket.receive()
    while True:
        frame = await socket.receive()
        if frame.type is not aiohttp.WSMsgType.BINARY:
            return
        for message in assembler.feed(frame.data):
            with contextlib.suppress(StandingError):
                decoded = decode_message(message)
                if isinstance(decoded, Status):
                    known.status = decoded


async def main(folder: Path, code: str, kind: str) -> Told:
    """Flood until stdin ends."""
    flooder = Flooder(folder, code, kind)
    flooding = asyncio.create_task(flooder.run())
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    await asyncio.wait([flooding, ending], return_when=asyncio.FIRST_COMPLETED)
    if flooding.done():
        flooding.result()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    return flooder.told


if __name__ == "__main__":
    told = asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:4]))
    sys.stdout.write(msgspec.json.encode(asdict(told)).decode())
