"""May a checkpoint be cosigned: the form of a request, each refusal, and growth step by step."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.checkpoint import Checkpoint, format_checkpoint, sign_log_line
from ledger.errors import BadProof, InvalidInput, Malformed
from ledger.note import COSIGNATURE_V1, ED25519, Verifier, format_note, parse_note, sign
from ledger.tiles import TileReader, append_to_tiles
from ledger.witnessing import (
    NOTHING,
    NotSigned,
    Seen,
    Stale,
    UnknownLog,
    check_signed,
    cosign,
    format_request,
    judge,
    parse_request,
)
from tests.ledger.world import key_of

ORIGIN = "other.example/log"
KEY = key_of("other log")
LOGS = {ORIGIN: (Verifier(ORIGIN, ED25519, KEY.public),)}


class OtherLog:
    """A log of numbers that can prove how it grew."""

    def __init__(self, count: int = 70, salt: bytes = b"") -> None:
        self.leaves = [merkle.leaf_hash(salt + b"%d" % at) for at in range(count)]
        rows = append_to_tiles(lambda *_: b"", 0, self.leaves)
        self.read_node = TileReader(lambda *at: rows[at]).read_node

    def root(self, size: int) -> bytes:
        return merkle.root(self.leaves[:size])

    def note(self, size: int, key=KEY, root: bytes = b"") -> bytes:
        checkpoint = Checkpoint(ORIGIN, size, root or self.root(size))
        return format_checkpoint(checkpoint, sign_log_line(key, ORIGIN, checkpoint), ())

    def request(self, old: int, size: int, **changes) -> bytes:
        proof = merkle.consistency_proof(self.read_node, old, size) if 0 < old < size else []
        return format_request(old, changes.pop("proof", proof), self.note(size, **changes))


def granted(data: bytes, seen: Seen) -> Seen:
    request = parse_request(data)
    check_signed(request, LOGS)
    return judge(request, seen)


@given(st.lists(st.integers(0, 70), min_size=1, max_size=8).map(sorted))
def test_a_log_that_grows_is_followed(sizes):
    log, seen = OtherLog(), NOTHING
    for size in sizes:
        seen = granted(log.request(seen.size, size), seen)
        assert seen == Seen(size, log.root(size))


def test_each_refusal():
    log, fork = OtherLog(), OtherLog(salt=b"x")
    seen = granted(log.request(0, 20), NOTHING)
    with pytest.raises(Malformed, match="larger"):
        granted(log.request(30, 20), seen)
    for old in (0, 10, 19):
        with pytest.raises(Stale) as caught:
            granted(log.request(old, 20 + old), seen)
        assert caught.value.size == 20
    with pytest.raises(Stale, match="another root") as caught:
        granted(fork.request(20, 20), seen)
    assert caught.value.size == 20
    with pytest.raises(BadProof):
        granted(fork.request(20, 40), seen)
    proof = merkle.consistency_proof(log.read_node, 20, 40)
    for wrong in ([], proof[:-1], [*proof, bytes(32)], proof[::-1]):
        with pytest.raises(BadProof):
            granted(log.request(20, 40, proof=wrong), seen)
    with pytest.raises(BadProof, match="nothing to prove"):
        granted(log.request(20, 20, proof=proof), seen)
    with pytest.raises(BadProof, match="nothing to prove"):
        granted(log.request(0, 20, proof=proof), NOTHING)
    with pytest.raises(BadProof, match="empty tree"):
        granted(log.request(0, 0, root=bytes(32)), NOTHING)
    assert granted(log.request(20, 20), seen) == seen


def test_who_signed():
    log = OtherLog()
    with pytest.raises(NotSigned, match="no known key"):
        granted(log.request(0, 5, key=key_of("stranger")), NOTHING)
    with pytest.raises(UnknownLog):
        check_signed(parse_request(log.request(0, 5)), {"another.example": LOGS[ORIGIN]})
    text = Checkpoint(ORIGIN, 5, log.root(5)).text()
    line = sign(KEY, ORIGIN, text)
    bad = line.__class__(line.name, line.key_id, bytes(64))
    with pytest.raises(NotSigned, match="does not hold"):
        granted(format_request(0, [], format_note(text, [bad])), NOTHING)
    both = [sign(key_of("stranger"), ORIGIN, text), line]
    assert granted(format_request(0, [], format_note(text, both)), NOTHING).size == 5
    # Of several keys of one log any suffices.
    keys = (Verifier(ORIGIN, ED25519, key_of("b").public), *LOGS[ORIGIN])
    check_signed(parse_request(log.request(0, 5)), {ORIGIN: keys})


def test_extension_lines_are_covered():
    log = OtherLog()
    text = Checkpoint(ORIGIN, 5, log.root(5)).text() + b"more of it\n"
    note = format_note(text, [sign(KEY, ORIGIN, text)])
    request = parse_request(format_request(0, [], note))
    check_signed(request, LOGS)
    line = cosign(key_of("witness"), "w.example", 1_700_000_000, request.text)
    verifier = Verifier("w.example", COSIGNATURE_V1, key_of("witness").public)
    assert verifier.signs(line)
    assert verifier.holds(text, line)
    assert not verifier.holds(text.replace(b"more", b"less"), line)
    assert parse_note(note + line.format()).lines[-1] == line


def test_other_forms_are_refused():
    log = OtherLog()
    good = log.request(20, 40)
    head, _, note = good.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    proofs = b"\n".join(lines)
    hash_line = base64.b64encode(bytes(32))
    for wrong in (
        b"",
        b"\n\n" + note,
        note,
        head + b"\n",
        head + b"\n\n",
        head.replace(b"old 20", b"old 020") + b"\n\n" + note,
        head.replace(b"old 20", b"old +20") + b"\n\n" + note,
        head.replace(b"old 20", b"Old 20") + b"\n\n" + note,
        head.replace(b"old 20", b"old 20 ") + b"\n\n" + note,
        head.replace(b"old 20", b"old 9223372036854775808") + b"\n\n" + note,
        first + b"\r\n" + proofs + b"\n\n" + note,
        first + b"\n" + proofs[:-1] + b"\n\n" + note,
        first + b"\n" + base64.b64encode(bytes(31)) + b"\n\n" + note,
        first + b"\n" + base64.b64encode(bytes(33)) + b"\n\n" + note,
        first + b"\n" + hash_line.replace(b"A=", b"B=") + b"\n\n" + note,
        first + (b"\n" + hash_line) * 64 + b"\n\n" + note,
        head + b"\n\n\n" + note,
        head + b"\n\n" + note[:-1],
        head + b"\n\n" + note.replace(b"40\n", b"040\n", 1),
        head + b"\n\n" + note + b"x" * 70_000,
        "old ２０\n\n".encode() + note,
    ):
        with pytest.raises(Malformed):
            parse_request(wrong)
    parse_request(first + (b"\n" + hash_line) * 63 + b"\n\n" + note)


@given(st.data())
def test_no_changed_byte_is_granted_more(data):
    """Whatever is changed, nothing but the very checkpoint that was signed can be cosigned."""
    good = REQUEST
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    try:
        after = granted(changed, SEEN)
    except InvalidInput:
        return
    assert after == Seen(40, LOG.root(40))
    assert parse_request(changed).text == parse_request(good).text


LOG = OtherLog()
SEEN = Seen(20, LOG.root(20))
REQUEST = LOG.request(20, 40)
