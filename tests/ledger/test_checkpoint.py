"""Checkpoints, cosignatures, policies, and the two rules of acceptance."""

import pytest

from ledger import checkpoint as cp
from ledger import note
from ledger.checkpoint import Checkpoint, Policy
from ledger.errors import BadProof, BadSignature, Malformed
from ledger.merkle import EMPTY_ROOT
from ledger.note import COSIGNATURE_V1, ED25519, SignatureLine, Verifier
from ledger.signing import SigningKey

ORIGIN = "example.org/log"
NAMES = ("alpha", "beta", "gamma", "delta")
LOG_KEYS = [SigningKey.from_seed(bytes([n]) * 32) for n in range(4)]
COSIGNERS = [SigningKey.from_seed(bytes([100 + n]) * 32) for n in range(4)]
POINT = Checkpoint(ORIGIN, 7, bytes(range(32)))


def cosigner(n):
    return Verifier(cp.cosigner_name(ORIGIN, NAMES[n]), COSIGNATURE_V1, COSIGNERS[n].public)


POLICY = Policy(
    ORIGIN,
    tuple(Verifier(ORIGIN, ED25519, key.public) for key in LOG_KEYS),
    tuple((name, cosigner(n)) for n, name in enumerate(NAMES)),
    3,
)


def log_line(n=0, point=POINT):
    return cp.sign_log_line(LOG_KEYS[n], point.origin, point)


def cosigned(n, point=POINT, time_s=1_700_000_000):
    return cp.sign_cosignature(COSIGNERS[n], cosigner(n).name, time_s, point)


def made(*numbers, log=0, point=POINT):
    return cp.format_checkpoint(point, log_line(log, point), [cosigned(n, point) for n in numbers])


def test_text_and_back():
    assert POINT.text() == b"example.org/log\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert Checkpoint.parse(POINT.text()) == POINT


def test_the_published_log_opens_at_each_size(vectors_dir):
    folder = vectors_dir / "tessera-testlog"
    words = (folder / "SOURCE.txt").read_text().split()
    [vkey] = [word.rstrip(")") for word in words if word.startswith("example.com/log/testdata+")]
    policy = Policy.parse(f"log {vkey} https://example.com/log\nquorum none\n")
    for size in range(16):
        data = (folder / f"testdata/log/checkpoint.{size}").read_bytes()
        point = cp.verify_checkpoint(data, policy)
        assert point == cp.verify_checkpoint_strict(data, policy)
        assert (point.origin, point.size) == ("example.com/log/testdata", size)
        assert (point.root == EMPTY_ROOT) == (size == 0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"example.org/log\n7\n",
        POINT.text()[:-1],
        POINT.text() + b"\n",
        POINT.text() + b"extension\n",
        POINT.text().replace(b"\n7\n", b"\n07\n"),
        POINT.text().replace(b"\n7\n", b"\n+7\n"),
        POINT.text().replace(b"\n7\n", b"\n-7\n"),
        POINT.text().replace(b"\n7\n", "\n\u0667\n".encode()),
        POINT.text().replace(b"\n7\n", b"\n9223372036854775808\n"),
        POINT.text().replace(b"Hh8=", b"Hh9="),
        POINT.text().replace(b"AAEC", b""),
        b"https://" + POINT.text(),
        b" " + POINT.text(),
        b"\n7\n" + POINT.text(),
        b"\xff" + POINT.text(),
    ],
)
def test_what_is_no_checkpoint(text):
    with pytest.raises(Malformed):
        Checkpoint.parse(text)


def test_cosignature_bytes():
    message = cp.cosignature_message(1_700_000_000, POINT.text())
    assert message == b"cosignature/v1\ntime 1700000000\n" + POINT.text()
    line = cosigned(1)
    assert line.signature[:8] == (1_700_000_000).to_bytes(8, "big")
    assert cp.verify_cosignature(cosigner(1), POINT, line) == 1_700_000_000
    parsed = note.parse_signature_line(line.format()[:-1])
    assert parsed == line


def test_a_cosignature_of_another_key_time_or_checkpoint():
    line = cosigned(1)
    other = Checkpoint(ORIGIN, 8, POINT.root)
    later = SignatureLine(line.name, line.key_id, (1).to_bytes(8, "big") + line.signature[8:])
    for verifier, point, given in (
        (cosigner(2), POINT, line),
        (cosigner(1), other, line),
        (cosigner(1), POINT, later),
        (POLICY.log_keys[0], POINT, log_line()),
    ):
        with pytest.raises(BadProof):
            cp.verify_cosignature(verifier, point, given)


def test_policy_file_and_back():
    text = POLICY.format()
    assert text.count("log ") == 4
    assert text.endswith("group validators 3 alpha beta gamma delta\nquorum validators\n")
    assert Policy.parse(text) == POLICY
    spaced = "# ours\n\n" + text.replace("\nquorum", "  \n\t\nquorum")
    assert Policy.parse(spaced) == POLICY


def test_other_policies_that_may_be_read():
    head = "".join(POLICY.format().splitlines(keepends=True)[:8])
    assert Policy.parse(head + "quorum none\n").quorum == 0
    assert Policy.parse(head + "quorum beta\n").witnesses == (("beta", cosigner(1)),)
    everyone = Policy.parse(head + "group g all beta alpha\nquorum g\n")
    assert (everyone.quorum, [n for n, _ in everyone.witnesses]) == (2, ["beta", "alpha"])
    assert Policy.parse(head + "group g any beta alpha\nquorum g\n").quorum == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quorum validators\n", ""),
        ("quorum validators\n", "quorum validators\nquorum validators\n"),
        ("quorum validators\n", "quorum others\n"),
        ("group validators 3", "group validators 0"),
        ("group validators 3", "group validators 5"),
        ("group validators 3", "group validators 03"),
        ("group validators 3", "group validators three"),
        ("alpha beta gamma delta", "alpha beta gamma alpha"),
        ("alpha beta gamma delta", "alpha beta gamma omega"),
        ("witness beta", "witness alpha"),
        ("witness beta", "witness none"),
        ("witness beta", "witness"),
        ("log ", "lag "),
        ("log ", "witness x"),
        ("group ", "grope "),
    ],
)
def test_what_is_no_policy(old, new):
    text = POLICY.format()
    assert old in text
    with pytest.raises(Malformed):
        Policy.parse(text.replace(old, new))


def test_policies_that_would_count_somebody_twice():
    twice = (*POLICY.witnesses[:3], ("again", Verifier("x/y", COSIGNATURE_V1, COSIGNERS[0].public)))
    with pytest.raises(Malformed, match="public key"):
        Policy(ORIGIN, POLICY.log_keys, twice, 3)
    both = (("alpha", Verifier("x/y", COSIGNATURE_V1, LOG_KEYS[0].public)),)
    with pytest.raises(Malformed, match="public key"):
        Policy(ORIGIN, POLICY.log_keys, both, 1)
    with pytest.raises(Malformed, match="stands twice"):
        Policy(ORIGIN, POLICY.log_keys, (("a", cosigner(0)), ("a", cosigner(1))), 1)
    with pytest.raises(Malformed, match="algorithm 4"):
        Policy(ORIGIN, POLICY.log_keys[:1], (("a", POLICY.log_keys[1]),), 1)
    with pytest.raises(Malformed, match="origin's name"):
        Policy("example.org/other", POLICY.log_keys, POLICY.witnesses, 3)


@pytest.mark.parametrize("numbers", [(0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 3)])
def test_a_quorum_in_order_passes_both_rules(numbers):
    data = made(*numbers, log=numbers[0])
    assert cp.verify_checkpoint(data, POLICY) == POINT
    assert cp.verify_checkpoint_strict(data, POLICY) == POINT


def stranger():
    key = SigningKey.from_seed(b"\xee" * 32)
    return cp.sign_cosignature(key, "example.net/witness", 5, POINT)


@pytest.mark.parametrize(
    "lines",
    [
        (log_line(), cosigned(0), cosigned(1), cosigned(2), cosigned(3)),
        (log_line(), cosigned(1), cosigned(0), cosigned(2)),
        (log_line(), log_line(1), cosigned(0), cosigned(1), cosigned(2)),
        (cosigned(0), log_line(), cosigned(1), cosigned(2)),
        (cosigned(0), cosigned(1), cosigned(2), log_line()),
        (log_line(), cosigned(0), cosigned(1), cosigned(2), stranger()),
        (log_line(), stranger(), cosigned(0), cosigned(1), cosigned(2)),
        (log_line(), cosigned(0), cosigned(0), cosigned(1), cosigned(2)),
    ],
)
def test_the_tolerant_rule_reads_what_the_strict_one_refuses(lines):
    data = note.format_note(POINT.text(), lines)
    assert cp.verify_checkpoint(data, POLICY) == POINT
    with pytest.raises(BadProof):
        cp.verify_checkpoint_strict(data, POLICY)


@pytest.mark.parametrize(
    "lines",
    [
        (log_line(), cosigned(0), cosigned(1)),
        (log_line(), cosigned(0), cosigned(0), cosigned(1)),
        (log_line(), cosigned(0), cosigned(1), cosigned(1, time_s=9)),
        (log_line(), cosigned(0), cosigned(1), stranger()),
        (cosigned(0), cosigned(1), cosigned(2), cosigned(3)),
        (log_line(), log_line(1), log_line(2), log_line(3)),
    ],
)
def test_too_few_lines_are_refused_by_both_rules(lines):
    data = note.format_note(POINT.text(), lines)
    for rule in (cp.verify_checkpoint, cp.verify_checkpoint_strict):
        with pytest.raises(BadProof):
            rule(data, POLICY)


def test_a_false_line_of_a_known_key_refuses_the_note():
    other = Checkpoint(ORIGIN, 8, POINT.root)
    lines = (log_line(), cosigned(0), cosigned(1), cosigned(2, other))
    data = note.format_note(POINT.text(), lines)
    for rule in (cp.verify_checkpoint, cp.verify_checkpoint_strict):
        with pytest.raises(BadSignature):
            rule(data, POLICY)


def test_another_origin_is_refused():
    other = Checkpoint("example.org/other", 7, POINT.root)
    lines = [note.sign(LOG_KEYS[0], ORIGIN, other.text()), *(cosigned(n, other) for n in range(3))]
    with pytest.raises(BadProof, match=r"not of example\.org/log"):
        cp.verify_checkpoint(note.format_note(other.text(), lines), POLICY)


def test_any_changed_byte_breaks_the_strict_form():
    data = made(0, 1, 2)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises((BadProof, BadSignature, Malformed)):
            cp.verify_checkpoint_strict(bytes(changed), POLICY)
