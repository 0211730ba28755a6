"""What a node's files show of the people whose records it holds: nothing that is not a key."""

import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.batch import Submission
from ledger.encoding import decode
from ledger.errors import StoreDamaged
from ledger.files import read_file
from ledger.records import Record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.store import SUBMISSION, after
from node.audit.folder import FolderLedger
from node.compose import Node, build
from node.config import Address, Config, load_config
from node.intake import Accepted, Duplicate, Offer
from node.network import found_network
from node.storage.vault import VAULT_NAME

REFERENCES = ("ann@people.example", "Bob from Accounts")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "net"
    found_network(folder, ["a"], origin="test.example/log", api_port=1_000, peer_port=2_000)
    anywhere = Address("127.0.0.1", 0)
    loaded = load_config(folder / "a" / "node.toml")
    return replace(loaded, api_listen=anywhere, peers_listen=anywhere)


async def _records(node: Node) -> tuple[list[Record], list[bytes]]:
    """Two people, an engagement, its outcome and a rating; and their handles."""
    worker, client = await node.handles("subject", REFERENCES)
    (reference,) = await node.handles("engagement", ["order 4711"])
    foundation = node.genesis.foundation
    domain, scale = foundation.parameters.domains[0].code, foundation.parameters.scales[0]
    now_ms = time.time_ns() // 1_000_000
    records: list[Record] = [
        *(SubjectRegister(1, now_ms, each, b"", "contact") for each in (worker, client)),
        EngagementOpen(
            1, now_ms, reference, worker, client,
            "freelance", (domain,), "crew", now_ms, now_ms + 1, 7,
        ),
        EngagementOutcome(
            1, now_ms, reference, "completed", "none", 0, "accepted", "counterparty"
        ),
        Rating(
            1, now_ms, reference, "of-worker", client, b"", scale.code, scale.high, ()
        ),
    ]  # fmt: skip
    return records, [worker, client, reference]


async def _submit(node: Node, records: list[Record]) -> list[bytes]:
    results = await node.submit([Offer(encode_record(each), b"") for each in records])
    ids = [each.record_id for each in results if isinstance(each, Accepted)]
    assert len(ids) == len(records)
    states = await node.wait_final(ids, 20)
    assert [(each.state, each.rule) for each in states] == [("final", "")] * len(ids)
    return ids


def _openings(node: Node) -> dict[bytes, Submission]:
    rows = node.reader.scan(SUBMISSION, after(SUBMISSION))
    return {key: decode(Submission, value, bytes_max=8_192, what="row") for key, value in rows}


def _secrets(openings: list[Submission]) -> list[bytes]:
    """What tells of people, and must not be found by whoever searches the files.

    Handles are not among it: they are random, and rows of the state have them as keys.
    """
    found = [each.encode() for each in REFERENCES]
    for opening in openings:
        record = opening.record
        found += [opening.salt, record, record[2:20], record[-12:], sha256(record).digest()]
    return found


def _search(folder: Path, secrets: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (path.name, secret)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for secret in secrets
        if secret in path.read_bytes()
    ]


async def test_the_files_show_neither_records_nor_salts_nor_references(config: Config) -> None:
    node = await build(config)
    await node.start()
    try:
        records, handles = await _records(node)
        ids = await _submit(node, records)
        openings = list(_openings(node).values())
        secrets = _secrets(openings)
        assert len(openings) == len(records)
        assert {each.record for each in openings} == {encode_record(each) for each in records}
        assert _search(config.data, secrets) == [], "while it runs: the journal"
    finally:
        await node.stop()
    assert _search(config.data, secrets) == []
    node = await build(config)
    await node.start()
    try:
        assert _search(config.data, secrets) == [], "the journal in tables"
        again = await node.submit([Offer(encode_record(each), b"") for each in records])
        assert again == [Duplicate(record_id) for record_id in ids]
        assert await node.handles("subject", REFERENCES) == handles[:2]
        assert list(_openings(node).values()) == openings
    finally:
        await node.stop()
    assert _search(config.data, secrets) == []


async def test_what_is_erased_is_gone_and_the_rest_stands(config: Config) -> None:
    node = await build(config)
    await node.start()
    try:
        records, handles = await _records(node)
        await _submit(node, records)
        keys = list(_openings(node))
        root = node.state.log.root()
    finally:
        await node.stop()
    before = (config.data / f"{VAULT_NAME}.00000000").read_bytes()
    node = await build(config)
    node._parts.store.erase(dict.fromkeys(keys[2:3]))
    await node._parts.aliases.forget("subject", [REFERENCES[0]])
    await node.start()
    try:
        assert list(_openings(node)) == keys[:2] + keys[3:]
        assert node.state.log.root() == root
        size = node.state.size
        file = read_file(node.reader, 1, handles[0], size)
        assert [item.submission is None for item in file] == [False, True, False, False]
        assert node.handle_of(REFERENCES[0]) is None
        assert node.handle_of(REFERENCES[1]) == handles[1]
        drawn = await node.handles("subject", REFERENCES[:1])
        assert drawn != handles[:1]
    finally:
        await node.stop()
    assert before != (config.data / f"{VAULT_NAME}.00000000").read_bytes()
    with FolderLedger(config.data) as ledger:
        left = [key for key, _ in ledger.stored.scan(SUBMISSION, after(SUBMISSION))]
        assert left == keys[:2] + keys[3:]
        assert [ledger.stored.get(key) is None for key in keys] == [key == keys[2] for key in keys]


async def test_a_lost_vault_is_named_by_node_and_audit(config: Config) -> None:
    node = await build(config)
    await node.start()
    await node.stop()
    (config.data / VAULT_NAME).unlink()
    with pytest.raises(StoreDamaged, match=r"openings\.keys.*move the data folder away"):
        await build(config)
    with pytest.raises(StoreDamaged, match=r"openings\.keys"):
        FolderLedger(config.data)
