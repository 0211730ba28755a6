"""Pinned ends: exactly the state behind an epoch's last block, a few of them, and no longer than
an erasure allows."""

import threading
from pathlib import Path

import pytest

from ledger.batch import Submission
from ledger.encoding import decode
from ledger.snapshot import state_rows
from ledger.store import REFUSED, SUBMISSION, after
from node.snapshot.pins import Pin
from tests.ledger.world import DAY
from tests.node.snapshot.ground import EPOCH, Ground, ground, manifest_of, new_world

LEASE_S = 30.0


def manifest_at(node: Ground, pin: Pin) -> object:
    assert pin.picture is not None
    made = manifest_of(pin.picture, node.world)
    return made.chunks


async def test_an_end_is_exactly_the_state_behind_its_block(tmp_path: Path) -> None:
    async with ground(tmp_path) as node:
        for at in range(3 * EPOCH + 2):
            world = node.world
            await node.run(world.register(f"w{at}"), world.register("w0"), lane=1 + at % 2)
        await node.settle()
        assert node.heights() == [EPOCH, 2 * EPOCH, 3 * EPOCH]
        for pin in node.pins.held():
            expected = node.manifests[pin.height]
            assert (pin.size, pin.root) == (expected.size, expected.root)
            assert manifest_at(node, pin) == expected.chunks


async def test_rows_of_the_next_block_are_not_grouped_with_those_of_the_end(tmp_path: Path) -> None:
    async with ground(tmp_path) as node:
        stuck = threading.Event()
        write = node.store._write

        def slow(*args: object, **more: object) -> None:
            assert stuck.wait(10)
            write(*args, **more)  # type: ignore[arg-type]

        node.store._write = slow  # type: ignore[method-assign]
        for at in range(2 * EPOCH + 1):
            await node.run(node.world.register(f"w{at}"))
        assert node.heights() == []
        stuck.set()
        await node.settle()
        assert node.heights() == [EPOCH, 2 * EPOCH]
        for pin in node.pins.held():
            assert manifest_at(node, pin) == node.manifests[pin.height].chunks


async def test_a_node_that_starts_at_an_end_pins_it_and_elsewhere_nothing(tmp_path: Path) -> None:
    world = new_world()
    async with ground(tmp_path / "a", world) as node:
        await node.settle()
        assert node.heights() == [], "block 0 is nobody's snapshot"
        await node.run_to(EPOCH)
    async with ground(tmp_path / "b", world) as node:
        await node.settle()
        (pin,) = node.pins.held()
        assert (pin.height, pin.size, pin.root) == (EPOCH, world.state.size, world.state.log.root())
        await node.run_to(EPOCH + 1)
    async with ground(tmp_path / "c", world) as node:
        await node.settle()
        assert node.heights() == []
        await node.run_to(2 * EPOCH)
        await node.settle()
        assert node.heights() == [2 * EPOCH]


async def test_who_stays_when_there_is_no_room(tmp_path: Path) -> None:
    async with ground(tmp_path, snapshot_pins_max=2) as node:

        async def held_at(height: int) -> list[int]:
            await node.run_to(height)
            await node.settle()
            return node.heights()

        assert await held_at(12) == [8, 12], "the youngest"
        assert node.pins.ask(8, 1) is not None
        node.clock_s += LEASE_S - 1
        assert await held_at(16) == [8, 16], "it was asked for"
        assert node.pins.ask(16, 2) is not None
        assert await held_at(20) == [16, 20], "both were: the younger"
        assert node.pins.ask(16, 1) is not None
        assert node.pins.ask(20, 3) is not None
        assert await held_at(24) == [16, 24], "two ask for it"
        node.clock_s += LEASE_S + 1
        assert await held_at(28) == [24, 28], "a while ago"
        for height in (4, 16, 17, 29, 0, 2**53 - 1):
            assert node.pins.ask(height, 1) is None


async def test_who_asks_without_end_takes_one_place(tmp_path: Path) -> None:
    async with ground(tmp_path, snapshot_pins_max=3) as node:
        await node.run_to(4)
        await node.settle()
        assert node.pins.ask(4, 1) is not None, "an honest taker's"
        for height in range(8, 60, 4):
            await node.run_to(height)
            await node.settle()
            node.clock_s += 1
            assert node.pins.ask(4, 1) is not None
            for _ in range(50):
                for pin in node.pins.held():
                    if pin.height != 4:
                        assert node.pins.ask(pin.height, 2) is not None
        assert node.heights()[0] == 4


async def test_an_end_goes_when_much_was_written_since(tmp_path: Path) -> None:
    async with ground(tmp_path, snapshot_rows_since_max=60) as node:
        await node.run_to(EPOCH)
        await node.settle()
        written = 0
        while node.heights():
            assert node.pins.ask(EPOCH, 1) is not None
            applied = node.world.run()
            node.executed(applied)
            written += len(applied.changes)
            assert written < 120
            if node.world.state.height == 2 * EPOCH - 1:
                break
            await node.settle()
        assert (written > 60) == (node.heights() == [])


# --- erasures ---


async def test_what_an_erasure_takes_is_in_no_end_any_more(tmp_path: Path) -> None:
    async with ground(tmp_path) as node:
        world = node.world
        await node.run(world.register("w", key=True), world.register("c"))
        await node.run(world.register("w", key=True))  # refused: it is known already
        await node.run_to(EPOCH)
        await node.settle()
        (pin,) = node.pins.held()
        assert pin.picture is not None
        (row,) = pin.picture.scan(REFUSED, after(REFUSED))
        assert node.pins.ask(EPOCH, 1) is pin
        await node.run(world.erasure("w"))
        assert world.store.get(row[0]) is None
        assert node.heights() == []
        assert node.pins.ask(EPOCH, 1) is None
        await node.run_to(2 * EPOCH)
        await node.settle()
        assert node.heights() == [2 * EPOCH]


async def test_an_erasure_that_takes_nothing_out_of_an_end_leaves_it(tmp_path: Path) -> None:
    async with ground(tmp_path) as node:
        world = node.world
        await node.run(world.register("w", key=True), world.register("c"), world.open("e"))
        await node.run_to(EPOCH)
        await node.run(world.register("w", key=True))  # refused behind the end
        applied = await node.run(world.erasure("w"))
        assert len(applied.erased) == 3
        await node.settle()
        assert node.heights() == [EPOCH]


async def test_an_erasure_before_the_picture_is_taken(tmp_path: Path) -> None:
    async with ground(tmp_path) as node:
        world = node.world
        await node.run(world.register("w", key=True), world.register("w", key=True))
        await node.run_to(EPOCH - 1)
        await node.settle()
        stuck = threading.Event()
        write = node.store._write

        def slow(*args: object, **more: object) -> None:
            assert stuck.wait(10)
            write(*args, **more)  # type: ignore[arg-type]

        node.store._write = slow  # type: ignore[method-assign]
        await node.run()
        await node.run(world.erasure("w"))
        stuck.set()
        await node.settle()
        assert node.heights() == []


@pytest.mark.parametrize("turn", range(3))
async def test_no_end_shows_more_than_may_be_known(tmp_path: Path, turn: int) -> None:
    """After every block of a ledger with erasures: no row about a refused record that is taken, and
    no opening, not even its salt."""
    people = ("w0", "w1", "c0")
    given = 0
    async with ground(tmp_path) as node:
        world = node.world
        await node.run(*(world.register(name, key=True) for name in people))
        for at in range(4 * EPOCH):
            name = people[at % 3]
            world.time += 9 * DAY
            await node.run(
                world.register(name, key=True),
                world.open(f"e{at}", "w0", "c0"),
                world.rating(f"e{at}", "stranger"),
                *([world.erasure(name)] if at % 5 == turn else []),
            )
            await node.settle()
            for pin in node.pins.held():
                assert pin.picture is not None
                taken = list(pin.picture.scan(REFUSED, after(REFUSED)))
                assert all(world.store.get(key) is not None for key, _ in taken)
                given += len(taken)
        assert given
        await node.run_to(5 * EPOCH)
        await node.settle()
        *_, pin = node.pins.held()
        assert pin.picture is not None
        rows = b"".join(key + value for key, value in state_rows(pin.picture))
        openings = list(world.store.scan(SUBMISSION, after(SUBMISSION)))
        assert len(openings) > 40
        for _, data in openings:
            assert decode(Submission, data, bytes_max=10_000).salt not in rows
