"""One platform's keys at two nodes at a time: the later one gets no links, so it never signs."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.safety import EVIDENCE
from ledger.store import after
from tests.node.running_net import Net, running, until
from tests.node.test_links import FAST, _peers, _ports, _running


async def test_a_second_process_under_the_same_keys_is_refused_while_the_first_is_linked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ports, bounds = _ports(2), replace(FAST, link_blame=0)
    elsewhere = {**ports, 2: _ports(1)[1]}
    one = _peers(1, ports, bounds=bounds)
    first, second = _peers(2, ports, bounds=bounds), _peers(2, elsewhere, bounds=bounds)
    async with _running(one) as heard, _running(second) as of_second:
        async with _running(first) as of_first:
            # Whichever was linked first stays, and the other is told.
            await heard.until_event("refused", 2, "twin")
            one.send(2, b"still", bulk=False)
            async with asyncio.timeout(10):
                while not (of_first.messages() or of_second.messages()):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert [*of_first.messages(), *of_second.messages()] == [b"still"]
            assert "runs twice under the same keys" in caplog.text
        # One is gone: if it was the one that was linked, the other takes its place.
        async with asyncio.timeout(10):
            while b"now" not in of_second.messages():
                one.send(2, b"now", bulk=False)
                await asyncio.sleep(0.005)


def _copy(net: Net, code: str) -> Path:
    """A copy of a stopped node's whole folder, listening elsewhere."""
    home = net.folder / f"{code}-again"
    shutil.copytree(net.folder / code, home)
    text = (home / "node.toml").read_text()
    number = net.codes.index(code)
    for nth, port in enumerate((net.base + number, net.base + len(net.codes) + number)):
        here = f'listen = "127.0.0.1:{port}"'
        assert here in text
        text = text.replace(here, f'listen = "127.0.0.1:{net.free_port(nth)}"')
    (home / "node.toml").write_text(text)
    return home


async def test_a_copied_node_signs_nothing_beside_the_first(tmp_path: Path) -> None:
    async with running(tmp_path / "net", "abcd", epoch_blocks=64) as net:
        await net.final("d", count=2)
        await net.stop("d")
        home = _copy(net, "d")
        await net.start("d")
        await net.ready("d")
        twin = await net.start("twin", home=home)
        refusals = net.nodes["a"]._parts.metrics.peer_refusals
        await until(lambda: refusals.labels("4", "twin")._value.get() > 0)
        for _ in range(3):
            await net.final("d", count=2)
        assert not twin.ready
        assert twin.linked == ()
        assert net.nodes["d"].ready
        for code in "abcd":
            reader = net.nodes[code].reader
            assert not list(reader.scan(EVIDENCE, after(EVIDENCE)))
