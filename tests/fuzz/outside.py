"""Targets: the outside formats (notes, policies, receipts, tiles, requests) and every verifier.

What a verifier accepts is compared with what is true of the ledger behind the seeds: a changed
input may be another true one (a note with another quorum), never a false one.
"""

import base64
from functools import cache
from typing import Any

import msgspec

from ledger import beside, epochs, fork, mapproof, merkle, note, receipt, tiles, witnessing
from ledger.batch import ENTRY_BYTES
from ledger.bundle import verify_bundle
from ledger.checkpoint import (
    Checkpoint,
    verify_checkpoint,
    verify_checkpoint_strict,
    verify_cosignature,
)
from ledger.errors import BadProof, InvalidInput
from ledger.files import entry_at
from ledger.index import Index
from ledger.policy import Policy, parse_decimal
from ledger.signing import is_valid_public_key, verify
from tests.fuzz import ground
from tests.fuzz.target import Target
from tests.ledger.test_witnessing import LOGS, OtherLog
from tests.ledger.world import key_of
from tests.vectors.frozen import read

TREE = OtherLog()
SIZE = 70


def text(data: bytes) -> str:
    """Text as the edge hands it on: bytes that are no UTF-8 stay visible."""
    return data.decode("utf-8", "surrogateescape")


def plain(found: str) -> bytes:
    return found.encode("utf-8", "surrogateescape")


def arguments(data: bytes, kind: Any) -> Any:
    """Arguments of a verifier out of fuzz input; what has not their types is not the question."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadProof("no arguments") from error


# --- verifiers ---


def _inclusion(data: bytes) -> None:
    index, proof = arguments(data, tuple[int, list[bytes]])
    merkle.verify_inclusion(TREE.leaves[29], index, SIZE, proof, TREE.root(SIZE))
    assert (index, proof) == (29, merkle.inclusion_proof(TREE.read_node, 29, SIZE))


def _consistency(data: bytes) -> None:
    size, root, proof = arguments(data, tuple[int, bytes, list[bytes]])
    merkle.verify_consistency(size, SIZE, root, TREE.root(SIZE), proof)
    assert root == TREE.root(size)
    assert proof == merkle.consistency_proof(TREE.read_node, size, SIZE)


@cache
def _index() -> tuple[Index, dict[bytes, bytes]]:
    """An index, and what it holds."""
    items = {merkle.leaf_hash(b"%d" % at): merkle.leaf_hash(b"value") for at in range(60)}
    return Index.build(sorted(items.items()), 1, version=1), items


def _map_seeds() -> list[bytes]:
    index, items = _index()
    absent = [merkle.leaf_hash(b"absent%d" % at) for at in range(4)]
    keys = [*sorted(items)[:4], *absent]
    return [ground.packed(key, index.prove(key)) for key in keys]


def _map(data: bytes) -> None:
    key, proof = arguments(data, tuple[bytes, bytes])
    index, items = _index()
    try:
        mapproof.verify_absence(index.root(), key, proof)
    except BadProof:
        found = items.get(key, bytes(32))
        mapproof.verify_presence(index.root(), key, found, proof)
        assert items[key] == found
        assert index.prove(key) == proof
        return
    assert len(key) == 32
    assert key not in items


def _tolerant(data: bytes) -> None:
    found = verify_checkpoint(data, ground.policy())
    assert found.text() == note.parse_note(ground.notes()[0]).text
    assert note.parse_note(data).format() == data


def _strict(data: bytes) -> None:
    found = verify_checkpoint_strict(data, ground.policy())
    assert found.text() == note.parse_note(ground.notes()[0]).text
    known = {line for each in ground.notes() for line in note.parse_note(each).lines}
    lines = note.parse_note(data).lines
    assert set(lines) <= known
    assert len(lines) == 1 + ground.policy().quorum


def _cosignature(data: bytes) -> None:
    """One line of a validator's, as another node sends it."""
    line = note.parse_signature_line(data)
    point = Checkpoint.parse(note.parse_note(ground.notes()[0]).text)
    time_s = verify_cosignature(ground.policy().witnesses[0][1], point, line)
    assert line == note.parse_note(ground.notes()[0]).lines[1]
    assert time_s == 1_700_000_000


def _receipt(data: bytes) -> None:
    found = receipt.verify_receipt(data, ground.policy(), ENTRY_BYTES)
    assert found.entry == entry_at(ground.world().store, found.index)


def _bundle(data: bytes) -> None:
    found = verify_bundle(data, ground.policy())
    if not found.valid:
        raise BadProof(found.steps[-1].detail)
    assert data in ground.bundles()


def _chain(data: bytes) -> None:
    made, genuine = ground.chain()
    found = epochs.follow(made.genesis.foundation, epochs.decode_chain(data))
    known = epochs.decode_chain(genuine)
    trusted = [epochs.follow(made.genesis.foundation, known[:at]) for at in range(len(known) + 1)]
    assert found in trusted


def _fork(data: bytes) -> None:
    policy, genuine = ground.fork()
    found = fork.verify_fork(fork.decode_fork(data), policy)
    genuine_notes = fork.decode_fork(genuine)
    texts = {note.parse_note(each).text for each in (genuine_notes.first, genuine_notes.second)}
    assert {found.first.text(), found.second.text()} == texts


def _walk(data: bytes) -> None:
    known = ground.blocks()
    walk = ground.walk_to(len(known) - 1)
    walk.step(data, known[-1][1])
    assert data == known[-1][0]


def _entries(data: bytes) -> None:
    """The entries of the newest block, as a bundle of entries."""
    known = ground.blocks()
    entries = tiles.decode_entry_bundle(data)
    ground.walk_to(len(known) - 1).step(known[-1][0], entries)
    # The seal's other fields, and the order of the entries, are what the log's root covers.
    assert sorted(entries[:-1]) == sorted(known[-1][1][:-1])


def _request(data: bytes) -> None:
    request = witnessing.parse_request(data)
    witnessing.check_signed(request, LOGS)
    after = witnessing.judge(request, witnessing.Seen(20, TREE.root(20)))
    assert after in {witnessing.Seen(size, TREE.root(size)) for size in (20, 40, 70)}


def _signature(data: bytes) -> None:
    """64 bytes of signature, then the message."""
    if not verify(key_of("fuzz").public, data[64:], data[:64]):
        raise InvalidInput("does not hold")
    assert data in _signed()


@cache
def _signed() -> list[bytes]:
    return [key_of("fuzz").sign(each) + each for each in (b"", b"message", bytes(100))]


def _key(data: bytes) -> None:
    if not is_valid_public_key(data):
        raise InvalidInput("is no key")
    assert len(data) == 32


def _tile(data: bytes) -> None:
    """A tile of the log's right edge: nothing beyond its size can be read, and no other hash."""
    reader = tiles.TileReader(lambda *_: data)
    proof = merkle.inclusion_proof(reader.read_node, 29, SIZE)
    merkle.verify_inclusion(TREE.leaves[29], 29, SIZE, proof, TREE.root(SIZE))
    assert proof == merkle.inclusion_proof(TREE.read_node, 29, SIZE)


# --- parsers ---


def _policy(data: bytes) -> None:
    """A policy may be written in several ways; what we write of it reads back as the same."""
    found = Policy.parse(text(data))
    assert Policy.parse(found.format()) == found


def _lane(found: tuple[int, int, int]) -> str:
    return beside.lane_path(*found)


def outside() -> list[Target]:
    """Every parser and verifier of a format that others write."""
    text_of = note.parse_note(ground.notes()[0]).text
    line = note.parse_note(ground.notes()[0]).lines[0]
    vkeys = [
        note.format_vkey(key.name, key.algorithm, key.public_key)
        for key in ground.policy().verifiers
    ]
    form = ground.policy().format()
    requests = [TREE.request(20, size) for size in (20, 40, 70)]
    edge = b"".join(TREE.leaves)
    return [
        Target("note", note.parse_note, ground.notes, lambda found: found.format()),
        Target(
            "signature-line",
            note.parse_signature_line,
            lambda: [line.format()[:-1]],
            lambda found: found.format()[:-1],
        ),
        Target(
            "vkey",
            lambda data: note.parse_vkey(text(data)),
            lambda: [plain(each) for each in vkeys],
            lambda key: plain(note.format_vkey(key.name, key.algorithm, key.public_key)),
        ),
        Target("checkpoint", Checkpoint.parse, lambda: [text_of], lambda found: found.text()),
        Target(
            "policy",
            _policy,
            lambda: [
                plain(form),
                plain(form.replace(" 3 ", " all ")),
                plain(
                    form.replace("witness p1 ", "witness validators ")
                    .replace("group validators 3 p1", "group q 3 validators")
                    .replace("quorum validators", "quorum q")
                ),
                *_policies(),
            ],
        ),
        Target(
            "decimal",
            lambda data: parse_decimal(text(data), what="it"),
            lambda: [b"0", b"10", b"9223372036854775807"],
            lambda found: b"%d" % found,
        ),
        Target(
            "base64",
            lambda data: note.decode_base64(data, what="it"),
            lambda: [b"", b"AAE=", b"AA==", b"////"],
            base64.b64encode,
        ),
        Target(
            "receipt",
            receipt.parse_receipt,
            ground.receipts,
            lambda r: receipt.format_receipt(r.extra, r.index, r.proof, r.note),
        ),
        Target(
            "witness-request",
            witnessing.parse_request,
            lambda: requests,
            lambda r: witnessing.format_request(r.old, r.proof, r.note),
        ),
        Target(
            "entry-bundle",
            tiles.decode_entry_bundle,
            lambda: [tiles.encode_entry_bundle(entries) for _, entries in ground.blocks()],
            tiles.encode_entry_bundle,
        ),
        _paths("tile-path", tiles.parse_tile_path, lambda found: found.format(), TILES),
        _paths("block-path", beside.parse_block_path, beside.block_path, BLOCKS),
        _paths("lane-path", beside.parse_lane_path, _lane, LANES),
        Target("verify-inclusion", _inclusion, lambda: [_included()], cases=600),
        Target("verify-consistency", _consistency, _consistent, cases=600),
        Target("verify-map", _map, _map_seeds, cases=600),
        Target("verify-tile", _tile, lambda: [edge]),
        Target("verify-checkpoint", _tolerant, ground.notes, cases=150),
        Target("verify-checkpoint-strict", _strict, ground.notes, cases=150),
        Target(
            "verify-cosignature",
            _cosignature,
            lambda: [note.parse_note(ground.notes()[0]).lines[1].format()[:-1]],
        ),
        Target("verify-receipt", _receipt, ground.receipts, cases=150),
        Target("verify-bundle", _bundle, ground.bundles, cases=150),
        Target("verify-chain", _chain, lambda: [ground.chain()[1]], cases=100),
        Target("verify-fork", _fork, lambda: [ground.fork()[1]], cases=100),
        Target("verify-walk", _walk, lambda: [ground.blocks()[-1][0]], cases=60),
        Target(
            "verify-entries",
            _entries,
            lambda: [tiles.encode_entry_bundle(ground.blocks()[-1][1])],
            cases=60,
        ),
        Target("verify-request", _request, lambda: requests, cases=150),
        Target("verify-signature", _signature, _signed),
        Target("verify-key", _key, lambda: [key_of(at).public for at in range(3)], cases=100),
    ]


TILES = (b"tile/0/000", b"tile/63/x001/234.p/255", b"tile/entries/x001/x234/067", b"tile/1/000.p/1")
BLOCKS = (b"block/000", b"block/x001/234")
LANES = (b"lane/1/000", b"lane/4294967295/x001/234.p/255")


def _paths(name: str, parse: Any, form: Any, seeds: tuple[bytes, ...]) -> Target:
    return Target(name, lambda data: parse(text(data)), lambda: seeds, lambda it: plain(form(it)))


def _included() -> bytes:
    return ground.packed(29, merkle.inclusion_proof(TREE.read_node, 29, SIZE))


def _consistent() -> list[bytes]:
    return [
        ground.packed(size, TREE.root(size), merkle.consistency_proof(TREE.read_node, size, SIZE))
        for size in (1, 16, 33, 64, 70)
    ]


def _policies() -> list[bytes]:
    return [plain(case["text"]) for case in read("policy") if "refused" not in case]
