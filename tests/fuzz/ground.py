"""What the seeds are made of: small ledgers in memory, made once."""

from functools import cache

from msgspec.structs import replace

from ledger import epochs, merkle
from ledger.batch import Batch, Submission, commitment
from ledger.beside import Walk, encode_block_file
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import encode
from ledger.files import entry_at
from ledger.fork import encode_fork, fork_of
from ledger.policy import Policy
from ledger.receipt import format_receipt
from ledger.records import RECORD_TYPES, decode_record
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.evidence import Evidence
from ledger.residue import Remains, RemainsForm, Residue, form_of
from ledger.rows import (
    BlockRow,
    HeaderRow,
    block_key,
    header_key,
    lane_key,
    need_row,
    submission_key,
    tile_key,
)
from ledger.statements import TWO_NOTARIZES, part
from ledger.tiles import TileReader
from tests.ledger.certify import certify, policy_of
from tests.ledger.members import Members, party
from tests.ledger.test_bundle import bundle_of, linked_world
from tests.ledger.test_epochs import SAME, ends_of
from tests.ledger.world import World, genesis_of, handle, key_of, seed

SETS = [SAME, SAME, (1, 2, 3, 5)]


@cache
def world() -> World:
    """A ledger with links, ratings and summaries, by four platforms."""
    return linked_world()


@cache
def policy() -> Policy:
    """The policy of the ledger."""
    return policy_of(world())


@cache
def notes() -> tuple[bytes, ...]:
    """Certified checkpoints of the ledger: other log lines, other quorums."""
    return (
        certify(world()).note,
        certify(world(), log=2, cosigners=(2, 3, 4)).note,
        certify(world(), log=3, cosigners=(1, 3, 4)).note,
    )


@cache
def bundles() -> tuple[bytes, ...]:
    """Two answers with their proofs."""
    return (bundle_of(world()), bundle_of(world(), "c"))


def read_node(one: World) -> merkle.ReadNode:
    """Subtrees of a ledger's log."""
    return TileReader(lambda *at: one.store.get(tile_key(*at)) or b"").read_node


@cache
def receipts() -> tuple[bytes, ...]:
    """Receipts of the second and the last record."""
    made, size = world(), world().state.log.size
    records = [at for at in range(size) if entry_at(made.store, at)[0] == 0]
    return tuple(
        format_receipt(
            entry_at(made.store, at) + b"opening",
            at,
            merkle.inclusion_proof(read_node(made), at, size),
            notes()[0],
        )
        for at in (records[1], records[-1])
    )


@cache
def batches() -> tuple[Batch, ...]:
    """The batches of the first lane."""
    store, found = world().store, []
    for height in range(1, world().state.cut[1].height + 1):
        name = store.get(lane_key(1, height)) or b""
        row = need_row(store, HeaderRow, header_key(name))
        items = tuple(
            need_row(store, Submission, submission_key(name, at)) for at in range(row.header.count)
        )
        found.append(Batch(row.header, row.signature, items))
    return tuple(found)


@cache
def remains() -> RemainsForm:
    """A batch of which the second submission is erased."""
    batch = next(each for each in batches() if len(each.submissions) > 1)
    gone = Residue(commitment(batch.submissions[1]), 7, bytes(32), "", b"\x90")
    return form_of(Remains(batch.header, batch.signature, (batch.submissions[0], gone)))


@cache
def submissions() -> list[bytes]:
    """One of each kind of record that these ledgers hold, with the signatures that it needs."""
    found = {}
    for batch in batches():
        for each in batch.submissions:
            found.setdefault(type(decode_record(each.record)), encode(each))
    erasure = Erasure(1, world().time, handle("w"), key_of("subject", "w").public, "whole")
    found[Erasure] = encode(world().submit(erasure, key_of("subject", "w")))
    ack = ErasureAck(1, world().time, bytes(32))
    found[ErasureAck] = encode(world().submit(ack))
    found.update(governance())
    assert found.keys() == set(RECORD_TYPES)
    return list(found.values())


def governance() -> dict[type, bytes]:
    """One of each kind of record about the network itself."""
    said, change = Members(world()), bytes(32)
    joins, rotates = party(5), party(4, "new", root=key_of(4, "root"))
    votes = sorted(
        part((1, 2, hash_), key_of(3, "vote").sign(hash_)) for hash_ in (bytes(32), seed("block"))
    )
    made = (
        said.propose(1, joins),
        said.approve(1, change),
        said.ready(joins, change),
        said.remove(1, 2),
        said.leave(1),
        said.rotate(rotates),
        said.activate(1, replace(FIRST_MODEL, id="another")),
        world().submit(Evidence(1, world().time, TWO_NOTARIZES, 3, 1, 2, *votes)),
    )
    return {type(decode_record(each.record)): encode(each) for each in made}


@cache
def blocks() -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """Each block's public file and its entries of the log."""
    found = []
    for height in range(world().state.height + 1):
        row = need_row(world().store, BlockRow, block_key(height))
        entries = tuple(entry_at(world().store, at) for at in range(row.first, row.size))
        found.append((encode_block_file(row), entries))
    return tuple(found)


def walk_to(height: int) -> Walk:
    """A walk along the public side that stands before this block."""
    store = world().store
    keys = {number: key_of(number, "lane").public for number in SAME}

    def headers(lane: int, first: int, last: int) -> list[HeaderRow]:
        names = [store.get(lane_key(lane, at)) or b"" for at in range(first, last + 1)]
        return [need_row(store, HeaderRow, header_key(name)) for name in names]

    walk = Walk(world().chain, lambda _: keys, headers)
    for data, entries in blocks()[:height]:
        walk.step(data, entries)
    return walk


@cache
def chain() -> tuple[World, bytes]:
    """A ledger whose members change, and the chain of its epochs."""
    made, ends = ends_of(SETS)
    return made, epochs.encode_chain(ends)


@cache
def fork() -> tuple[Policy, bytes]:
    """Two ledgers of one name, proven."""
    one, two = World(genesis_of(4)), World(genesis_of(4))
    one.run(one.register("a"))
    two.run(two.register("b"))
    other = certify(two, log=2, cosigners=(2, 3, 4)).note
    return policy_of(one), encode_fork(fork_of(certify(one).note, other, two.state.log.root()))


def rows(prefix: bytes) -> list[bytes]:
    """The rows of the ledger's store under a prefix."""
    found = [value for _, value in world().store.scan(prefix, prefix + b"\xff" * 80)]
    return [value for value in found if value[:1] != b"\x01"][:4]  # a leaf may be a seal


def packed(*values: object) -> bytes:
    """Values as a MessagePack array: arguments of a verifier, as fuzz input."""
    return encode(values)
