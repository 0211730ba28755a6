"""Signed notes: the published vector, the strict form, and what a reader refuses."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import note
from ledger.errors import BadSignature, Malformed
from ledger.note import COSIGNATURE_V1, ED25519, SignatureLine, Verifier
from ledger.signing import SigningKey

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
TEXT = b"This is an example message.\n"
SIGNATURE = (
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
)
NOTE = TEXT + b"\n" + f"— example.com/foo {SIGNATURE}\n".encode()

KEYS = [SigningKey.from_seed(bytes([n]) * 32) for n in range(120)]


def verifier(n, name="key"):
    return Verifier(name, ED25519, KEYS[n].public)


def signed(text, *numbers, name="key"):
    return note.format_note(text, [note.sign(KEYS[n], name, text) for n in numbers])


def test_the_published_vector_opens():
    key = note.parse_vkey(VKEY)
    assert key.key_id.hex() == "530d903a"
    assert note.format_vkey(key.name, key.algorithm, key.public_key) == VKEY
    opened = note.open_note(NOTE, [key])
    assert opened.text == TEXT
    assert [line.name for line in opened.verified] == ["example.com/foo"]
    assert opened.unknown == ()
    assert note.parse_note(NOTE).format() == NOTE


def test_what_is_signed_opens_and_nothing_else_does():
    data = signed(TEXT, 1, 2)
    assert len(note.open_note(data, [verifier(1), verifier(2)]).verified) == 2
    one = note.open_note(data, [verifier(2)])
    assert (len(one.verified), len(one.unknown)) == (1, 1)
    with pytest.raises(BadSignature, match="no known key"):
        note.open_note(data, [verifier(3)])
    with pytest.raises(BadSignature, match="does not hold"):
        note.open_note(data.replace(b"example", b"exemple"), [verifier(1)])


def test_a_known_key_that_fails_refuses_the_whole_note():
    good, bad = note.sign(KEYS[1], "key", TEXT), note.sign(KEYS[2], "key", b"other\n")
    data = note.format_note(TEXT, [good, bad])
    assert note.open_note(data, [verifier(1)]).unknown == (bad,)
    with pytest.raises(BadSignature):
        note.open_note(data, [verifier(1), verifier(2)])


def test_a_repeated_line_counts_once():
    data = signed(TEXT, 1, 1, 1)
    assert len(note.open_note(data, [verifier(1)]).verified) == 1


def test_the_same_key_cannot_be_known_twice():
    with pytest.raises(Malformed, match="one name and key id"):
        note.open_note(signed(TEXT, 1), [verifier(1), verifier(1)])


def test_a_note_is_split_at_its_last_empty_line():
    text = b"one\n\ntwo\n\nthree\n"
    assert note.open_note(signed(text, 1), [verifier(1)]).text == text


def test_one_hundred_lines_are_read_and_no_more():
    known = [verifier(n) for n in range(100)]
    assert len(note.open_note(signed(TEXT, *range(100)), known).verified) == 100
    with pytest.raises(Malformed, match="100"):
        note.parse_note(signed(TEXT, *range(101)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        TEXT,
        TEXT + b"\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace("— ".encode(), "—".encode()),
        NOTE.replace(b"example.com/foo", b"example.com/f+o"),
        NOTE.replace(b"example.com/foo", "example.com/f\u00a0o".encode()),
        NOTE.replace(b"example.com/foo", "example.com/f\u2003o".encode()),
        NOTE.replace(b"example.com/foo ", b" "),
        NOTE.replace(b"aQM=", b"aQM"),
        NOTE.replace(b"aQM=", b"aQN="),
        NOTE.replace(b"aQM=", b"aQM= "),
        NOTE.replace(b"aQM=", b"aQ\rM="),
        NOTE.replace(b"example message", b"example\tmessage"),
        NOTE.replace(b"example message", b"example\x00message"),
        NOTE.replace(b"example message", b"example\xffmessage"),
        TEXT + "\n— example.com/foo Uw2QOg==\n".encode(),
        NOTE + "— example.com/foo \n".encode(),
        b"a" * note.NOTE_BYTES_MAX + NOTE,
    ],
)
def test_what_is_no_note(data):
    with pytest.raises(Malformed):
        note.parse_note(data)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530D903A"),
        VKEY[:-1],
        VKEY + "=",
        VKEY.replace("+AekyeRrm", "+BekyeRrm"),
        VKEY.replace("example.com/foo", "example.com/fo o"),
        "+" + VKEY,
        "n" * 600 + VKEY,
    ],
)
def test_what_is_no_vkey(vkey):
    with pytest.raises(Malformed):
        note.parse_vkey(vkey)


def test_a_key_of_small_order_is_refused():
    with pytest.raises(BadSignature):
        note.parse_vkey(note.format_vkey("key", ED25519, bytes([1]) + bytes(31)))


def test_a_vkey_with_plus_in_its_base64():
    found = 0
    for key in KEYS:
        vkey = note.format_vkey("key", COSIGNATURE_V1, key.public)
        found += vkey.count("+") > 2
        assert note.parse_vkey(vkey) == Verifier("key", COSIGNATURE_V1, key.public)
    assert found


def test_a_cosignature_of_a_wrong_length_does_not_hold():
    key = Verifier("key", COSIGNATURE_V1, KEYS[0].public)
    for length in (64, 71, 73):
        line = SignatureLine("key", key.key_id, bytes(length))
        assert not key.holds(TEXT, line)
        with pytest.raises(Malformed):
            note.cosignature_time_s(line)


names = st.text(
    st.characters(exclude_characters="+", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]),
    min_size=1,
    max_size=20,
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(
    st.lists(texts, min_size=1, max_size=4),
    st.lists(st.tuples(names, st.binary(min_size=5, max_size=80)), min_size=1, max_size=5),
)
def test_a_formatted_note_parses_to_itself(lines, signatures):
    text = ("\n".join(lines) + "\n").encode()
    made = note.Note(text, tuple(SignatureLine(n, s[:4], s[4:]) for n, s in signatures))
    assert note.parse_note(made.format()) == made


@given(st.binary(max_size=60))
def test_base64_has_one_form(data):
    text = base64.b64encode(data)
    assert (
        note.decode_base64(text, what="it") == note.decode_base64(text.decode(), what="it") == data
    )
    with pytest.raises(Malformed):
        note.decode_base64(text + b"=", what="it")
    with pytest.raises(Malformed):
        note.decode_base64(text + b"\n", what="it")
    with pytest.raises(Malformed):
        note.decode_base64(text.decode() + "é", what="it")
