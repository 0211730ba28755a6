"""The index against the official cases, the literal reference, and its own past."""

import json
import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import BadProof, InvalidInput, Malformed
from ledger.index import EMPTY_ROOT, Index, verify_absence, verify_presence
from tests.reference import patricia as reference

# Few distinct bytes at both ends, so that keys share long and odd prefixes.
keys = st.builds(
    lambda head, middle, tail: head + bytes([middle]) * (32 - len(head) - len(tail)) + tail,
    st.binary(max_size=2),
    st.sampled_from([0, 1, 127, 128, 255]),
    st.binary(max_size=2),
)
values = st.binary(min_size=32, max_size=32)
contents = st.dictionaries(keys, values, max_size=16)
blocks = st.lists(contents, min_size=1, max_size=6)


def check_against(index, expected, asked, version=None):
    tree = reference.tree(expected)
    assert index.root(version) == reference.root(tree)
    for key in [*expected, *asked]:
        proof = index.prove(key, version)
        assert proof == reference.prove(tree, key)
        assert index.get(key, version) == expected.get(key)
        if key in expected:
            verify_presence(index.root(version), key, expected[key], proof)
        else:
            verify_absence(index.root(version), key, proof)


@pytest.fixture(scope="module")
def official(vectors_dir):
    cases = json.loads((vectors_dir / "map-proofs/mpt_python_cases.json").read_text())
    return bytes.fromhex(cases["Root"]), [
        {name: bytes.fromhex(value) if name != "Ok" else value for name, value in case.items()}
        for case in cases["Cases"]
    ]


def verify(root, case, proof):
    if case["Ok"]:
        verify_presence(root, case["Key"], case["Val"], proof)
    else:
        verify_absence(root, case["Key"], proof)


def test_the_official_cases_hold(official):
    root, cases = official
    assert len(cases) == 800
    assert sum(case["Ok"] for case in cases) == 400
    for case in cases:
        verify(root, case, case["Proof"])


def test_the_official_cases_fail_when_anything_is_changed(official):
    root, cases = official
    rng = random.Random(7)
    for case in cases:
        proof = bytearray(case["Proof"])
        proof[rng.randrange(len(proof))] ^= 1 << rng.randrange(8)
        for broken in (bytes(proof), case["Proof"][:-33], case["Proof"][1:], case["Proof"] + b"x"):
            with pytest.raises(BadProof):
                verify(root, case, broken)


def test_a_proof_of_one_kind_is_none_of_the_other(official):
    root, cases = official
    for case in cases:
        key, proof = case["Key"], case["Proof"]
        if case["Ok"]:
            with pytest.raises(BadProof):
                verify_absence(root, key, key + case["Val"] + proof)
        else:
            verify_presence(root, proof[:32], proof[32:64], proof[64:])
            with pytest.raises(BadProof):
                verify_presence(root, key, proof[32:64], proof[64:])


def test_the_official_map_is_the_one_we_build(official):
    """Its keys are SHA-256("subject-<n>") for n < 5,000; of its values the cases show some 770.

    So we build it twice, with other bytes for the values that we do not know: what is the same in
    both proofs does not depend on them, and must be the official proof's, byte for byte.
    """
    _, cases = official
    shown = {}
    for case in cases:
        leaf = case["Key"] + case["Val"] if case["Ok"] else case["Proof"][:64]
        assert shown.setdefault(leaf[:32], leaf[32:]) == leaf[32:]
    every_key = sorted(sha256(b"subject-%d" % n).digest() for n in range(5_000))
    assert shown.keys() <= set(every_key)
    zeros, ones = (
        Index.build(((key, shown.get(key, filler)) for key in every_key), 1)
        for filler in (bytes(32), b"\xff" * 32)
    )
    siblings = 0
    for case in cases:
        theirs = case["Proof"]
        ours, also = zeros.prove(case["Key"]), ones.prove(case["Key"])
        assert len(ours) == len(also) == len(theirs)
        head = 0 if case["Ok"] else 64
        assert ours[:head] == theirs[:head]
        for at in range(head, len(theirs), 33):
            assert ours[at] == theirs[at]
            if ours[at : at + 33] == also[at : at + 33]:
                assert ours[at : at + 33] == theirs[at : at + 33]
                siblings += 1
    assert siblings > 100


@settings(max_examples=60)
@given(contents, st.lists(keys, max_size=6), st.randoms(use_true_random=False))
def test_root_and_proofs_do_not_depend_on_the_order(expected, asked, rng):
    built = Index.build(sorted(expected.items()), 1)
    check_against(built, expected, asked)
    items = list(expected.items())
    rng.shuffle(items)
    grown = Index(1)
    for version, (key, value) in enumerate(items):
        grown.apply(version, {key: value})
    cut = rng.randrange(len(items) + 1)
    halved = Index(1)
    halved.apply(0, dict(items[:cut]))
    halved.apply(1, dict(items[cut:]))
    assert built.root() == grown.root() == halved.root()
    assert len(built) == len(grown) == len(halved) == len(expected)
    check_against(halved, expected, asked)


@settings(max_examples=40)
@given(contents, blocks, st.integers(1, 4), st.lists(keys, max_size=4))
def test_every_version_in_the_window_stays_provable(first, updates, window, asked):
    index = Index.build(sorted(first.items()), window, version=10)
    states = {10: dict(first)}
    for step, update in enumerate(updates):
        height = 11 + 2 * step
        states[height] = states[max(states)] | update
        assert index.apply(height, update) == reference.root(reference.tree(states[height]))
        kept = sorted(states)[-window:]
        assert index.versions() == kept
        for version in kept:
            check_against(index, states[version], asked, version)
        for version in (*sorted(states)[:-window], 12, height + 1):
            with pytest.raises(InvalidInput, match="not kept"):
                index.prove(bytes(32), version)


def test_replacing_values_takes_no_room_beyond_the_window():
    rng = random.Random(3)
    known = [rng.randbytes(32) for _ in range(2_000)]
    index = Index(3)
    index.apply(0, {key: rng.randbytes(32) for key in known})
    tree, states = index._tree, {}
    for version in range(1, 40):
        states[version] = {key: rng.randbytes(32) for key in rng.sample(known, 1_500)}
        index.apply(version, states[version])
        assert len(tree.leaves) == 2_000 * 64
        assert len(tree.nodes) == 2_000 * 65
        assert len(index._overwritten) == min(version, 2)
    for version in index.versions():
        for key, value in list(states[version].items())[:50]:
            verify_presence(index.root(version), key, value, index.prove(key, version))


def test_a_large_map_matches_one_built_from_its_contents():
    rng = random.Random(5)
    expected = {rng.randbytes(32): rng.randbytes(32) for _ in range(3_000)}
    index = Index.build(sorted(expected.items()), 2, version=0)
    for version in range(1, 8):
        update = {key: rng.randbytes(32) for key in rng.sample(sorted(expected), 400)}
        update |= {rng.randbytes(32): rng.randbytes(32) for _ in range(300)}
        # new keys beside old ones, so that paths part late
        for key in rng.sample(sorted(expected), 100):
            at = rng.randrange(256)
            flipped = bytearray(key)
            flipped[at >> 3] ^= 0x80 >> (at & 7)
            update[bytes(flipped)] = rng.randbytes(32)
        expected |= update
        root = index.apply(version, update)
        assert root == Index.build(sorted(expected.items()), 1).root()
        assert len(index) == len(expected)


def test_deep_keys_reach_the_bound_of_items():
    """256 keys that each part from one key at another bit: proofs of 256 items."""
    deep = bytes(32)
    expected = {deep: bytes(32)}
    for b in range(256):
        expected[(1 << (255 - b)).to_bytes(32, "big")] = bytes([b]) * 32
    index = Index(1)
    index.apply(0, expected)
    proof = index.prove(deep)
    assert len(proof) == 256 * 33
    verify_presence(index.root(), deep, bytes(32), proof)
    with pytest.raises(BadProof, match="at most 256"):
        verify_presence(index.root(), deep, bytes(32), proof + proof[:33])


def test_the_empty_map():
    index = Index(2)
    key = bytes(32)
    assert index.root() == EMPTY_ROOT
    assert (index.prove(key), index.get(key), index.versions(), len(index)) == (b"", None, [], 0)
    verify_absence(EMPTY_ROOT, key, b"")
    with pytest.raises(BadProof):
        verify_absence(bytes(32), key, b"")
    assert index.apply(0, {}) == EMPTY_ROOT
    assert index.root(0) == EMPTY_ROOT
    index.apply(1, {key: key})
    assert index.root(0) == EMPTY_ROOT
    assert index.prove(key, 0) == b""
    verify_presence(index.root(1), key, key, index.prove(key, 1))
    with pytest.raises(BadProof):
        verify_absence(index.root(1), key, b"")


def test_a_block_without_updates_is_a_version():
    index = Index.build([(bytes(32), bytes(32))], 2, version=4)
    root = index.root()
    assert index.apply(5, {}) == root
    assert index.versions() == [4, 5]


def test_what_apply_refuses_changes_nothing():
    index = Index.build([(bytes(32), bytes(32))], 2, version=4)
    root = index.root()
    for version in (4, 3):
        with pytest.raises(ValueError, match="does not follow"):
            index.apply(version, {})
    for update in ({b"short": bytes(32)}, {bytes(32): b"short"}):
        with pytest.raises(Malformed):
            index.apply(5, update)
    assert (index.root(), index.versions()) == (root, [4])
    for call in (index.get, index.prove):
        with pytest.raises(Malformed):
            call(b"short")


@pytest.mark.parametrize(
    "items",
    [
        [(b"\1" * 32, bytes(32)), (bytes(32), bytes(32))],
        [(bytes(32), bytes(32)), (bytes(32), bytes(32))],
        [(bytes(31), bytes(32))],
        [(bytes(32), bytes(33))],
    ],
)
def test_build_demands_ascending_keys_of_32_bytes(items):
    with pytest.raises(Malformed):
        Index.build(items, 1)


def test_a_window_holds_something():
    with pytest.raises(ValueError, match="at least one"):
        Index(0)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_proofs_of_keys_of_other_lengths(length):
    with pytest.raises(BadProof):
        verify_presence(EMPTY_ROOT, bytes(length), bytes(32), b"")
    with pytest.raises(BadProof):
        verify_presence(EMPTY_ROOT, bytes(32), bytes(length), b"")
    with pytest.raises(BadProof):
        verify_absence(EMPTY_ROOT, bytes(length), b"")
    with pytest.raises(BadProof):
        verify_absence(bytes(length), bytes(32), b"")
