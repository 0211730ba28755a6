"""Snapshots: the same rows at every honest node, cut in one way, and no lie that passes a check."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import snapshot
from ledger.differences import EXECUTED
from ledger.encoding import encode
from ledger.erasure_rows import refused_residue_key
from ledger.errors import BadProof, InvalidInput, Malformed
from ledger.genesis import FIRST_BOUNDS, Genesis
from ledger.hashing import sha256
from ledger.replay import ReaderSource, replay
from ledger.residue import Residue
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    lane_key,
    need_row,
    residue_key,
    submission_key,
)
from ledger.snapshot import (
    CHUNK_BYTES,
    STATE,
    Chunk,
    Manifest,
    Row,
    check_manifest,
    chunk_hash,
    cut_chunks,
    decode_chunk,
    encode_chunk,
    is_state,
    make_manifest,
    manifest_digest,
    read_chunk,
    state_rows,
)
from ledger.state import load
from ledger.store import META, MemoryStore, Reader
from tests.ledger.eraser import market
from tests.ledger.world import DAY, World, genesis_of

CHAIN = bytes(range(32))


def made(
    reader: Reader, height: int = 3, *, chain: bytes = CHAIN, size: int = 9, root: bytes = CHAIN
) -> Manifest:
    turns = make_manifest(reader, chain, height, size, root)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            manifest: Manifest = end.value
            return manifest


def store_of(*rows: Row) -> MemoryStore:
    store = MemoryStore()
    store.write(dict(rows))
    return store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows."""
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 200)


# --- which rows ---


def test_state_rows_are_what_execution_writes_but_genesis() -> None:
    prefixes = {each[:1] for each in STATE}
    assert prefixes == {each[:1] for each in EXECUTED}
    assert list(STATE) == sorted(STATE)
    world = World()
    world.run(world.register("w"))
    for key, _ in world.store.scan(b"\0", b"\xff"):
        assert is_state(key) == (key[:1] in EXECUTED and key != GENESIS_KEY)
    names = (b"format", b"slots", b"genesis", b"head2", b"parameter", b"validators", b"zz", b"")
    assert not any(is_state(META + name) for name in names)
    assert is_state(HEAD_KEY)
    assert not any(
        is_state(key) for key in (b"", b"\0", b"@", b"\xff", b"Z", b"Sx", b"C", b"K", b"N")
    )


def test_all_state_rows_come_once_in_order_whatever_the_range() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"), world.open("e"))
    every = [row for row in world.store.scan(b"\0", b"\xff") if is_state(row[0])]
    assert list(state_rows(world.store)) == every
    keys = [key for key, _ in every]
    for start, stop in pairwise([keys[0], *keys[::5], b"Z"]):
        expected = [row for row in every if start <= row[0] < stop]
        assert list(state_rows(world.store, start, stop)) == expected
    assert list(state_rows(world.store, keys[-1])) == every[-1:]


def ends_of(genesis: Genesis, source: MemoryStore) -> dict[int, bytes | None]:
    """By each epoch's end the digest of the state there, executed from what `source` holds; None
    where no snapshot can be given."""
    rows, ends = MemoryStore(), {}
    for step in replay(genesis, ReaderSource(source), store=rows):
        if step.closing or step.height % genesis.foundation.bounds.epoch_blocks:
            continue
        try:
            ends[step.height] = manifest_digest(made(rows, step.height))
        except InvalidInput:
            ends[step.height] = None
    return ends


@pytest.mark.parametrize("seed", range(4))
def test_equal_rows_whether_executed_from_openings_or_from_what_erasures_left(seed: int) -> None:
    node, openings = market(seed)
    world = node.world
    while world.state.erasing or world.state.height % 3:
        node.block()
    node.destroy()
    whole = world.store.copy()
    for lane, height, position, _ in node.erased:
        name = whole.get(lane_key(lane, height)) or b""
        left = need_row(whole, Residue, residue_key(name, position))
        opened = openings[left.commitment]
        whole.write({submission_key(name, position): opened, residue_key(name, position): None})
    of_openings, of_residues = ends_of(world.genesis, whole), ends_of(world.genesis, world.store)
    assert None not in of_openings.values()
    given = {height: digest for height, digest in of_residues.items() if digest is not None}
    assert {height: of_openings[height] for height in given} == given
    last = max(of_openings)
    assert last in given, "once all erasures are done, everybody gives the same"
    assert len(given) < len(of_openings), "an end in between is not given"
    assert given[last] == manifest_digest(made(world.store, last)), "as the node has executed it"


def digests_with(window: int, restart_every: int) -> list[bytes]:
    """The digests of a small ledger's epoch ends, at a node that keeps so long a window, holds rows
    of its own, and starts anew every few blocks."""
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=4)), window)
    world.run(world.register("w"), world.register("c"), world.register("w"))
    digests = []
    for at in range(12):
        world.time += 9 * DAY
        world.run(world.open(f"e{at}"), world.outcome(f"e{at}"), world.rating(f"e{at}"))
        own = {b"K": b"%d" % window, b"Nx": b"%d" % at, b"C": b"", META + b"slots": b"%d" % at}
        world.store.write({**own, b"S%d" % window: b"", b"Y": b"", b"H": b"%d" % window})
        if world.state.height % restart_every == 0:
            world.state = load(world.store, window)
        if world.state.height % 4 == 0:
            digests.append(manifest_digest(made(world.store, world.state.height)))
    return digests


def test_equal_rows_whatever_a_node_keeps_besides_and_however_often_it_starts() -> None:
    first = digests_with(16, 100)
    assert len(set(first)) == 3
    assert digests_with(1, 100) == digests_with(200, 3) == digests_with(2, 1) == first


def test_no_snapshot_while_residues_of_refused_records_wait_for_their_erasure() -> None:
    rows = [(b"B" + bytes(8), b"x"), (refused_residue_key(7, bytes(14)), b"")]
    with pytest.raises(InvalidInput, match="residues"):
        made(store_of(*rows))


# --- chunks ---


@given(
    st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(max_size=150), max_size=60),
    st.integers(1, 400),
)
@settings(max_examples=200)
def test_chunks_are_as_full_as_can_be_and_hold_every_row_once(
    drawn: dict[bytes, bytes], room: int
) -> None:
    rows = sorted((b"F" + key, value) for key, value in drawn.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "CHUNK_BYTES", room)
        chunks = [each for each in cut_chunks(rows) if each is not None]
    assert [row for chunk in chunks for row in chunk] == rows
    sizes = [sum(len(key) + len(value) for key, value in chunk) for chunk in chunks]
    for chunk, size, later in zip(chunks, sizes, chunks[1:], strict=False):
        assert size <= room or len(chunk) == 1
        assert size + len(later[0][0]) + len(later[0][1]) > room
    store = store_of(*rows)
    if not rows:
        with pytest.raises(InvalidInput):
            made(store)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "CHUNK_BYTES", room)
        manifest = made(store)
    assert [chunk.first for chunk in manifest.chunks] == [chunk[0][0] for chunk in chunks]
    assert [chunk.bytes for chunk in manifest.chunks] == sizes
    read = [read_chunk(store, manifest, at) for at in range(len(chunks))]
    assert [decode_chunk(manifest, at, data) for at, data in enumerate(read)] == chunks


def test_the_forms_are_those_of_the_docstring() -> None:
    rows = [(b"A1", b"x"), (b"E" + bytes(8), b"yy")]
    manifest = made(store_of(*rows))
    data = b"\x92" + b"\x92\xc4\x02A1\xc4\x01x" + b"\x92\xc4\x09E" + bytes(8) + b"\xc4\x02yy"
    assert read_chunk(store_of(*rows), manifest, 0) == data
    hashed = sha256(b"standing/chunk/v1\0", CHAIN, data)
    assert manifest == Manifest(CHAIN, 3, 9, CHAIN, (Chunk(b"A1", 14, 2, hashed),))
    raw = b"\x95\xc4\x20" + CHAIN + b"\x03\x09\xc4\x20" + CHAIN
    raw += b"\x91\x94\xc4\x02A1\x0e\x02\xc4\x20" + hashed
    assert encode(manifest) == raw
    assert manifest_digest(manifest) == sha256(b"standing/manifest/v1\0", CHAIN, raw)
    assert CHUNK_BYTES == 512 * 1_024


def test_turns_are_short(small: None) -> None:
    del small
    store = store_of(*((b"F%06d" % at, bytes(30)) for at in range(3_000)))
    turns = make_manifest(store, CHAIN, 3, 9, CHAIN)
    assert sum(1 for _ in turns) >= 3_000 * 37 // 200


def test_what_is_too_large_gives_no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES_MAX", 1_000)
    made(store_of((b"B1", bytes(900))))
    with pytest.raises(InvalidInput, match="1000 bytes"):
        made(store_of((b"B1", bytes(1_000))))
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 100)
    monkeypatch.setattr(snapshot, "MANIFEST_BYTES_MAX", 480)
    rows = [(b"B%d" % at, bytes(80)) for at in range(9)]
    assert len(encode(made(store_of(*rows[:8])))) <= 480
    with pytest.raises(InvalidInput, match="480 bytes"):
        made(store_of(*rows))
    monkeypatch.setattr(snapshot, "MANIFEST_BYTES_MAX", 10_000)
    monkeypatch.setattr(snapshot, "CHUNKS_MAX", 8)
    made(store_of(*rows[:8]))
    with pytest.raises(InvalidInput):
        made(store_of(*rows))


# --- lies ---


@pytest.fixture
def honest(small: None) -> tuple[MemoryStore, Manifest]:
    del small
    world = World()
    world.run(world.register("w"), world.register("c"), world.open("e"), world.outcome("e"))
    manifest = made(world.store, world.state.height, chain=world.chain)
    assert len(manifest.chunks) > 5
    return world.store, manifest


def test_every_other_chunk_is_refused(honest: tuple[MemoryStore, Manifest]) -> None:
    store, manifest = honest
    chunks = [read_chunk(store, manifest, at) for at in range(len(manifest.chunks))]
    for at, data in enumerate(chunks):
        rows = decode_chunk(manifest, at, data)
        lies = [b"", data[:-1], data + b"\0", bytes([data[0] ^ 1]) + data[1:], chunks[at - 1]]
        lies += [encode_chunk(rows[1:]), encode_chunk([*rows, (b"Zz", b"")]), b"\x90"]
        for lie in lies:
            with pytest.raises(BadProof, match="another"):
                decode_chunk(manifest, at, lie)


LIES: list[tuple[str, Callable[[list[Row]], object]]] = [
    ("is not what", lambda rows: rows[1:]),
    ("is not what", lambda rows: [(rows[0][0], rows[0][1] + b"x"), *rows[1:]]),
    ("is not what", lambda _: []),
    ("not in order", lambda rows: [rows[0], *rows[:0:-1]]),
    ("not in order", lambda rows: [rows[0], rows[0]]),
    ("no state row", lambda rows: [rows[0], (b"K" + rows[1][0][1:], rows[1][1])]),
    ("no state row", lambda rows: [rows[0], (rows[1][0] + bytes(200), b"")]),
    ("the next one", lambda rows: [rows[0], (b"X" + rows[1][0][1:], rows[1][1])]),
    ("cannot be decoded", lambda _: "text"),
    ("cannot be decoded", lambda rows: [[*row, b""] for row in rows]),
    ("cannot be decoded", lambda rows: [[7, row[1]] for row in rows]),
]


@pytest.mark.parametrize(("says", "lie"), LIES)
def test_a_chunk_under_a_lying_manifest_has_its_form_at_least(
    says: str, lie: Callable[[list[Row]], object]
) -> None:
    """f + 1 may have lied together: then the hash is what they say."""
    rows = [(b"F1", b"one"), (b"F2", b"two"), (b"F3", b"three")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "CHUNK_BYTES", 17)
        manifest = made(store_of(*rows, (b"G", b"")))
    first = rows[: manifest.chunks[0].rows]
    told = lie(first)
    data = encode(told)
    sound = isinstance(told, list) and all(isinstance(each, tuple) for each in told)
    total = sum(len(key) + len(value) for key, value in told) if sound else 10  # type: ignore[attr-defined]
    claims = {} if says == "is not what" else {"bytes": total, "rows": max(1, len(told))}  # type: ignore[arg-type]
    lying = replace(manifest.chunks[0], hash=chunk_hash(CHAIN, data), **claims)
    manifest = replace(manifest, chunks=(lying, *manifest.chunks[1:]))
    with pytest.raises((BadProof, Malformed), match=says):
        decode_chunk(manifest, 0, data)


def test_a_manifest_is_of_the_checkpoint_that_was_asked_for(
    honest: tuple[MemoryStore, Manifest],
) -> None:
    _, manifest = honest
    told = (manifest.chain, manifest.height, manifest.size, manifest.root)
    check_manifest(manifest, *told)
    others = [
        replace(manifest, chain=bytes(32)),
        replace(manifest, height=manifest.height + 1),
        replace(manifest, size=manifest.size + 1),
        replace(manifest, root=bytes(32)),
    ]
    chunks = manifest.chunks
    wrong = [
        (chunks[1], chunks[0], *chunks[2:]),
        (chunks[0], *chunks),
        (replace(chunks[0], first=b"@"), *chunks[1:]),
        (*chunks, replace(chunks[0], first=b"Z1")),
        (replace(chunks[0], bytes=CHUNK_BYTES + 1, rows=2), *chunks[1:]),
    ]
    others += [replace(manifest, chunks=each) for each in wrong]
    for other in others:
        with pytest.raises(BadProof):
            check_manifest(other, *told)
        assert manifest_digest(other) != manifest_digest(manifest)
