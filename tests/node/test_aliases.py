"""Aliases: one random handle per reference, durable before it is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import Malformed
from node.aliases import Aliases
from node.bounds import BOUNDS
from node.storage.leveldb import LevelStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LevelStore]:
    loop = asyncio.get_running_loop()
    opened = LevelStore(tmp_path / "d", BOUNDS, loop.call_soon_threadsafe)
    yield opened
    await asyncio.to_thread(opened.close)


async def test_a_reference_keeps_its_handle(store: LevelStore) -> None:
    aliases = Aliases(store, BOUNDS)
    first = await aliases.handles("subject", ["ann", "bob", "ann"])
    assert first[0] == first[2] != first[1]
    assert {len(handle) for handle in first} == {32}
    assert await aliases.handles("subject", ["bob"]) == [first[1]]
    assert await aliases.handles("engagement", ["ann"]) != [first[0]]
    assert aliases.handle_of("ann") == first[0]
    assert aliases.handle_of("nobody") is None


async def test_two_callers_get_one_handle(store: LevelStore) -> None:
    aliases = Aliases(store, BOUNDS)
    one, two = await asyncio.gather(
        aliases.handles("subject", ["ann"]), aliases.handles("subject", ["ann"])
    )
    assert one == two


async def test_handles_outlive_a_restart(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(2):
        store = LevelStore(tmp_path / "e", BOUNDS, loop.call_soon_threadsafe)
        found.append(await Aliases(store, BOUNDS).handles("subject", ["ünï"]))
        await asyncio.to_thread(store.close)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("kind", "references"),
    [
        ("person", ["a"]),
        ("subject", [""]),
        ("subject", ["x" * 257]),
        ("subject", ["\ud800"]),
        ("subject", ["a"] * 4),
    ],
)
async def test_refuses_what_is_out_of_bounds(
    store: LevelStore, kind: str, references: list[str]
) -> None:
    with pytest.raises(Malformed):
        await Aliases(store, replace(BOUNDS, aliases_max=3)).handles(kind, references)


async def test_a_reference_that_is_forgotten_gets_another_handle(store: LevelStore) -> None:
    aliases = Aliases(store, BOUNDS)
    first, kept = await aliases.handles("subject", ["ann", "bob"])
    forgotten = asyncio.ensure_future(aliases.forget("subject", ["ann"]))
    again = asyncio.ensure_future(aliases.forget("subject", ["ann", "nobody"]))
    await asyncio.sleep(0)
    drawn, same = await aliases.handles("subject", ["ann", "bob"])
    await asyncio.gather(forgotten, again)
    assert drawn != first
    assert same == kept
    assert await aliases.handles("subject", ["ann", "bob"]) == [drawn, kept]
    await aliases.forget("subject", ["bob"])
    assert aliases.handle_of("bob") is None
    assert aliases.handle_of("ann") == drawn


async def test_an_erasure_takes_handles_and_not_what_came_behind(store: LevelStore) -> None:
    aliases = Aliases(store, BOUNDS)
    ann, bob = await aliases.handles("subject", ["ann", "bob"])
    (job,) = await aliases.handles("engagement", ["order 7"])
    rows = {**aliases.rows_of([ann, job, bytes(32)]), **aliases.ways_of([ann, job])}
    assert len(rows) == 4
    await aliases.forget("subject", ["ann"])
    (again,) = await aliases.handles("subject", ["ann"])
    done = asyncio.get_running_loop().create_future()
    store.erase(rows, lambda: done.set_result(None))
    await done
    assert aliases.handle_of("ann") == again != ann, "drawn since: it stays"
    assert aliases.handle_of("bob") == bob
    assert aliases.handle_of("order 7", "engagement") is None
    assert aliases.rows_of([ann, job]) == {}
    assert list(aliases.rows_of([again]).values()) == [again]
