"""RFC 6962 trees against the official vectors and the literal reference."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import BadProof, Malformed
from ledger.merkle import Frontier
from tests.reference import merkle as reference

entry_lists = st.lists(st.binary(max_size=4), max_size=70)


def leaves(entries):
    return [merkle.leaf_hash(entry) for entry in entries]


def node_reader(entries):
    def read_node(level, index):
        covered = entries[index << level : (index + 1) << level]
        assert len(covered) == 1 << level, "a prover reads complete subtrees only"
        return reference.tree_hash(covered)

    return read_node


def official(vectors_dir, kind):
    paths = sorted((vectors_dir / "merkle/testdata" / kind).rglob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


def unbase64(case, *names):
    return [base64.b64decode(case[name] or "") for name in names]


def proof_of(case):
    return [base64.b64decode(value) for value in case["proof"] or []]


def expect(case, verify):
    if case["wantErr"]:
        with pytest.raises(BadProof):
            verify()
    else:
        verify()


def test_official_inclusion_vectors(vectors_dir):
    cases = official(vectors_dir, "inclusion")
    assert len(cases) == 98
    assert {case["wantErr"] for case in cases} == {True, False}
    for case in cases:
        root, leaf = unbase64(case, "root", "leafHash")
        expect(
            case,
            lambda c=case, r=root, f=leaf: merkle.verify_inclusion(
                f, c["leafIdx"], c["treeSize"], proof_of(c), r
            ),
        )


def test_official_consistency_vectors(vectors_dir):
    cases = official(vectors_dir, "consistency")
    assert len(cases) == 98
    assert {case["wantErr"] for case in cases} == {True, False}
    for case in cases:
        root1, root2 = unbase64(case, "root1", "root2")
        expect(
            case,
            lambda c=case, a=root1, b=root2: merkle.verify_consistency(
                c["size1"], c["size2"], a, b, proof_of(c)
            ),
        )


def test_official_subtree_vectors_that_begin_at_zero(vectors_dir):
    """Subtree proofs are another format; those over a beginning are ordinary ones."""
    cases = [c for c in official(vectors_dir, "subtreeconsistency") if c["end"] > c["start"] == 0]
    assert cases
    for case in cases:
        root1, root2 = unbase64(case, "root1", "root2")
        expect(
            case,
            lambda c=case, a=root1, b=root2: merkle.verify_consistency(
                c["end"], c["size"], a, b, proof_of(c)
            ),
        )


def test_official_leaves_nodes_and_roots(vectors_dir):
    known = json.loads((vectors_dir / "merkle/rfc6962_leaves_nodes_roots.json").read_text())
    entries = [bytes.fromhex(text) for text in known["leaf_inputs_hex"]]
    levels = [[bytes.fromhex(text) for text in row] for row in known["node_hashes_by_level_hex"]]
    assert leaves(entries) == levels[0]
    for row, above in itertools.pairwise(levels):
        pairs = zip(row[::2], row[1::2], strict=True)
        assert [merkle.node_hash(left, right) for left, right in pairs] == above
    frontier = Frontier()
    assert frontier.root().hex() == merkle.root([]).hex() == known["empty_root_hex"]
    for size, expected in enumerate(known["root_hashes_size1_to_8_hex"], 1):
        frontier = frontier.append(levels[0][size - 1])
        assert merkle.root(levels[0][:size]).hex() == expected
        assert frontier.root().hex() == expected


@given(entry_lists)
def test_root_is_the_reference_root(entries):
    assert merkle.root(leaves(entries)) == reference.tree_hash(entries)


@given(entry_lists, st.integers(0, 70))
def test_frontier_is_the_reference_frontier_however_it_grew(entries, cut):
    hashes = leaves(entries)
    expected = tuple(reference.frontier(entries))
    one_by_one, written = Frontier(), b""
    for size, leaf in enumerate(hashes):
        one_by_one = one_by_one.append(leaf)
        written = merkle.frontier_append(size, written, leaf)
    in_rows = Frontier().extend(hashes[:cut]).extend(iter(hashes[cut:]))
    assert one_by_one == in_rows == Frontier(len(entries), expected)
    assert written == in_rows.encode() == b"".join(expected)
    assert Frontier.decode(len(entries), written) == in_rows
    root = reference.tree_hash(entries)
    assert in_rows.root() == merkle.frontier_root(len(entries), written) == root


@given(st.integers(0, 2**40), st.binary(max_size=100))
def test_a_frontier_has_one_hash_per_one_bit(size, data):
    if len(data) == 32 * size.bit_count():
        assert Frontier.decode(size, data).encode() == data
        return
    for read in (Frontier.decode, merkle.frontier_root):
        with pytest.raises(Malformed):
            read(size, data)
    with pytest.raises(Malformed):
        merkle.frontier_append(size, data, bytes(32))


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_inclusion_proofs(entries, data):
    size = len(entries)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(node_reader(entries), index, size)
    assert proof == reference.path(index, entries)
    root, leaf = merkle.root(leaves(entries)), merkle.leaf_hash(entries[index])
    merkle.verify_inclusion(leaf, index, size, proof, root)
    assert merkle.root_from_inclusion(leaf, index, size, proof) == root
    wrong = [[*proof, bytes(32)], [*proof, b"short"]]
    if proof:
        wrong += [proof[1:], proof[:-1], [*proof[:-1], b"short"], [*proof[:-1], bytes(32)]]
    for broken in wrong:
        with pytest.raises(BadProof):
            merkle.verify_inclusion(leaf, index, size, broken, root)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_consistency_proofs(entries, data):
    size2 = len(entries)
    size1 = data.draw(st.integers(1, size2))
    proof = merkle.consistency_proof(node_reader(entries), size1, size2)
    assert proof == reference.proof(size1, entries)
    root1, root2 = reference.tree_hash(entries[:size1]), reference.tree_hash(entries)
    merkle.verify_consistency(size1, size2, root1, root2, proof)
    with pytest.raises(BadProof):
        merkle.verify_consistency(size1, size2, bytes(32), root2, proof)
    with pytest.raises(BadProof):
        merkle.verify_consistency(size1, size2, root1, bytes(32), proof)
    for broken in (proof[1:] if proof else [bytes(32)], [*proof, bytes(32)]):
        with pytest.raises(BadProof):
            merkle.verify_consistency(size1, size2, root1, root2, broken)


def test_every_pair_of_small_sizes():
    entries = [bytes([n]) for n in range(18)]
    read_node = node_reader(entries)
    for size2 in range(1, 19):
        root2 = reference.tree_hash(entries[:size2])
        for size1 in range(1, size2 + 1):
            proof = merkle.consistency_proof(read_node, size1, size2)
            root1 = reference.tree_hash(entries[:size1])
            merkle.verify_consistency(size1, size2, root1, root2, proof)
        for index in range(size2):
            proof = merkle.inclusion_proof(read_node, index, size2)
            leaf = merkle.leaf_hash(entries[index])
            merkle.verify_inclusion(leaf, index, size2, proof, root2)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 4), (0, 2**63)])
def test_no_proof_of_a_leaf_that_is_not_there(index, size):
    with pytest.raises(BadProof):
        merkle.inclusion_proof(lambda *_: bytes(32), index, size)
    with pytest.raises(BadProof):
        merkle.root_from_inclusion(bytes(32), index, size, [])


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (3, 2), (-1, 2), (1, 2**63)])
def test_no_consistency_between_such_sizes(size1, size2):
    with pytest.raises(BadProof):
        merkle.consistency_proof(lambda *_: bytes(32), size1, size2)
    with pytest.raises(BadProof):
        merkle.verify_consistency(size1, size2, bytes(32), bytes(32), [])


def test_a_proof_is_bounded_before_it_is_read():
    endless = [bytes(32)] * 100_000
    with pytest.raises(BadProof, match="too long"):
        merkle.verify_inclusion(bytes(32), 0, 2**62, endless, bytes(32))
    with pytest.raises(BadProof, match="too long"):
        merkle.verify_consistency(3, 2**62, bytes(32), bytes(32), endless)
