"""A headless Chromium, driven over its DevTools protocol; as much as the tests need."""

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import Any, Self

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
START_S = 30.0
STEP_S = 20.0


def find_chromium() -> str | None:
    """The path of an installed Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a fresh Chromium. `messages` holds what its console and security log said."""

    def __init__(self, path: str, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.messages: list[str] = []
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self.path,
            *FLAGS,
            f"--user-data-dir={self.folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        port = await asyncio.wait_for(self._port(), START_S)
        async with self._session.get(f"http://127.0.0.1:{port}/json") as response:
            targets = await response.json()
        target = next(each for each in targets if each["type"] == "page")
        self._socket = await self._session.ws_connect(
            target["webSocketDebuggerUrl"], max_msg_size=0
        )
        self._listener = asyncio.create_task(self._listen())
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        await self._process.wait()

    async def _port(self) -> int:
        active = self.folder / "DevToolsActivePort"
        while not active.exists() or "\n" not in active.read_text():
            assert self._process.returncode is None, "Chromium ended"
            await asyncio.sleep(0.05)
        return int(active.read_text().split("\n")[0])

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Log.entryAdded":
                self.messages.append(told["params"]["entry"]["text"])
            elif told["method"] == "Runtime.exceptionThrown":
                self.messages.append(str(told["params"]))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await asyncio.wait_for(future, STEP_S)
        assert "error" not in answer, answer
        return answer["result"]

    async def go(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), STEP_S)

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        made = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return made["result"].get("value")

    async def act(self, expression: str) -> None:
        """Evaluate what leads to another page, and wait until that is loaded."""
        self._loaded.clear()
        await self.call("Runtime.evaluate", expression=expression)
        await asyncio.wait_for(self._loaded.wait(), STEP_S)

    async def width(self, pixels: int, *, dark: bool = False) -> None:
        """Look through a window of this width."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=800,
            deviceScaleFactor=1,
            mobile=pixels < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
