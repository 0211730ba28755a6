"""Receipts: one form, and nothing that the verifier does not check or hand back."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint as cp
from ledger import merkle, receipt
from ledger.checkpoint import Checkpoint, Policy
from ledger.errors import BadProof, BadSignature, Malformed
from ledger.note import COSIGNATURE_V1, ED25519, Verifier
from ledger.receipt import HEADER, Receipt
from ledger.signing import SigningKey

ORIGIN = "example.org/log"
ENTRY_BYTES = 47
LOG = SigningKey.from_seed(bytes(32))
COSIGNER = SigningKey.from_seed(b"\1" * 32)
NAME = cp.cosigner_name(ORIGIN, "alpha")
POLICY = Policy(
    ORIGIN,
    (Verifier(ORIGIN, ED25519, LOG.public),),
    (("alpha", Verifier(NAME, COSIGNATURE_V1, COSIGNER.public)),),
    1,
)
ENTRIES = [bytes([n]) * ENTRY_BYTES for n in range(11)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
POINT = Checkpoint(ORIGIN, len(ENTRIES), merkle.root(LEAVES))
NOTE = cp.format_checkpoint(
    POINT, cp.sign_log_line(LOG, ORIGIN, POINT), [cp.sign_cosignature(COSIGNER, NAME, 5, POINT)]
)


def read_node(level, index):
    return merkle.root(LEAVES[index << level : (index + 1) << level])


def made(index, opening=b"opening", note=NOTE):
    proof = merkle.inclusion_proof(read_node, index, len(ENTRIES))
    return receipt.format_receipt(ENTRIES[index] + opening, index, proof, note)


GOOD = made(3)


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_every_entry_can_be_proven(index):
    verified = receipt.verify_receipt(made(index), POLICY, ENTRY_BYTES)
    assert verified.checkpoint == POINT
    assert (verified.index, verified.entry, verified.opening) == (index, ENTRIES[index], b"opening")


def test_the_bytes_are_the_published_format():
    lines = GOOD.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(ENTRIES[3] + b"opening").decode()
    assert lines[2] == "index 3"
    assert [len(base64.b64decode(line)) for line in lines[3:7]] == [32] * 4
    assert lines[7] == ""
    assert "\n".join(lines[8:]).encode() == NOTE


@given(
    st.binary(max_size=200),
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(min_size=1, max_size=100),
)
def test_every_receipt_comes_back(extra, index, proof, note):
    data = receipt.format_receipt(extra, index, proof, note)
    assert receipt.parse_receipt(data) == Receipt(extra, index, tuple(proof), note)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (HEADER.encode(), b"c2sp.org/tlog-proof@v2"),
        (HEADER.encode() + b"\n", b""),
        (b"extra ", b"extra  "),
        (b"extra ", b"extra"),
        (b"extra ", b"extra \nextra "),
        (b"index 3\n", b""),
        (b"index 3", b"index 03"),
        (b"index 3", b"index +3"),
        (b"index 3", b"index 3 "),
        (b"index 3", b"index 3\r"),
        (b"index 3", b"index 9223372036854775808"),
        (b"index 3\n", b"index 3\nindex 3\n"),
        (b"index 3\n", b"index 3\n" + base64.b64encode(bytes(31)) + b"\n"),
        (b"index 3\n", b"index 3\n" + (base64.b64encode(bytes(32)) + b"\n") * 60),
        (b"index 3\n", b"index 3\n\xff\n"),
        (NOTE, b""),
        (b"\n\n" + NOTE, b"\n"),
    ],
)
def test_what_is_no_receipt(old, new):
    assert old in GOOD
    with pytest.raises(Malformed):
        receipt.parse_receipt(GOOD.replace(old, new))


def test_bounds():
    with pytest.raises(Malformed, match="at most"):
        receipt.parse_receipt(b"x" * (receipt.RECEIPT_BYTES_MAX + 1))
    long = receipt.format_receipt(bytes(receipt.EXTRA_BYTES_MAX + 1), 0, [], NOTE)
    with pytest.raises(Malformed, match="extra"):
        receipt.parse_receipt(long)


def test_an_extra_shorter_than_an_entry():
    short = receipt.format_receipt(bytes(46), 0, [], NOTE)
    with pytest.raises(Malformed, match="47"):
        receipt.verify_receipt(short, POLICY, ENTRY_BYTES)
    none = receipt.format_receipt(b"", 0, [], NOTE)
    assert receipt.parse_receipt(none).extra == b""
    with pytest.raises(Malformed):
        receipt.verify_receipt(none, POLICY, ENTRY_BYTES)


def test_another_entry_index_or_root_is_refused():
    proof = merkle.inclusion_proof(read_node, 3, len(ENTRIES))
    other = Checkpoint(ORIGIN, len(ENTRIES), bytes(32))
    other_note = cp.format_checkpoint(
        other, cp.sign_log_line(LOG, ORIGIN, other), [cp.sign_cosignature(COSIGNER, NAME, 5, other)]
    )
    for data in (
        receipt.format_receipt(ENTRIES[4], 3, proof, NOTE),
        receipt.format_receipt(ENTRIES[3], 4, proof, NOTE),
        receipt.format_receipt(ENTRIES[3], 11, proof, NOTE),
        receipt.format_receipt(ENTRIES[3], 3, proof[1:], NOTE),
        receipt.format_receipt(ENTRIES[3], 3, [*proof, bytes(32)], NOTE),
        receipt.format_receipt(ENTRIES[3], 3, proof, other_note),
    ):
        with pytest.raises(BadProof):
            receipt.verify_receipt(data, POLICY, ENTRY_BYTES)


def test_any_changed_byte_outside_the_opening_is_refused():
    data = made(3, opening=b"")
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises((BadProof, BadSignature, Malformed)):
            receipt.verify_receipt(bytes(changed), POLICY, ENTRY_BYTES)
