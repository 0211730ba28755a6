"""The pump: nothing leaves before what it rests on is on disk, and the order is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from consensus.config import Keys
from consensus.effects import (
    BatchSealed,
    Broadcast,
    CancelTimer,
    Certified,
    Effect,
    Execute,
    Halt,
    Persist,
    Refuse,
    Send,
    SetTimer,
)
from consensus.inputs import Executed, Input, LinkDown, LinkUp, Received, SealBatch, TimerFired
from consensus.messages import Batches, FetchBlocks, decode_message, encode_message
from ledger.batch import Submission
from ledger.block import Block, Seal
from ledger.errors import StoreDamaged
from ledger.position import Applied
from ledger.rows import CheckpointRow
from ledger.store import HEADER, Changes, MemoryStore
from node import driver as driver_module
from node.bounds import BOUNDS, Bounds
from node.driver import Driver
from node.links.tls import GUEST
from node.metrics import Metrics
from node.timers import now
from tests.ledger.world import key_of

NEWS = FetchBlocks(7)


@dataclass
class SlowStore:
    """A store whose disk answers when the test says so."""

    log: list[object]
    rows: MemoryStore = field(default_factory=MemoryStore)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    queued_rows: int = 0
    on_failure: Callable[[BaseException], None] = lambda _: None

    def submit(self, changes: Changes, on_durable: Callable[[], None] | None = None) -> None:
        self.rows.write(changes)
        self.log.append(("submit", dict(changes)))
        if on_durable is not None:
            self.waiting.append(on_durable)

    def sync(self, count: int = 1_000) -> None:
        done, self.waiting = self.waiting[:count], self.waiting[count:]
        for callback in done:
            callback()


@dataclass
class Links:
    """Remembers what would be sent."""

    log: list[object]
    clogged: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        self.log.append(("send", peer, decode_message(message), bulk))

    def broadcast(self, message: bytes, *, bulk: bool) -> None:
        self.log.append(("broadcast", decode_message(message), bulk))

    def handled(self, peer: int, size: int) -> None:
        self.log.append(("handled", peer, size))

    def blame(self, peer: int) -> None:
        self.log.append(("blamed", peer))

    @property
    def conduct(self) -> "Links":
        return self

    def cut_s(self, peer: int) -> float:
        return 5.0 if peer in self.cut else 0.0

    def is_clogged(self, peer: int) -> bool:
        return peer in self.clogged


class Script:
    """Stands for consensus: answers each input by what the test has prepared."""

    def __init__(self) -> None:
        self.given: list[Input] = []
        self.answers: dict[Any, Sequence[Effect]] = {}

    def handle(self, state: object, event: Input, _: object) -> tuple[object, Sequence[Effect]]:
        self.given.append(event)
        answer = self.answers.get(event) or self.answers.get(type(event), ())
        return state, answer


@dataclass
class World:
    script: Script
    store: SlowStore
    driver: Driver
    metrics: Metrics
    log: list[object]

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def done(self) -> list[object]:
        return [each for each in self.log if each[0] != "submit"]  # type: ignore[index]


class Told:
    def __init__(self, log: list[object]) -> None:
        self.log = log

    def sealed(self, effect: BatchSealed) -> None:
        self.log.append(("sealed", effect.height))

    def executed(self, block: object, applied: object) -> None:  # noqa: ARG002
        raise AssertionError("no block is executed here")

    def certified(self, row: CheckpointRow) -> None:
        self.log.append(("certified", row.height))


@asynccontextmanager
async def _world(monkeypatch: pytest.MonkeyPatch, bounds: Bounds = BOUNDS) -> AsyncIterator[World]:
    log: list[object] = []
    script, store, metrics = Script(), SlowStore(log), Metrics()
    monkeypatch.setattr(driver_module, "simplex", script)
    driver = Driver(
        consensus=object(),  # type: ignore[arg-type]
        ledger=SimpleNamespace(validators=(), candidates=()),  # type: ignore[arg-type]
        store=store,  # type: ignore[arg-type]
        peers=Links(log),  # type: ignore[arg-type]
        bounds=bounds,
        metrics=metrics,
    )
    driver.watch(Told(log))
    yield World(script, store, driver, metrics, log)
    driver.stop()


async def test_nothing_is_sent_before_what_it_rests_on_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _world(monkeypatch) as world:
        world.script.answers[LinkUp(1)] = (
            Send(1, FetchBlocks(1)),
            Persist({b"Ka": b"1"}),
            Send(1, FetchBlocks(2)),
            Certified(CheckpointRow(5, 9, bytes(32), ())),
            Persist({b"Kb": b"1"}),
            Broadcast(FetchBlocks(3)),
        )
        world.script.answers[LinkUp(2)] = (Send(2, FetchBlocks(4)),)
        world.driver.link_up(1)
        world.driver.link_up(2)
        await world.settle()
        assert world.done() == [("send", 1, FetchBlocks(1), False)]
        world.store.sync(1)
        assert world.done()[1:] == [("send", 1, FetchBlocks(2), False), ("certified", 5)]
        world.store.sync(1)
        assert world.done()[3:] == [
            ("broadcast", FetchBlocks(3), False),
            ("send", 2, FetchBlocks(4), False),
        ]


@dataclass(frozen=True)
class Holding:
    """The keys of consensus's configuration."""

    keys: Keys | None
    further_keys: tuple[Keys, ...] = ()


async def test_the_keys_that_sign_are_held_as_the_same_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Consensus is silent for a while after other keys came into force (consensus/seating.py)."""
    purposes = ("lane", "vote", "cosigner")
    old, new = ([key_of(1, age, each) for each in purposes] for age in ("old", "new"))
    signing = Keys(*new)
    async with _world(monkeypatch) as world:
        consensus = SimpleNamespace(config=Holding(Keys(*old)))
        world.driver.consensus = consensus  # type: ignore[assignment]
        world.driver.hold(signing)
        assert (consensus.config.keys, consensus.config.further_keys) == (Keys(*old), (signing,))
        world.driver.hold_only(Keys(*new))
        assert consensus.config.keys is signing
        assert consensus.config.further_keys == ()
        world.driver.hold_only(None)
        assert consensus.config.keys is None


async def test_candidates_and_guests_only_observe(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch) as world:
        one, two = SimpleNamespace(number=1), SimpleNamespace(number=2)
        ledger: Any = SimpleNamespace(validators=(one,), candidates=(one, two))
        world.driver.ledger = ledger
        for peer in (1, 2, 3, GUEST + 5):
            world.driver.link_up(peer)
        await world.settle()
        assert sorted(world.script.given, key=lambda given: given.peer) == [  # type: ignore[union-attr]
            LinkUp(1),
            LinkUp(2, observes=True),
            LinkUp(3),  # a member of a later set, as far as this node can know
            LinkUp(GUEST + 5, observes=True),
        ]


async def test_inputs_go_on_while_the_disk_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch) as world:
        for peer in range(1, 50):
            world.script.answers[LinkUp(peer)] = (Persist({b"K%d" % peer: b""}), Send(peer, NEWS))
            world.driver.link_up(peer)
        await world.settle()
        assert len(world.script.given) == 49
        assert world.done() == []
        world.store.sync()
        assert [each[1] for each in world.done()] == list(range(1, 50))  # type: ignore[index]


async def test_the_rows_of_a_sealed_batch_join_its_own_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _world(monkeypatch) as world:
        hash_ = b"h" * 32
        world.script.answers[SealBatch] = (
            Persist({HEADER + hash_: b"header"}),
            BatchSealed(hash_, 4, 1),
            Broadcast(Batches(())),
        )
        world.driver.seal((Submission(bytes(16), b"r", b""),), {b"Nname": b"id"})
        await world.settle()
        assert world.log == [("submit", {HEADER + hash_: b"header", b"Nname": b"id"})]
        world.store.sync()
        assert world.done() == [("sealed", 4), ("broadcast", Batches(()), True)]


async def test_a_full_disk_queue_holds_inputs_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch, replace(BOUNDS, queued_rows_max=10)) as world:
        world.store.queued_rows = 11
        world.driver.link_up(1)
        await world.settle()
        assert world.script.given == []
        world.store.queued_rows = 10
        async with asyncio.timeout(5):
            while not world.script.given:  # noqa: ASYNC110 - the pump looks again by itself
                await asyncio.sleep(0.001)


async def test_bad_bytes_of_a_peer_are_counted_and_harm_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _world(monkeypatch) as world:
        world.driver.received(3, b"\xff\xff")
        world.driver.received(3, encode_message(NEWS))
        world.script.answers[Received(3, NEWS)] = (Refuse(3, "batch_root"),)
        await world.settle()
        assert world.script.given == [Received(3, NEWS)]
        assert ("blamed", 3) in world.log
        assert world.log.count(("handled", 3, 2)) == 1
        counter = world.metrics.peer_refusals
        assert counter.labels("3", "malformed")._value.get() == 1
        assert counter.labels("3", "batch_root")._value.get() == 1
        assert not world.driver.stopped.done()


async def test_who_does_not_read_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch) as world:
        world.driver._peers.clogged.add(3)  # type: ignore[attr-defined]
        for peer in (3, 4):
            world.driver.received(peer, encode_message(NEWS))
        await world.settle()
        assert world.script.given == [Received(4, NEWS)]
        assert world.metrics.peer_refusals.labels("3", "unread")._value.get() == 1
        assert ("blamed", 3) not in world.log


async def test_what_waits_of_a_peer_that_was_cut_off_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _world(monkeypatch) as world:
        world.driver._peers.cut.add(3)  # type: ignore[attr-defined]
        for peer in (3, 4):
            world.driver.received(peer, encode_message(NEWS))
        await world.settle()
        assert world.script.given == [Received(4, NEWS)]


async def test_a_peer_that_sends_much_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each tick all have a turn; the own inputs come first, and each peer's keep their order."""
    async with _world(monkeypatch, replace(BOUNDS, turn_s=1e-6, tick_s=1.0)) as world:
        flood = [encode_message(FetchBlocks(at)) for at in range(1, 201)]
        for each in flood:
            world.driver.received(3, each)
        world.driver.link_down(3)
        world.driver.received(4, encode_message(NEWS))
        world.driver.feed(TimerFired("view"))
        await world.settle()
        given = world.script.given
        assert given[0] == TimerFired("view")
        assert given.index(Received(4, NEWS)) <= 3
        assert [each for each in given if each not in (given[0], Received(4, NEWS))] == [
            *(Received(3, FetchBlocks(at)) for at in range(1, 201)),
            LinkDown(3),
        ]


async def test_timers_fire_once_replaced_and_never_early(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch) as world:
        at = now().steady_ms + 20
        world.script.answers[LinkUp(1)] = (
            SetTimer("view", at + 100_000),
            SetTimer("view", at),
            SetTimer("resend", at),
            CancelTimer("resend"),
        )
        fired = asyncio.Event()
        early: list[int] = []
        handle = world.script.handle

        def watching(state: object, event: Input, at_: Any) -> tuple[object, Sequence[Effect]]:
            if isinstance(event, TimerFired):
                early.append(max(0, at - at_.steady_ms))
                fired.set()
            return handle(state, event, at_)

        monkeypatch.setattr(world.script, "handle", watching)
        world.driver.link_up(1)
        await asyncio.wait_for(fired.wait(), 5)
        assert early == [0]
        assert world.script.given.count(TimerFired("view")) == 1
        assert TimerFired("resend") not in world.script.given


@pytest.mark.parametrize(
    ("effect", "words"),
    [(Halt("another root"), "another root"), (Persist({b"": b""}), "the disk is gone")],
)
async def test_halt_damage_and_bugs_stop_the_pump(
    monkeypatch: pytest.MonkeyPatch, effect: Effect, words: str
) -> None:
    async with _world(monkeypatch) as world:
        if isinstance(effect, Persist):

            def broken(*_: object) -> None:
                raise StoreDamaged("row", "the disk is gone")

            monkeypatch.setattr(world.store, "submit", broken)
        world.script.answers[LinkUp(1)] = (effect, Send(1, NEWS))
        world.driver.link_up(1)
        assert words in await asyncio.wait_for(world.driver.stopped, 5)
        world.driver.link_up(2)
        await world.settle()
        assert LinkUp(2) not in world.script.given


async def test_a_failing_disk_stops_the_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _world(monkeypatch) as world:
        world.store.on_failure(OSError("no space left"))
        assert "no space left" in await world.driver.stopped


class _Ledger(str):
    """A ledger by name; an erasure is under way after the second block."""

    @property
    def erasing(self) -> bool:
        return self.startswith("after after")

    @property
    def change_waits(self) -> bool:
        return self.startswith("after after")


async def test_other_work_is_done_between_the_turns_of_a_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until the last turn readers see the ledger before it; then the next block begins."""
    async with _world(monkeypatch) as world:
        log, before, seen = world.log, world.driver.ledger, list[bool]()

        def in_turns(ledger: object, *_: object) -> Generator[None, None, tuple[object, Any]]:
            log.append(("begun", ledger))
            for _ in range(3):
                world.driver.feed(LinkUp(len(seen)))
                yield
                seen.append(world.driver.ledger is ledger)
            return _Ledger(f"after {ledger}"), _applied()

        monkeypatch.setattr(driver_module, "apply_in_turns", in_turns)
        world.driver.ledger = "first"  # type: ignore[assignment]
        monkeypatch.setattr(Told, "executed", lambda *_: log.append(("executed",)))
        blocks = [_execute(1), _execute(2)]
        world.script.answers = {LinkUp(0): [Persist({b"x": b"y"})]}
        world.driver.start(blocks)
        await world.settle()
        await world.settle()
        assert before is not world.driver.ledger
        assert world.driver.ledger == "after after first"
        assert seen == [True] * 6
        order = [each if each[0] != "submit" else each[:1] for each in log]  # type: ignore[index]
        assert order == [
            ("begun", "first"),
            ("submit",),  # what consensus persists meanwhile
            ("executed",),
            ("submit",),
            ("begun", "after first"),
            ("executed",),
            ("submit",),
        ]
        executed = [each for each in world.script.given if isinstance(each, Executed)]
        assert [(each.height, each.is_erasing) for each in executed] == [(1, False), (2, True)]


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_block_that_others_have_told_waits_for_no_disk_but_for_news_before_it(
    monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    async with _world(monkeypatch) as world:
        begun = list[int]()

        def in_turns(*given: Any) -> Generator[None, None, tuple[object, Any]]:
            begun.append(given[2].height)
            yield
            return _Ledger("after"), _applied()

        monkeypatch.setattr(driver_module, "apply_in_turns", in_turns)
        monkeypatch.setattr(Told, "executed", lambda *_: None)
        world.driver.start(
            [
                Persist({b"Kf": b"1"}),
                _execute(1, is_told=is_told),
                BatchSealed(bytes(32), 1, 1),
                _execute(2, is_told=is_told),
                Persist({b"Kf": b"3"}),
                _execute(3, is_told=is_told),
            ]
        )
        await world.settle()
        assert begun == ([1] if is_told else [])
        world.store.sync(1)
        await world.settle()
        assert begun == [1, 2], "the news are told, and what stood behind them goes on"
        while world.store.waiting:
            world.store.sync()
            await world.settle()
        assert begun == [1, 2, 3]


async def test_a_pump_that_stops_gives_up_the_block_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _world(monkeypatch) as world:
        turns = list[int]()

        def in_turns(*_: object) -> Generator[None, None, Any]:
            while True:
                turns.append(len(turns))
                if len(turns) == 2:
                    world.driver.stop()
                yield

        monkeypatch.setattr(driver_module, "apply_in_turns", in_turns)
        world.driver.start([_execute(1)])
        await world.settle()
        assert turns == [0, 1]
        assert world.log == []


def _execute(height: int, *, is_told: bool = False) -> Execute:
    block = Block(1, height, height, bytes(32), (), height)
    return Execute(block, bytes(32), (), is_told)


def _applied() -> Applied:
    seal = Seal(1, bytes(32), bytes(32), 1, bytes(32), bytes(32), bytes(32), None)
    return Applied(changes={}, first=0, size=1, root=bytes(32), seal=seal, refusals=(), records=())
