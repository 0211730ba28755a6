"""Giving snapshots: the right answers, at a bounded pace, whoever asks and however."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consensus.messages import (
    ChunkMessage,
    End,
    Ends,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    ManifestMessage,
    Message,
    Status,
    decode_message,
    encode_message,
)
from ledger.encoding import encode
from ledger.erasure_rows import refused_residue_key
from ledger.errors import StoreDamaged
from ledger.snapshot import decode_chunk, manifest_digest
from node.bounds import Bounds
from node.metrics import Metrics
from node.snapshot.serving import ANSWERS, QUESTIONS, Serving
from tests.node.snapshot.ground import EPOCH, Ground, ground

FAST = 10**12


@dataclass
class Links:
    """Remembers what is sent, and what was handled."""

    sent: list[tuple[int, Message, bool]] = field(default_factory=list)
    handled_bytes: int = 0
    clogged: set[int] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        self.sent.append((peer, decode_message(message), bulk))
        self.news.set()

    def handled(self, peer: int, size: int) -> None:
        assert peer
        self.handled_bytes += size

    def is_clogged(self, peer: int) -> bool:
        return peer in self.clogged

    async def until(self, count: int) -> list[Message]:
        """Wait until so much was sent; what."""
        async with asyncio.timeout(20):
            while len(self.sent) < count:
                self.news.clear()
                await self.news.wait()
        return [message for _, message, _ in self.sent]


@dataclass
class Pump:
    """What is behind it."""

    log: list[Any] = field(default_factory=list)

    def link_up(self, peer: int) -> None:
        self.log.append(("up", peer))

    def link_down(self, peer: int) -> None:
        self.log.append(("down", peer))

    def received(self, peer: int, message: bytes) -> None:
        self.log.append(("received", peer, message))

    def refused(self, peer: int, reason: str) -> None:
        self.log.append(("refused", peer, reason))


@dataclass
class Giver:
    node: Ground
    links: Links
    pump: Pump
    serving: Serving
    metrics: Metrics
    halted: list[str]

    def say(self, peer: int, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else encode_message(message)
        self.serving.received(peer, data)

    async def rest(self) -> None:
        """Let everything that is ready run."""
        for _ in range(50):
            await asyncio.sleep(0)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait, for a bounded time, until something holds."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never held")


@asynccontextmanager
async def giver(folder: Path, **bounds: Any) -> AsyncIterator[Giver]:
    """A node one block behind an epoch's end, with nobody asking yet."""
    limits = {"snapshot_bytes_per_s": FAST, "snapshot_share_busy": 0.99, **bounds}
    async with ground(folder, **limits) as node:
        links, pump, metrics, halted = Links(), Pump(), Metrics(), []  # type: ignore[var-annotated]
        serving = Serving(
            pump=pump,
            links=links,
            pins=node.pins,
            chain=node.world.chain,
            bounds=Bounds(**limits),
            metrics=metrics,
            halt=halted.append,
        )
        serving.start(node.world.state)
        for at in range(EPOCH + 1):
            await node.run(*(node.world.register(f"w{at}.{nth}") for nth in range(40)))
        await node.settle()
        made = Giver(node, links, pump, serving, metrics, halted)
        try:
            yield made
        finally:
            await serving.stop()


async def test_a_whole_snapshot_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.snapshot.CHUNK_BYTES", 2_000)
    async with giver(tmp_path) as one:
        one.say(7, FetchEnds())
        assert one.links.sent == [(7, Ends((End(EPOCH, None),)), False)]
        one.say(7, FetchManifest(EPOCH))
        one.say(8, FetchManifest(EPOCH))
        _, first, second = await one.links.until(3)
        manifest = one.node.manifests[EPOCH]
        assert first == second == ManifestMessage(manifest)
        assert {peer for peer, _, _ in one.links.sent[1:]} == {7, 8}
        one.say(9, FetchEnds())
        assert one.links.sent.pop() == (9, Ends((End(EPOCH, manifest_digest(manifest)),)), False)
        rows: list[tuple[bytes, bytes]] = []
        assert len(manifest.chunks) > 10
        for index in range(len(manifest.chunks)):
            await one.node.run(one.node.world.register(f"later{index}"))
            one.say(7, FetchChunk(EPOCH, index))
            *_, chunk = await one.links.until(4 + index)
            assert isinstance(chunk, ChunkMessage)
            assert (chunk.height, chunk.index) == (EPOCH, index)
            rows += decode_chunk(manifest, index, chunk.data)
        assert len(rows) == sum(chunk.rows for chunk in manifest.chunks)
        assert one.pump.log == []
        given = sum(len(encode(message)) for _, message, bulk in one.links.sent if bulk)
        assert one.metrics.snapshot_bytes._value.get() == given
        assert one.metrics.manifests._value.get() == 1


async def test_all_else_goes_on_to_the_pump(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        others = [
            encode_message(Status(1, 2, 3, 4, ())),
            b"",
            b"\x91\x11",
            QUESTIONS[0] + b"\0",
            QUESTIONS[1],
            QUESTIONS[1] + b"\xcd\0\4",
            QUESTIONS[2] + b"\4\xff",
            b"\xc1carried",
        ]
        one.serving.link_up(7)
        for each in others:
            one.say(7, each)
        one.serving.refused(7, "why")
        one.serving.link_down(7)
        received = [("received", 7, each) for each in others]
        assert one.pump.log == [("up", 7), *received, ("refused", 7, "why"), ("down", 7)]
        assert one.links.handled_bytes == 0
        assert one.links.sent == []


async def test_answers_that_nobody_asked_for_are_refused_unread(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        manifest = one.node.manifests[EPOCH]
        answers = [
            encode_message(Ends(())),
            encode_message(ManifestMessage(manifest)),
            encode_message(ChunkMessage(EPOCH, 0, b"")),
        ]
        assert tuple(each[:2] for each in answers) == ANSWERS
        for each in answers:
            one.say(7, each)
        assert one.pump.log == [("refused", 7, "snapshot")] * 3
        assert one.links.handled_bytes == sum(map(len, answers))


async def test_wrong_heights_and_indices(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        for height in (0, 1, EPOCH - 1, EPOCH + 1, 2 * EPOCH, 2**53 - 1):
            one.say(7, FetchManifest(height))
            one.say(7, FetchChunk(height, 0))
        one.say(7, FetchChunk(EPOCH, 100_000))  # not known yet how many there are
        await one.rest()
        assert one.links.sent == []
        one.say(7, FetchManifest(EPOCH))
        await one.links.until(1)
        for index in (len(one.node.manifests[EPOCH].chunks), 100_000):
            one.say(7, FetchChunk(EPOCH, index))
        await one.rest()
        assert len(one.links.sent) == 1
        assert one.pump.log == [("refused", 7, "snapshot")] * 2
        one.say(7, FetchChunk(EPOCH, 0))
        await one.links.until(2)


async def test_who_asks_without_end_gets_what_the_pace_allows_and_the_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.snapshot.CHUNK_BYTES", 2_000)
    async with giver(tmp_path) as one:
        chunks = len(one.node.manifests[EPOCH].chunks)
        one.say(7, FetchManifest(EPOCH))
        await one.links.until(1)
        one.links.sent.clear()
        slept: list[float] = []
        sleep = asyncio.sleep

        async def paced(delay_s: float) -> None:
            slept.append(delay_s)
            await sleep(0)

        monkeypatch.setattr("node.snapshot.serving.asyncio.sleep", paced)
        for at in range(10_000):
            one.say(7, FetchChunk(EPOCH, at % chunks))
            one.say(7, FetchManifest(EPOCH))
        one.say(8, FetchChunk(EPOCH, 1))
        await one.links.until(5)
        assert [peer for peer, _, _ in one.links.sent[:3]].count(8) == 1
        await one.rest()
        assert len(one.links.sent) == 5, "four of one peer's questions wait"
        refused = [entry for entry in one.pump.log if entry == ("refused", 7, "snapshot")]
        assert len(refused) > 19_000
        total = sum(len(encode(message)) for _, message, _ in one.links.sent)
        assert sum(slept) * FAST == pytest.approx(total)
        one.say(7, FetchChunk(EPOCH, 0))
        await one.links.until(6)


async def test_who_does_not_read_is_sent_nothing_more(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        one.say(7, FetchManifest(EPOCH))
        one.links.clogged.add(7)
        one.say(7, FetchEnds())
        one.say(8, FetchManifest(EPOCH))
        await one.links.until(1)
        await one.rest()
        assert [peer for peer, _, _ in one.links.sent] == [8]
        assert one.pump.log == [("refused", 7, "snapshot")]


async def test_who_is_gone_is_sent_nothing(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        one.say(7, FetchManifest(EPOCH))
        one.serving.link_down(7)
        one.say(8, FetchManifest(EPOCH))
        await one.links.until(1)
        one.say(7, FetchChunk(EPOCH, 0))
        one.serving.link_down(7)
        one.say(8, FetchChunk(EPOCH, 0))
        await one.links.until(2)
        await one.rest()
        assert {peer for peer, _, _ in one.links.sent} == {8}


async def test_an_end_that_goes_while_its_manifest_is_made(tmp_path: Path) -> None:
    async with giver(tmp_path, snapshot_turn_s=0.0, snapshot_share_busy=0.0001) as one:
        one.say(7, FetchManifest(EPOCH))
        await one.rest()
        one.node.pins.close()
        await one.rest()
        one.say(7, FetchChunk(EPOCH, 0))
        one.say(7, FetchEnds())
        assert one.links.sent == [(7, Ends(()), False)]
        assert one.halted == []


async def test_a_peer_waits_for_one_manifest_at_a_time(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        await one.node.run_to(2 * EPOCH)
        await one.node.settle()
        one.say(7, FetchManifest(EPOCH))
        one.say(7, FetchManifest(2 * EPOCH))
        one.say(8, FetchManifest(2 * EPOCH))
        await one.links.until(2)
        await one.rest()
        told = [(peer, message.manifest.height) for peer, message, _ in one.links.sent]  # type: ignore[union-attr]
        assert sorted(told) == [(7, 2 * EPOCH), (8, 2 * EPOCH)]


async def test_a_state_that_cannot_be_given_is_told_no_more(tmp_path: Path) -> None:
    async with giver(tmp_path) as one:
        one.node.store.submit({refused_residue_key(7, bytes(14)): b""})
        await one.node.run_to(2 * EPOCH)
        await one.node.settle()
        for peer, height in ((6, EPOCH), (7, 2 * EPOCH)):
            one.say(peer, FetchManifest(height))
        await one.links.until(1)
        await eventually(lambda: len(one.node.heights()) == 1)
        one.say(7, FetchEnds())
        digest = manifest_digest(one.node.manifests[EPOCH])
        assert one.links.sent[-1][1] == Ends((End(EPOCH, digest),))
        assert len(one.links.sent) == 2


async def test_a_fault_of_our_own_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with giver(tmp_path) as one:

        def faulty(*_: object) -> None:
            raise ZeroDivisionError("oh")

        monkeypatch.setattr("node.snapshot.serving.make_manifest", faulty)
        one.say(7, FetchManifest(EPOCH))
        await eventually(lambda: bool(one.halted))
        assert one.halted == ["a fault of this program: ZeroDivisionError: oh"]


async def test_a_damaged_row_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with giver(tmp_path) as one:

        def damaged(*_: object) -> None:
            raise StoreDamaged("row B 1", "is not what was written")

        monkeypatch.setattr("node.storage.picture.Picture.scan", damaged)
        one.say(7, FetchManifest(EPOCH))
        await eventually(lambda: bool(one.halted))
        assert one.halted == ["row B 1: is not what was written"]
