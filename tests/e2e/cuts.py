"""TCP relays between the nodes of a local federation: a test can cut links and heal them."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from node.federation import free_ports_from

CHUNK_BYTES = 65_536


class Cuts:
    """One relay for each (dialler, dialled); all open at first. Use as an async context."""

    def __init__(self, folder: Path, codes: Sequence[str], first_port: int) -> None:
        self._folder, self._codes = folder, codes
        self._port = free_ports_from(first_port, len(codes) ** 2)
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], tuple[str, str]] = {}
        self._cut: set[frozenset[str]] = set()

    async def __aenter__(self) -> Self:
        """Listen, and have every node dial the relays: its file is rewritten."""
        for code in self._codes:
            path = self._folder / code / "node.toml"
            text = path.read_text(encoding="utf-8")
            for other in self._codes:
                found = re.search(rf'\b{other} = "127\.0\.0\.1:(\d+)"', text)
                if other == code or found is None:
                    continue
                port = await self._relay(code, other, int(found[1]))
                text = text.replace(found[0], f'{other} = "127.0.0.1:{port}"')
            path.write_text(text, encoding="utf-8")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        await self._end(list(self._open))

    async def _relay(self, dialler: str, dialled: str, target: int) -> int:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if frozenset((dialler, dialled)) in self._cut:
                writer.transport.abort()
                return
            carrying = asyncio.current_task()
            assert carrying is not None
            self._open[carrying] = (dialler, dialled)
            try:
                await _carry(reader, writer, target)
            finally:
                del self._open[carrying]

        port = self._port + len(self._servers)
        self._servers.append(await asyncio.start_server(take, "127.0.0.1", port))
        return port

    async def cut(self, *groups: str) -> None:
        """End all links between groups of nodes, and let none come to stand again."""
        side = {code: at for at, group in enumerate(groups) for code in group}
        self._cut |= {
            frozenset((one, other)) for one in side for other in side if side[one] != side[other]
        }
        await self._end([task for task, pair in self._open.items() if frozenset(pair) in self._cut])

    def heal(self) -> None:
        """Let all links come back."""
        self._cut.clear()

    async def _end(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
    try:
        there, back = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.transport.abort()
        return
    ways = [
        asyncio.create_task(_pump(reader, back)),
        asyncio.create_task(_pump(there, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, back):
            each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
