"""Proofs of forks: they hold only for two checkpoints that no one log can have."""

from dataclasses import replace

import pytest

from ledger.errors import BadProof, InvalidInput
from ledger.fork import decode_fork, encode_fork, fork_of, verify_fork
from ledger.merkle import consistency_proof
from ledger.rows import tile_key
from ledger.tiles import TileReader
from tests.ledger.certify import certify, policy_of
from tests.ledger.world import World, genesis_of


def world_of(*names):
    world = World(genesis_of(4))
    for name in names:
        world.run(world.register(name))
    return world


def reader_of(world):
    read = lambda level, index: world.store.get(tile_key(level, index)) or b""  # noqa: E731
    return TileReader(read).read_node


@pytest.fixture
def same_size():
    one, two = world_of("a", "b"), world_of("a", "c")
    fork = fork_of(
        certify(one).note, certify(two, log=2, cosigners=(2, 3, 4)).note, two.state.log.root()
    )
    return one, fork


@pytest.fixture
def other_sizes():
    one, two = world_of("a", "b"), world_of("a", "c", "d", "e")
    earlier = world_of("a", "c")
    proof = consistency_proof(reader_of(two), earlier.state.log.size, two.state.log.size)
    return one, fork_of(certify(one).note, certify(two).note, earlier.state.log.root(), proof)


def test_two_roots_of_one_size_name_who_signed_both(same_size):
    world, fork = same_size
    proven = verify_fork(fork, policy_of(world))
    assert proven.first.size == proven.second.size
    assert [name.split(" ")[0].rsplit("/")[-1] for name in proven.culprits] == ["p2", "p3"]


def test_a_log_that_did_not_begin_like_the_other(other_sizes):
    world, fork = other_sizes
    proven = verify_fork(fork, policy_of(world))
    assert proven.first.size < proven.second.size
    assert len(proven.culprits) == 4, "three cosigners and a log key"


def test_no_fork_can_be_made_of_one_log():
    world = world_of("a", "b")
    first, size, root = certify(world), world.state.log.size, world.state.log.root()
    with pytest.raises(BadProof, match="one log"):
        verify_fork(fork_of(first.note, first.note, root), policy_of(world))
    world.run(world.register("c"))
    second = certify(world)
    proof = consistency_proof(reader_of(world), size, world.state.log.size)
    with pytest.raises(BadProof, match="one log"):
        verify_fork(fork_of(first.note, second.note, root, proof), policy_of(world))
    with pytest.raises(BadProof):
        verify_fork(fork_of(first.note, second.note, bytes(32), proof), policy_of(world))
    with pytest.raises(BadProof, match="larger"):
        verify_fork(fork_of(second.note, first.note, root, proof), policy_of(world))


def test_every_changed_byte_is_refused(same_size, other_sizes):
    for world, fork in (same_size, other_sizes):
        data = encode_fork(fork)
        assert decode_fork(data) == fork
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1
            with pytest.raises(InvalidInput):
                verify_fork(decode_fork(bytes(changed)), policy_of(world))


def test_another_policy_knows_nobody(same_size):
    world, fork = same_size
    trusted = policy_of(world)
    with pytest.raises(InvalidInput):
        verify_fork(fork, replace(trusted, quorum=4))


def test_a_fork_over_a_change_of_the_set_names_who_was_in_both():
    one, two = world_of("a", "b"), world_of("a", "c", "d", "e")
    earlier = world_of("a", "c")
    proof = consistency_proof(reader_of(two), earlier.state.log.size, two.state.log.size)
    second = certify(two, log=5, cosigners=(3, 4, 5)).note
    fork = fork_of(certify(one).note, second, earlier.state.log.root(), proof)
    five = policy_of(World(genesis_of(5)))
    later = replace(five, log_keys=five.log_keys[1:], witnesses=five.witnesses[1:], quorum=3)
    proven = verify_fork(fork, policy_of(one), later)
    assert [name.split(" ")[0].rsplit("/")[-1] for name in proven.culprits] == ["p3"]
    with pytest.raises(InvalidInput):
        verify_fork(fork, policy_of(one))
    with pytest.raises(InvalidInput):
        verify_fork(fork, later, policy_of(one))
