"""Taking a snapshot into a real store, over real links: what is left when it ends in any way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from consensus.steps import MANIFEST, TAKING, Terms, chunk_key
from ledger.batch import Submission
from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.records import decode_record
from ledger.rows import GENESIS_KEY, HEAD_KEY, submission_key
from ledger.store import NODE, SUBMISSION, Changes, Reader, after
from node.address import Address
from node.bounds import BOUNDS
from node.compose import build
from node.config import Config, load_config
from node.naming import name_key
from node.snapshot import taking as module
from node.snapshot.taking import Waiting, is_empty, keys_to_wipe, wipe
from node.starting import open_store
from node.storage.leveldb import FORMAT_KEY, LevelStore
from tests.node.running_net import Net, until

TERMS = Terms(blocks_min=2, ask_ms=10_000, stall_ms=20_000)
CODES = ("a", "b", "c", "d")


def config_of(net: Net, code: str) -> Config:
    return load_config(net.folder / code / "node.toml")


def store_of(folder: Path) -> LevelStore:
    return LevelStore(folder, BOUNDS, asyncio.get_running_loop().call_soon_threadsafe)


def rows(store: Reader) -> list[bytes]:
    return [key for key, _ in store.scan(b"A", b"[") if not key.startswith((b"Mformat", b"Mslots"))]


@pytest_asyncio.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    """Four platforms, of whom `d` was never started; the others have passed two epochs' ends."""
    made = Net(tmp_path / "net", CODES, epoch_blocks=2)
    try:
        await made.start("a", "b", "c")
        await made.ready("a", "b", "c")
        await made.pass_epochs("a", lambda: made.nodes["a"].state.height >= 4)
        await until(lambda: all(each.state.height >= 4 for each in made.nodes.values()))
        yield made
    finally:
        await made.stop(*made.nodes)


async def test_an_empty_store_takes_a_snapshot_and_its_node_takes_part(net: Net) -> None:
    config = config_of(net, "d")
    store = await open_store(config, asyncio.Event(), terms=TERMS)
    assert store is not None
    assert store.get(HEAD_KEY) is not None
    assert not list(store.scan(TAKING, after(TAKING)))
    node = net.nodes["d"] = await build(config, store=store)
    assert node.state.height >= 2, "before any link stands"
    await node.start()
    await net.ready("d")
    await net.final("d", count=3)
    roots = {each.state.log.root() for each in net.nodes.values()}
    await until(lambda: len({each.state.size for each in net.nodes.values()}) == 1)
    assert roots


async def test_who_knows_one_address_learns_the_others(net: Net) -> None:
    """f + 1 members have to be asked, and one of them knows where the others are."""
    config = config_of(net, "d")
    one = replace(config, peer_addresses={"a": config.peer_addresses["a"]})
    for code in "bc":  # they cannot dial it
        dials = net.nodes[code]._parts.peers._dials
        dials.pop(4).cancel()
    store = await open_store(one, asyncio.Event(), terms=TERMS)
    assert store is not None
    assert store.get(HEAD_KEY) is not None
    store.close()


async def test_own_names_come_back_with_own_batches(net: Net) -> None:
    """An own record that is handed in again is known, though the store was lost."""
    await net.start("d")
    await net.ready("d")
    await net.final("d", count=2)
    height = net.nodes["d"].state.height
    await net.pass_epochs("a", lambda: net.nodes["a"].state.height >= height + 4)
    await net.stop("d")
    config = config_of(net, "d")
    config.data.rename(config.data.with_name("lost"))
    store = await open_store(config, asyncio.Event(), terms=TERMS)
    assert store is not None
    node = net.nodes["d"] = await build(config, store=store)
    await node.start()
    own = [
        row
        for key, value in store.scan(SUBMISSION, after(SUBMISSION))
        if decode_record((row := _submission(value)).record).platform == node.number
    ]
    assert len(own) == 2
    assert all(store.get(name_key(decode_record(each.record))) for each in own)


def _submission(value: bytes) -> Submission:
    from ledger.encoding import decoder

    return decoder(Submission).decode(value)


async def test_told_to_stop_it_keeps_what_it_has(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    told = asyncio.Event()
    config = config_of(net, "d")
    feed = module.Taking._feed

    def stop_at_a_chunk(self, event, then=lambda: None):  # type: ignore[no-untyped-def]
        if type(getattr(event, "message", None)).__name__ == "ChunkMessage":
            told.set()
        feed(self, event, then)

    monkeypatch.setattr(module.Taking, "_feed", stop_at_a_chunk)
    assert await open_store(config, told, terms=TERMS) is None
    store = store_of(config.data)
    assert is_empty(store)
    assert store.get(MANIFEST) is not None
    store.close()
    monkeypatch.undo()
    store_again = await open_store(config, asyncio.Event(), terms=TERMS)
    assert store_again is not None
    assert store_again.get(HEAD_KEY) is not None
    store_again.close()


async def test_nobody_there_leaves_an_empty_store(tmp_path: Path) -> None:
    net = Net(tmp_path / "net", CODES)
    terms = replace(TERMS, ask_ms=200)
    store = await open_store(config_of(net, "d"), asyncio.Event(), terms=terms)
    assert store is not None
    assert rows(store) == []
    net.nodes["d"] = await build(config_of(net, "d"), store=store)
    assert net.nodes["d"].state.height == 0
    await net.nodes.pop("d").stop()


async def test_where_none_is_wanted_an_unfinished_one_is_wiped(tmp_path: Path) -> None:
    config = replace(config_of(Net(tmp_path / "net", CODES), "d"), takes_snapshot=False)
    store = store_of(config.data)
    half = {MANIFEST: b"?", chunk_key(0): b"", b"Wsubject": b"row"}
    store.submit({**half, submission_key(bytes(32), 0): encode(Submission(bytes(16), b"x", b""))})
    store.close()
    opened = await open_store(config, asyncio.Event())
    assert opened is not None
    assert rows(opened) == []
    opened.close()


async def test_a_manifest_that_cannot_be_read_is_wiped(tmp_path: Path) -> None:
    config = config_of(Net(tmp_path / "net", CODES), "d")
    store = store_of(config.data)
    store.submit({MANIFEST: b"no manifest", b"Wsubject": b"row"})
    store.close()
    opened = await open_store(config, asyncio.Event(), terms=replace(TERMS, ask_ms=100))
    assert opened is not None
    assert rows(opened) == []
    opened.close()


async def test_a_store_with_a_ledger_asks_nobody(net: Net) -> None:
    await net.stop("c")
    store = await open_store(config_of(net, "c"), asyncio.Event(), terms=TERMS)
    assert store is not None
    net.nodes["c"] = await build(config_of(net, "c"), store=store)
    await net.nodes["c"].start()


async def test_wiping_removes_what_tells_of_it_last(tmp_path: Path) -> None:
    store = store_of(tmp_path / "data")
    store.submit(dict.fromkeys((MANIFEST, b"Aa", NODE + b"z", GENESIS_KEY, b"Zz"), b"1"))
    keys = list(keys_to_wipe(store))
    assert keys[-1] == MANIFEST
    assert FORMAT_KEY not in keys
    await wipe(store)
    assert rows(store) == []
    assert store.get(FORMAT_KEY) is not None
    store.close()


async def test_what_an_interrupted_wipe_has_left_is_not_gone_on_with(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marks would name chunks whose rows are gone: none that the last check would miss."""
    durable = module._durable
    gone: list[bytes] = []

    async def killed_soon(store: LevelStore, changes: Changes) -> None:
        if gone:
            raise StoreDamaged("the process", "was killed")
        await durable(store, changes)
        gone.extend(key for key, value in changes.items() if value is None)

    async def does_not_hold(self) -> bool:  # type: ignore[no-untyped-def]
        return False

    monkeypatch.setattr(module.Taking, "_adopt", does_not_hold)
    monkeypatch.setattr(module, "_durable", killed_soon)
    monkeypatch.setattr(module, "WIPED_AT_ONCE", 10)
    config = config_of(net, "d")
    with pytest.raises(StoreDamaged, match="was killed"):
        await open_store(config, asyncio.Event(), terms=TERMS)
    store = store_of(config.data)
    assert store.get(MANIFEST) is not None
    store.close()
    monkeypatch.undo()
    again = await open_store(config, asyncio.Event(), terms=TERMS)
    assert again is not None
    assert again.get(HEAD_KEY) is not None
    assert len(gone) == 10
    assert all(again.get(key) for key in gone)
    again.close()


async def test_a_failing_disk_ends_it_with_an_error(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, config = LevelStore._write, config_of(net, "d")

    def fail(self, rows, *, anew=False):  # type: ignore[no-untyped-def]
        is_own = self._folder == config.data  # the givers' stores are in this process, too
        if is_own and any(key[:1] == b"W" for key in rows):
            raise OSError(28, "no space left on device")
        write(self, rows, anew=anew)

    monkeypatch.setattr(LevelStore, "_write", fail)
    with pytest.raises(StoreDamaged, match="no space left"):
        await open_store(config, asyncio.Event(), terms=TERMS)
    monkeypatch.undo()
    store = await open_store(config, asyncio.Event(), terms=TERMS)
    assert store is not None
    assert store.get(HEAD_KEY) is not None
    store.close()


async def test_http_says_that_it_is_not_ready_and_how_far_it_is(tmp_path: Path) -> None:
    port = Net(tmp_path / "net", ("a",)).base
    waiting = Waiting(Address("127.0.0.1", port), BOUNDS, lambda: "3 of 7 chunks")
    async with waiting, aiohttp.ClientSession() as session:
        for path in ("/readyz", "/v1/network"):
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "1"
                told = await answer.json(content_type="application/problem+json")
                assert "3 of 7 chunks" in told["detail"]
