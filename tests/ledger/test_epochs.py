"""Following the validator sets from genesis: what is accepted, and everything that is not."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import epochs, merkle
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.epochs import EpochEnd, advance, decode_chain, encode_chain, follow, trust_genesis
from ledger.errors import BadProof, InvalidInput, Malformed
from ledger.files import entry_at
from ledger.genesis import FIRST_BOUNDS
from ledger.membership import quorum
from ledger.rows import CosignatureRow, tile_key
from ledger.tiles import TileReader
from tests.ledger.world import World, genesis_of, key_of, validator

EPOCH_BLOCKS = 2


def ends_of(sets, signers=None):
    """A world whose epochs have these sets of numbers, and its epoch ends, one for each."""
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    world = World(genesis_of(4, bounds))
    ends = []
    for epoch, (numbers, following) in enumerate(pairwise(sets), 1):
        world.run(world.register(f"w{epoch}"))
        members = tuple(validator(number)[0] for number in following)
        world.state = replace(world.state, validators=members)
        world.run()
        ends.append(end_of(world, (signers or {}).get(epoch, numbers)))
    return world, ends


def end_of(world, numbers):
    size, root = world.state.log.size, world.state.log.root()
    tiles = TileReader(lambda level, index: world.store.get(tile_key(level, index)) or b"")
    proof = merkle.inclusion_proof(tiles.read_node, size - 1, size)
    text = Checkpoint(world.genesis.foundation.origin, size, root).text()
    rows = tuple(
        CosignatureRow(n, 1_700_000_000, key_of(n, "cosigner").sign(signed))
        for n in sorted(numbers)[: quorum(len(numbers))]
        for signed in [cosignature_message(1_700_000_000, text)]
    )
    return EpochEnd(size, entry_at(world.store, size - 1), tuple(proof), rows)


SAME = (1, 2, 3, 4)
SETS = [SAME, SAME, (1, 2, 3, 5), (1, 2, 5, 6), (1, 2, 5, 6)]


def test_the_chain_leads_from_genesis_to_the_newest_set():
    world, ends = ends_of(SETS)
    foundation = world.genesis.foundation
    found = follow(foundation, decode_chain(encode_chain(ends)))
    assert [each.number for each in found.validators] == [1, 2, 5, 6]
    assert (found.epoch, found.height) == (5, 8)
    assert (found.size, found.root) == (world.state.log.size, world.state.log.root())
    assert found.policy == epochs.policy_of(foundation.origin, found.validators)
    assert found.policy.quorum == 3
    # The first end changed nothing: it may be left out. So may the last.
    assert follow(foundation, ends[1:]) == found
    assert follow(foundation, ends[1:3]).validators == found.validators
    assert follow(foundation, ()).validators == foundation.validators


def test_a_change_cannot_be_left_out():
    world, ends = ends_of([SAME, (1, 2, 3, 5), (1, 2, 5, 6), (1, 5, 6, 7), (5, 6, 7, 8)])
    foundation = world.genesis.foundation
    assert [each.number for each in follow(foundation, ends).validators] == [5, 6, 7, 8]
    with pytest.raises(BadProof, match="cosigned"):
        follow(foundation, ends[3:])
    with pytest.raises(BadProof, match="does not lead on"):
        follow(foundation, [ends[1], ends[0]])
    with pytest.raises(BadProof, match="does not lead on"):
        follow(foundation, [ends[0], ends[0]])


def test_too_few_or_other_cosigners_are_refused():
    world, ends = ends_of([SAME, (1, 2, 3, 5)])
    trusted, end = trust_genesis(world.genesis.foundation), ends[0]
    one, two, three = end.cosignatures

    def refused(**changes):
        with pytest.raises(BadProof):
            advance(trusted, msgspec.structs.replace(end, **changes))

    advance(trusted, end)
    refused(cosignatures=(one, two))
    refused(cosignatures=(one, two, three, three))
    refused(cosignatures=(one, one, two))
    refused(cosignatures=(two, one, three))
    refused(cosignatures=(one, two, msgspec.structs.replace(three, number=4)))
    refused(cosignatures=(one, two, msgspec.structs.replace(three, number=9)))
    refused(cosignatures=(one, two, msgspec.structs.replace(three, time_s=7)))
    refused(size=end.size + 1)
    refused(proof=end.proof[1:])
    refused(proof=(*end.proof, bytes(32)))


def test_a_seal_inside_an_epoch_is_no_end():
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    world = World(genesis_of(4, bounds))
    world.run(world.register("w"))
    with pytest.raises(BadProof, match="ends no epoch"):
        advance(trust_genesis(world.genesis.foundation), end_of(world, SAME))


def test_a_foreign_chain_is_refused():
    world, ends = ends_of([SAME, SAME])
    foundation = msgspec.structs.replace(world.genesis.foundation, origin="other.example/log")
    with pytest.raises(BadProof, match="does not hold"):
        follow(foundation, ends)


@given(st.data())
def test_no_changed_byte_is_accepted(data):
    world, ends = CHANGED
    whole = encode_chain(ends)
    at = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
    with pytest.raises(InvalidInput):
        follow(world.genesis.foundation, decode_chain(changed))


CHANGED = ends_of([SAME, (1, 2, 3, 5), (1, 2, 5, 6)])


@pytest.mark.parametrize(
    "data", [b"", b"\x90\x90", b"\xc0", b"\x91\xc0", encode([[1, b"", [], []]]), b"\xdc\x00\x00"]
)
def test_what_is_no_chain(data):
    with pytest.raises(Malformed):
        decode_chain(data)
