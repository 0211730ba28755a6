"""Signed notes (C2SP signed-note): a text and the lines of those who signed it.

    <text, ends with a newline>
    <empty line>
    — <key name> <base64(key id[4] ‖ signature)>
    … at most 100 such lines, each ended by a newline

The dash is U+2014, then a space. The note is UTF-8 without control characters below 0x20 other than
newline, and is split at its last empty line. A signature covers the text with its final newline,
not the empty line. Base64 is standard, padded and strict: what does not encode back to itself is
refused. A key name is not empty and has neither Unicode space nor `+`.

    key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key)
    vkey   = <name>+<key id in 8 hex digits>+<base64(algorithm ‖ public key)>

Algorithms: 0x01 Ed25519 over the text; 0x04 cosignature/v1, whose signature field is
u64be(Unix seconds) ‖ Ed25519 over `cosignature/v1\\ntime <seconds>\\n` ‖ text.

Opening a note: lines of unknown (name, key id) are ignored; a line of a *known* key that does not
hold refuses the whole note; at least one known key must have signed.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import signing
from ledger.errors import BadSignature, Malformed
from ledger.hashing import sha256
from ledger.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey

ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04

NOTE_BYTES_MAX: Final = 1_000_000
SIGNATURE_LINES_MAX: Final = 100
KEY_NAME_BYTES_MAX: Final = 255
KEY_ID_BYTES: Final = 4
TIME_BYTES: Final = 8
TIME_S_MAX: Final = 2**63 - 1

_DASH: Final = "— ".encode()
_CONTROLS: Final = frozenset(range(0x20)) - {0x0A}


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note: the signer's key name, the 4-byte key id, and what follows it."""

    name: str
    key_id: bytes
    signature: bytes

    def format(self) -> bytes:
        """The line with its newline."""
        body = base64.b64encode(self.key_id + self.signature)
        return _DASH + self.name.encode() + b" " + body + b"\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note: its text with the final newline, and its signature lines in order."""

    text: bytes
    lines: tuple[SignatureLine, ...]

    def format(self) -> bytes:
        """The note's bytes."""
        return format_note(self.text, self.lines)


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note with at least one valid signature of a known key.

    `verified` has the first line of each known key that signed, in the note's order; `unknown`
    the lines of all other keys.
    """

    text: bytes
    verified: tuple[SignatureLine, ...]
    unknown: tuple[SignatureLine, ...]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that may sign notes: its name, its algorithm and its 32-byte Ed25519 public key."""

    name: str
    algorithm: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The 4-byte key id."""
        return key_id(self.name, self.algorithm, self.public_key)

    def signs(self, line: SignatureLine) -> bool:
        """Whether the line claims to be of this key."""
        return line.name == self.name and line.key_id == self.key_id

    def holds(self, text: bytes, line: SignatureLine) -> bool:
        """Whether the line's signature by this key over the text is valid."""
        if self.algorithm == ED25519:
            return signing.verify(self.public_key, text, line.signature)
        if len(line.signature) != TIME_BYTES + SIGNATURE_BYTES:
            return False
        time_s = cosignature_time_s(line)
        if time_s > TIME_S_MAX:
            return False
        message = cosignature_message(time_s, text)
        return signing.verify(self.public_key, message, line.signature[TIME_BYTES:])


def cosignature_message(time_s: int, text: bytes) -> bytes:
    """What a cosignature/v1 at `time_s` (Unix seconds) signs for a checkpoint text."""
    return b"cosignature/v1\ntime %d\n" % time_s + text


def cosignature_time_s(line: SignatureLine) -> int:
    """The Unix seconds of a cosignature/v1 line.

    Raises:
        Malformed: the line has not the length of one.
    """
    if len(line.signature) != TIME_BYTES + SIGNATURE_BYTES:
        raise Malformed("a cosignature has 8 bytes of time and 64 of signature")
    return int.from_bytes(line.signature[:TIME_BYTES], "big")


# --- names, keys, base64 ---


def decode_base64(text: bytes | str, *, what: str) -> bytes:
    """Standard padded base64 in its one canonical form.

    Raises:
        Malformed: anything else.
    """
    try:
        given = text.encode("ascii") if isinstance(text, str) else text
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{what} is not base64") from error
    if base64.b64encode(data) != given:
        raise Malformed(f"{what} is not canonical base64")
    return data


def check_key_name(name: str) -> None:
    """Refuse what cannot be a key's name.

    Raises:
        Malformed: empty, too long, or with a space, a control character or `+`.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > KEY_NAME_BYTES_MAX:
        raise Malformed(f"a key name has 1 to {KEY_NAME_BYTES_MAX} bytes")
    if any(c == "+" or c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise Malformed(f"{name!r} is not a key name: no space, control character or '+'")


def key_id(name: str, algorithm: int, public_key: bytes) -> bytes:
    """The first 4 bytes of SHA-256(name ‖ newline ‖ algorithm ‖ public key)."""
    return sha256(name.encode(), b"\n", bytes([algorithm]), public_key)[:KEY_ID_BYTES]


def format_vkey(name: str, algorithm: int, public_key: bytes) -> str:
    """`<name>+<key id>+<base64(algorithm ‖ public key)>`."""
    body = base64.b64encode(bytes([algorithm]) + public_key).decode()
    return f"{name}+{key_id(name, algorithm, public_key).hex()}+{body}"


def parse_vkey(vkey: str) -> Verifier:
    """The key that a vkey names. It is split at its first two `+` only.

    Raises:
        Malformed: not a vkey, an unknown algorithm, or a key id that is not the key's.
        BadSignature: the public key is not a valid point of the main subgroup.
    """
    if len(vkey) > 2 * KEY_NAME_BYTES_MAX or vkey.count("+") < 2:
        raise Malformed("a vkey is <name>+<key id>+<key>")
    name, claimed, body = vkey.split("+", 2)
    check_key_name(name)
    data = decode_base64(body, what="the key of a vkey")
    if len(data) != 1 + PUBLIC_KEY_BYTES or data[0] not in {ED25519, COSIGNATURE_V1}:
        raise Malformed("the key of a vkey is algorithm 1 or 4 and 32 bytes")
    verifier = Verifier(name, data[0], data[1:])
    if claimed != verifier.key_id.hex():
        raise Malformed(f"the key id of the vkey of {name} is not its key's")
    if not signing.is_valid_public_key(verifier.public_key):
        raise BadSignature(f"the key of {name} is not a valid point")
    return verifier


# --- signing, formatting, parsing, opening ---


def sign(key: SigningKey, name: str, text: bytes) -> SignatureLine:
    """A plain Ed25519 (0x01) signature line over the text, which ends with a newline."""
    _check_text(text)
    check_key_name(name)
    return SignatureLine(name, key_id(name, ED25519, key.public), key.sign(text))


def format_note(text: bytes, lines: Iterable[SignatureLine]) -> bytes:
    """The note's bytes: the text, an empty line, the signature lines."""
    return text + b"\n" + b"".join(line.format() for line in lines)


def _check_text(text: bytes) -> None:
    if len(text) > NOTE_BYTES_MAX:
        raise Malformed(f"a note has at most {NOTE_BYTES_MAX} bytes")
    if not text.endswith(b"\n"):
        raise Malformed("a note's text ends with a newline")
    if not _CONTROLS.isdisjoint(text):
        raise Malformed("a note has no control characters")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a note is UTF-8") from error


def parse_signature_line(line: bytes) -> SignatureLine:
    """One signature line, without its newline.

    Raises:
        Malformed: not of the form `— <name> <base64>`, or no byte of signature.
    """
    if not line.startswith(_DASH):
        raise Malformed("a signature line begins with an em dash and a space")
    try:
        name, _, body = line[len(_DASH) :].decode().partition(" ")
    except UnicodeDecodeError as error:
        raise Malformed("a signature line is UTF-8") from error
    check_key_name(name)
    data = decode_base64(body, what=f"the signature of {name}")
    if len(data) <= KEY_ID_BYTES:
        raise Malformed(f"the signature of {name} is empty")
    return SignatureLine(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def parse_note(data: bytes) -> Note:
    """The text and the signature lines of a note; nothing is verified yet.

    Raises:
        Malformed: not a note, too long, or more than 100 signature lines.
    """
    _check_text(data)
    at = data.rfind(b"\n\n")
    if at < 0 or at + 2 == len(data):
        raise Malformed("a note is a text, an empty line and signature lines")
    raw_lines = data[at + 2 : -1].split(b"\n")
    if len(raw_lines) > SIGNATURE_LINES_MAX:
        raise Malformed(f"a note has at most {SIGNATURE_LINES_MAX} signature lines")
    return Note(data[: at + 1], tuple(parse_signature_line(line) for line in raw_lines))


def open_note(data: bytes, verifiers: Sequence[Verifier]) -> OpenedNote:
    """Parse a note and verify each line of a known key.

    Raises:
        Malformed: not a note.
        BadSignature: a known key's line does not hold, or no known key signed.
    """
    note = parse_note(data)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(known) != len(verifiers):
        raise Malformed("two of the known keys have one name and key id")
    verified, unknown = dict[tuple[str, bytes], SignatureLine](), list[SignatureLine]()
    for line in note.lines:
        mark = (line.name, line.key_id)
        if mark not in known:
            unknown.append(line)
            continue
        if not known[mark].holds(note.text, line):
            raise BadSignature(f"the signature of {line.name} does not hold")
        verified.setdefault(mark, line)
    if not verified:
        raise BadSignature("no known key signed the note")
    return OpenedNote(note.text, tuple(verified.values()), tuple(unknown))
