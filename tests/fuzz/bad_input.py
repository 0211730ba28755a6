"""Bad input, case by case: what is refused, and why, by the ledger and by the browser's verifier.

A case's `given` is what `tests/node/web/js/run.mjs` takes for the kind's task, bytes in hex;
`PYTHON` reads the same. `says` is a pattern that the reasons of both must match; None where both
must accept. Kinds of `ONLY_HERE` are formats that the browser's verifier does not read: it is
handed one answer with its proof, and no tiles, receipts, consistency proofs or requests.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec

from ledger import mapproof, merkle, note, receipt, tiles, witnessing
from ledger.batch import ENTRY_BYTES
from ledger.block import decode_seal
from ledger.bundle import decode_bundle, verify_bundle
from ledger.checkpoint import cosigner_name, verify_checkpoint_strict
from ledger.encoding import encode
from ledger.errors import BadProof
from ledger.note import COSIGNATURE_V1, ED25519, SignatureLine, format_vkey, parse_note
from ledger.policy import Policy
from ledger.records import decode_record
from tests.fuzz import ground
from tests.fuzz.outside import SIZE, TREE
from tests.ledger.world import key_of


@dataclass(frozen=True)
class Bad:
    """One case."""

    kind: str
    name: str
    given: Any
    says: str | None

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def unhex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(each) for each in values]


# --- inclusion proofs ---


def inclusions() -> Iterator[Bad]:
    proof = [each.hex() for each in merkle.inclusion_proof(TREE.read_node, 29, SIZE)]
    good = {
        "leaf": TREE.leaves[29].hex(),
        "index": 29,
        "size": SIZE,
        "path": proof,
        "root": TREE.root(SIZE).hex(),
    }
    yield Bad("inclusions", "good", good, None)
    paths = {
        "truncated": (proof[:-1], "too short"),
        "truncated in front": (proof[1:], "too short"),
        "empty": ([], "too short"),
        "padded": ([*proof, "00" * 32], "too long"),
        "padded in front": (["00" * 32, *proof], "too long"),
        "reordered": ([proof[1], proof[0], *proof[2:]], "another root"),
        "reversed": (proof[::-1], "another root"),
        "doubled": ([proof[0], *proof], "too long"),
        "oversized": (proof * 10, "too long"),
        "a hash of 31 bytes": ([*proof[:2], proof[2][2:], *proof[3:]], "32 bytes"),
        "a hash of 33 bytes": ([*proof[:2], proof[2] + "00", *proof[3:]], "32 bytes"),
        "an empty hash": ([*proof[:2], "", *proof[3:]], "32 bytes"),
    }
    for name, (path, says) in paths.items():
        yield Bad("inclusions", name, {**good, "path": path}, says)
    others = {
        "a leaf of 31 bytes": ({"leaf": good["leaf"][2:]}, "32 bytes"),
        "a root of 33 bytes": ({"root": good["root"] + "00"}, "32 bytes"),
        "another leaf": ({"leaf": TREE.leaves[28].hex()}, "another root"),
        "another root": ({"root": TREE.root(69).hex()}, "another root"),
        "the place beside it": ({"index": 28}, "another root"),
        "a place beyond the size": ({"index": SIZE}, "no leaf"),
        "a place before the first": ({"index": -1}, "no leaf"),
        "no size": ({"index": 0, "size": 0, "path": []}, "no leaf"),
        "a negative size": ({"index": 0, "size": -1, "path": []}, "no leaf"),
        "a size beyond 2^63": ({"size": str(2**63)}, "no leaf"),
    }
    for name, (change, says) in others.items():
        yield Bad("inclusions", name, {**good, **change}, says)


def inclusion(given: Any) -> None:
    leaf, root = unhex([given["leaf"], given["root"]])
    size = int(given["size"])
    merkle.verify_inclusion(leaf, given["index"], size, unhex(given["path"]), root)


def consistencies() -> Iterator[Bad]:
    proof = [each.hex() for each in merkle.consistency_proof(TREE.read_node, 33, SIZE)]
    good = {"sizes": [33, SIZE], "roots": [TREE.root(at).hex() for at in (33, SIZE)], "path": proof}
    yield Bad("consistencies", "good", good, None)
    changes = {
        "truncated": ({"path": proof[:-1]}, "too short"),
        "padded": ({"path": [*proof, "00" * 32]}, "too long"),
        "reordered": ({"path": [proof[1], proof[0], *proof[2:]]}, "other roots"),
        "oversized": ({"path": proof * 20}, "too long"),
        "a hash of 31 bytes": ({"path": [proof[0][2:], *proof[1:]]}, "32 bytes"),
        "empty": ({"path": []}, "too short"),
        "sizes swapped": ({"sizes": [SIZE, 33]}, "no consistency proof"),
        "roots swapped": ({"roots": good["roots"][::-1]}, "other roots"),
        "from nothing": ({"sizes": [0, SIZE]}, "no consistency proof"),
        "one size, a proof": ({"sizes": [SIZE, SIZE]}, "one size"),
    }
    for name, (change, says) in changes.items():
        yield Bad("consistencies", name, {**good, **change}, says)


def consistency(given: Any) -> None:
    merkle.verify_consistency(*given["sizes"], *unhex(given["roots"]), unhex(given["path"]))


# --- map proofs ---


def map_proofs() -> Iterator[Bad]:
    from tests.fuzz.outside import _index

    index, items = _index()
    key = sorted(items)[7]
    proof, root = index.prove(key), index.root()
    assert len(proof) >= 99
    good = {"root": root.hex(), "key": key.hex(), "value": items[key].hex(), "path": proof.hex()}
    yield Bad("presences", "good", good, None)
    swapped = proof[33:66] + proof[:33] + proof[66:]
    for name, path, says in (
        ("truncated by an item", proof[:-33], "another root"),
        ("truncated by a byte", proof[:-1], "33 bytes"),
        ("padded by a byte", proof + b"\0", "33 bytes"),
        ("padded by an item", proof + proof[-33:], "fall"),
        ("reordered", swapped, "fall"),
        ("doubled", proof + proof, "fall"),
        ("oversized", proof[:33] * 257, "256 items"),
        ("empty", b"", "another root"),
    ):
        yield Bad("presences", name, {**good, "path": path.hex()}, says)
    for part in ("root", "key", "value"):
        for name, value in (("31", good[part][2:]), ("33", good[part] + "00")):
            says = f"^{part}.* {name} bytes|32 bytes"
            yield Bad("presences", f"a {part} of {name} bytes", {**good, part: value}, says)
    yield Bad("presences", "another value", {**good, "value": "00" * 32}, "another root")
    absent = merkle.leaf_hash(b"absent")
    proof = index.prove(absent)
    gone = {"root": root.hex(), "key": absent.hex(), "path": proof.hex()}
    yield Bad("absences", "good", gone, None)
    own = key + items[key] + index.prove(key)
    for name, change, says in (
        ("truncated by an item", {"path": proof[:-33].hex()}, "another root"),
        ("truncated by a byte", {"path": proof[:-1].hex()}, "33 bytes"),
        ("shorter than a leaf", {"path": proof[:63].hex()}, "begins with another key"),
        ("empty, of a map that is not", {"path": ""}, "empty map only"),
        ("of what is there", {"key": key.hex(), "path": own.hex()}, "the key itself"),
        ("a leaf from elsewhere", {"path": own.hex()}, "another path"),
        ("a root of 31 bytes", {"root": gone["root"][2:]}, "32 bytes|31 bytes"),
        ("a key of 33 bytes", {"key": gone["key"] + "00"}, "32 bytes|33 bytes"),
    ):
        yield Bad("absences", name, {**gone, **change}, says)
    empty = merkle.EMPTY_ROOT.hex()
    yield Bad("absences", "an empty map", {**gone, "root": empty, "path": ""}, None)


def presence(given: Any) -> None:
    mapproof.verify_presence(*unhex([given[name] for name in ("root", "key", "value", "path")]))


def absence(given: Any) -> None:
    mapproof.verify_absence(*unhex([given[name] for name in ("root", "key", "path")]))


# --- policies ---


def policies() -> Iterator[Bad]:
    good = ground.policy().format()
    log, witness = good.split("\n")[0], good.split("\n")[4]
    key, lines = key_of("another"), good.split("\n")
    yield Bad("policies", "good", good, None)
    yield Bad("policies", "CRLF, empty lines and remarks", good.replace("\n", "\r\n\n# x\n"), None)

    def vkey(algorithm: int, public: bytes, name: str = "example.org/other") -> str:
        return f"{good}witness z {format_vkey(name, algorithm, public)}\n"

    small = bytes([1]) + bytes(31)
    order_4 = bytes(32)
    cases = {
        "a quorum with a leading zero": (good.replace(" 3 p1", " 03 p1"), "leading zeros"),
        "a quorum with a sign": (good.replace(" 3 p1", " +3 p1"), "leading zeros"),
        "a quorum in other digits": (good.replace(" 3 p1", " ٣ p1"), "leading zeros"),
        "a quorum of none": (good.replace(" 3 p1", " 0 p1"), "asks for 0"),
        "a quorum beyond its members": (good.replace(" 3 p1", " 5 p1"), "asks for 5"),
        "a quorum beyond 2^63": (good.replace(" 3 p1", f" {2**63} p1"), "leading zeros"),
        "an unknown algorithm": (vkey(2, key.public), "algorithm 1 or 4"),
        "algorithm 0": (vkey(0, key.public), "algorithm 1 or 4"),
        "a key of 31 bytes": (vkey(COSIGNATURE_V1, key.public[1:]), "32 bytes"),
        "a key of 33 bytes": (vkey(COSIGNATURE_V1, key.public + b"x"), "32 bytes"),
        "a point of small order": (vkey(COSIGNATURE_V1, small), "valid point"),
        "a point of order 4": (vkey(COSIGNATURE_V1, order_4), "valid point"),
        "a key that is not canonical": (vkey(COSIGNATURE_V1, b"\xff" * 32), "valid point"),
        "another key id": (good.replace(log, log.replace("+", "+0", 1)), "key id"),
        "a key id in capitals": (_upper_id(good, witness), "key id"),
        "base64 without its padding": (good.replace(log, log.rstrip("=")[:-1]), "base64"),
        "a name with a plus": (vkey(ED25519, key.public, "a+b"), "key id|base64|key name"),
        "an empty name": (vkey(ED25519, key.public, ""), "key name"),
        "a line unknown": (good + "quota 3\n", "no line"),
        "a word too many": (good + "quorum validators now\n", "no line"),
        "two quorums": (good + "quorum none\n", "no line"),
        "no quorum": ("\n".join(lines[:-2]) + "\n", "a log and a quorum"),
        "no log": ("\n".join(lines[4:]), "a log and a quorum"),
        "empty": ("", "a log and a quorum"),
        "a witness twice": (good.replace(witness, f"{witness}\n{witness}"), "again"),
        "a log twice": (f"{log}\n{good}", "twice"),
        "a member twice": (good.replace(" 3 p1", " 3 p1 p1"), "twice"),
        "a member unknown": (good.replace(" 3 p1", " 3 p9"), "no witness"),
        "a quorum undeclared": (good.replace("quorum v", "quorum w"), "not declared"),
        "a witness for a log": (good + f"log {witness.split(' ')[2]}\n", "log keys"),
        "a log of another name": (
            good + f"log {format_vkey('example.org/b', ED25519, key.public)}\n",
            "log keys",
        ),
        "a log of algorithm 4": (
            good + f"log {format_vkey('example.org/standing', COSIGNATURE_V1, key.public)}\n",
            "log keys",
        ),
        "a witness of algorithm 1": (
            "".join(
                (
                    f"log {format_vkey('a.b/c', ED25519, key_of('l').public)}\n",
                    f"witness w {format_vkey('a.b/w', ED25519, key.public)}\nquorum w\n",
                )
            ),
            "algorithm 4",
        ),
        "an origin with a scheme": (
            f"log {format_vkey('https://a.b/c', ED25519, key.public)}\nquorum none\n",
            "without its scheme",
        ),
        "oversized": (good + "#" * 1_000_000, "at most"),
        "1,001 keys": (_keys(1_001), "at most 1000 keys"),
    }
    for name, (form, says) in cases.items():
        yield Bad("policies", name, form, says)


def _keys(count: int) -> str:
    """A policy of so many keys, all of them good."""
    vkeys = [format_vkey("a.b/c", ED25519, key_of("log", at).public) for at in range(count)]
    return "".join(f"log {vkey}\n" for vkey in vkeys) + "quorum none\n"


def _upper_id(good: str, line: str) -> str:
    name, identity, key = line.split("+", 2)
    return good.replace(line, f"{name}+{identity.upper()}0+{key}")


# --- checkpoints ---


def signed(form: bytes, *, log: int = 1, cosigners: tuple[int, ...] = (1, 2, 3)) -> bytes:
    """A note over any text at all, signed as the policy asks for."""
    origin = ground.policy().origin
    lines = [_log_line(form, log)]
    for number in cosigners:
        name = cosigner_name(origin, f"p{number}")
        lines.append(witnessing.cosign(key_of(number, "cosigner"), name, 1_700_000_000, form))
    return note.format_note(form, lines)


def _log_line(form: bytes, log: int) -> SignatureLine:
    origin, key = ground.policy().origin, key_of(log, "log")
    identity = note.key_id(origin, ED25519, key.public)
    return SignatureLine(origin, identity, key.sign(form))


def checkpoints() -> Iterator[Bad]:
    good = ground.notes()[0]
    form = parse_note(good).text
    size = b"\n%d\n" % ground.world().state.log.size
    root = form.split(b"\n")[2]
    assert signed(form) == good
    for name, other in (("good", good), ("another quorum", ground.notes()[1])):
        yield Bad("checkpoints", name, other, None)

    def text_of(old: bytes, new: bytes) -> bytes:
        assert old in form
        return signed(form.replace(old, new))

    whole = "not exactly 1 log line and 3 others"
    first, *others = parse_note(good).lines
    late = replace(others[2], signature=b"\xff" * 8 + others[2].signature[8:])
    cut = replace(others[2], signature=others[2].signature[:-1])
    stranger = witnessing.cosign(key_of("stranger"), "example.org/standing/p3", 5, form)
    body = base64.b64encode(first.key_id + first.signature)
    cases = {
        "a size with a leading zero": (text_of(size, b"\n0%d\n" % int(size)), "leading zeros"),
        "a size with a sign": (text_of(size, b"\n+%d\n" % int(size)), "leading zeros"),
        "a size with a space": (text_of(size, b"\n%d \n" % int(size)), "leading zeros"),
        "a size with an exponent": (text_of(size, b"\n1e1\n"), "leading zeros"),
        "an empty size": (text_of(size, b"\n\n"), "leading zeros"),
        "a size of 2^63": (text_of(size, b"\n%d\n" % 2**63), "leading zeros"),
        "a size in other digits": (text_of(size, "\n٣\n".encode()), "leading zeros"),
        "a root of 31 bytes": (text_of(root, base64.b64encode(bytes(31))), "32 bytes"),
        "a root of 33 bytes": (text_of(root, base64.b64encode(bytes(33))), "32 bytes"),
        "a root out of canon": (text_of(root, root[:-2] + bytes([root[-2] + 1, 61])), "base64"),
        "a root without padding": (text_of(root, root[:-1]), "base64"),
        "a root in base64url": (text_of(root, b"-_" + root[2:]), "base64"),
        "an extension line": (signed(form + b"more\n"), "origin, size and root"),
        "a line too few": (signed(b"\n".join(form.split(b"\n")[:2]) + b"\n"), "origin, size and"),
        "another origin": (signed(b"example.org/other" + form[form.index(b"\n") :]), "is of"),
        "CRLF": (good.replace(b"\n", b"\r\n"), "control"),
        "a control character": (signed(b"\x1b" + form), "control"),
        "no UTF-8": (signed(b"\xff" + form), "UTF-8"),
        "a byte-order mark": (signed(b"\xef\xbb\xbf" + form), "is of"),
        "no newline at its end": (good[:-1], "newline"),
        "no empty line": (good.replace(b"\n\n", b"\n"), "empty line"),
        "no signature": (form + b"\n", "empty line"),
        "empty": (b"", "newline"),
        "truncated by a line": (signed(form, cosigners=(1, 2)), whole),
        "padded by a quorum's fourth": (signed(form, cosigners=(1, 2, 3, 4)), whole),
        "reordered": (signed(form, cosigners=(2, 1, 3)), "policy's order"),
        "a validator twice": (signed(form, cosigners=(1, 2, 2)), "policy's order"),
        "the log line last": (note.format_note(form, [*others, first]), "first line"),
        "a stranger's cosignature": (
            note.format_note(form, [first, *others[:2], stranger]),
            "order",
        ),
        "an unknown line more": (note.format_note(form, [first, *others, stranger]), whole),
        "101 lines": (note.format_note(form, [first, *others * 34]), "100 signature lines"),
        "a time beyond 2^63": (note.format_note(form, [first, *others[:2], late]), "does not hold"),
        "a cosignature of 71 bytes": (
            note.format_note(form, [first, *others[:2], cut]),
            "not hold",
        ),
        "a plain signature for a cosignature": (
            note.format_note(
                form, [first, *others[:2], replace(others[2], signature=first.signature)]
            ),
            "does not hold",
        ),
        "a signature of no byte": (
            note.format_note(form, [replace(first, signature=b""), *others]),
            "empty",
        ),
        "a signature out of canon": (good.replace(body, body[:-2] + b"B="), "base64|empty"),
        "a signature without padding": (good.replace(body, body.rstrip(b"=")), "base64"),
        "a signature line's space": (good.replace(body, body + b" "), "base64"),
        "a hyphen for the dash": (good.replace("— ".encode(), b"- ", 1), "dash"),
        "two spaces": (good.replace("— ".encode(), "—  ".encode(), 1), "key name"),
        "an empty line among the lines": (
            form + b"\n" + good[len(form) + 1 :].replace(b"=\n", b"=\n\n", 1),
            whole,
        ),
        "oversized": (signed(b"x" * 1_000_000 + form), "at most"),
        "another text under the same lines": (
            note.format_note(form[:-1] + b"A\n", [first, *others]),
            "not hold",
        ),
    }
    for name, (data, says) in cases.items():
        yield Bad("checkpoints", name, data, says)


def as_given(case: Bad) -> Any:
    """What the browser's task takes."""
    if case.kind == "checkpoints":
        return {"note": case.given.hex(), "policy": ground.policy().format()}
    return case.given


# --- forms ---


def forms() -> Iterator[Bad]:
    world = ground.world()
    register = encode(world.register("w"))
    rating = encode(world.rating("e0"))
    seal = next(entries[-1] for _, entries in ground.blocks())
    yield from (
        Bad("forms", f"good {kind}", {"kind": kind, "data": data.hex()}, None)
        for kind, data in (("record", register), ("record", rating), ("seal", seal))
    )
    handle = register.index(b"\xc4\x20")
    cases: dict[str, tuple[str, bytes]] = {
        "a number in two bytes": ("record", register.replace(b"\x01\x01", b"\x01\xcc\x01", 1)),
        "a number that is a float": ("record", register[:2] + b"\xca\x3f\x80\0\0" + register[3:]),
        "a negative number": ("record", register[:2] + b"\xff" + register[3:]),
        "platform 0": ("record", register[:2] + b"\x00" + register[3:]),
        "a date of 2^53": ("record", register[:3] + b"\xcf\0\x20\0\0\0\0\0\0" + register[12:]),
        "a handle of 31 bytes": (
            "record",
            register[: handle + 1] + b"\x1f" + register[handle + 3 :],
        ),
        "a handle as text": ("record", register[:handle] + b"\xd9" + register[handle + 1 :]),
        "a longer header": ("record", b"\xdc\x00\x06" + register[1:]),
        "a field less": ("record", b"\x95" + register[1 : register.rindex(b"\xa4")]),
        "a field more": ("record", b"\x97" + register[1:] + b"\xc0"),
        "a byte more": ("record", register + b"\0"),
        "a byte less": ("record", register[:-1]),
        "an unknown type": ("record", register[:1] + b"\x02" + register[2:]),
        "an unknown word": ("record", register.replace(b"\xa4none", b"\xa4NONE")),
        "a code with capitals": ("record", rating.replace(b"stars-5", b"Stars-5")),
        "a code out of normal form": (
            "record",
            rating.replace(b"\xa7stars-5", b"\xa9sta\xcc\x88rs-5"),
        ),
        "a code with a newline": ("record", rating.replace(b"\xa7stars-5", b"\xa8stars-5\n")),
        "a code that is no UTF-8": ("record", rating.replace(b"stars-5", b"stars-\xff")),
        "a map": ("record", b"\x86" + register[1:]),
        "an extension": ("record", b"\xc7" + register[1:]),
        "nil": ("record", b"\xc0"),
        "empty": ("record", b""),
        "an array without end": ("record", b"\xdd\xff\xff\xff\xff" + register[1:]),
        "bytes without end": ("record", register[:handle] + b"\xc6\xff\xff\xff\xff" + bytes(40)),
        "nested without end": ("record", b"\x91" * 4_000),
        "oversized": ("record", register + bytes(4_096)),
        "a seal of another kind": ("seal", b"\x02" + seal[1:]),
        "a seal without its kind": ("seal", seal[1:]),
        "a seal with a byte more": ("seal", seal + b"\0"),
        "a seal of 65,536 bytes": ("seal", seal + bytes(65_536 - len(seal))),
        "a seal of no byte": ("seal", b""),
    }
    for name, (kind, data) in cases.items():
        yield Bad("forms", name, {"kind": kind, "data": data.hex()}, "")


def form(given: Any) -> None:
    read = {"record": decode_record, "seal": decode_seal}
    read[given["kind"]](bytes.fromhex(given["data"]))


# --- bundles: `says` is the step ---


def bundles() -> Iterator[Bad]:
    good = ground.bundles()[0]
    made = decode_bundle(good)
    policy = ground.policy().format()

    def case(name: str, data: bytes, step: str | None) -> Bad:
        return Bad("bundles", name, {"bundle": data.hex(), "policy": policy}, step)

    def other(name: str, step: str, **change: Any) -> Bad:
        return case(name, encode(msgspec.structs.replace(made, **change)), step)

    bad_notes = {each.name: each.given for each in checkpoints() if each.says is not None}
    yield case("good", good, None)
    yield case("truncated", good[:-1], "form")
    yield case("empty", b"", "form")
    yield case("padded", good + b"\0", "form")
    yield case("an array without end", b"\xdd\xff\xff\xff\xff", "form")
    for name in ("a size with a leading zero", "reordered", "101 lines", "a root of 31 bytes"):
        yield other(f"its note: {name}", "checkpoint", checkpoint=bad_notes[name])
    path = made.inclusion
    yield other("its proof truncated", "seal", inclusion=path[:-1])
    yield other("its proof padded", "seal", inclusion=(*path, bytes(32)))
    yield other("its proof reordered", "seal", inclusion=path[::-1])
    yield other("its proof oversized", "form", inclusion=path * 30)
    yield other("its seal another's", "seal", seal=ground.blocks()[-2][1][-1])
    yield other("its seal empty", "seal", seal=b"")
    yield other("its chain another", "block", chain=bytes(32))
    yield other("its parameters padded", "parameters", parameters=made.parameters + b"\0")
    summary = msgspec.structs.replace(made.summary, proof=made.summary.proof + bytes(33))
    yield other("its summary's proof padded", "summary", summary=summary)
    first, *rest = made.files
    long = msgspec.structs.replace(first, proof=first.proof + bytes(33))
    yield other("its file's proof padded", "files", files=(long, *rest))
    short = msgspec.structs.replace(first, leaves=first.leaves[:-1])
    yield other("its file without its last leaf", "files", files=(short, *rest))
    turned = msgspec.structs.replace(first, openings=first.openings[::-1])
    yield other("its openings reordered", "openings", files=(turned, *rest))


def bundle(given: Any) -> None:
    found = verify_bundle(bytes.fromhex(given["bundle"]), Policy.parse(given["policy"]))
    if not found.valid:
        raise BadProof(found.steps[-1].name)


# --- what the browser's verifier does not read ---


def only_here() -> Iterator[Bad]:
    yield from consistencies()
    good = ground.receipts()[0]
    index = good.split(b"\n")[2]
    hashes = good.split(b"\n")[3]
    yield Bad("receipts", "good", good, None)
    for name, data, says in (
        ("a leading zero", good.replace(index, b"index 0" + index[6:]), "leading zeros"),
        ("another place", good.replace(index, b"index 3"), "another root|too"),
        ("a hash of 31 bytes", good.replace(hashes, base64.b64encode(bytes(31))), "32 bytes"),
        ("a hash twice", good.replace(hashes, hashes + b"\n" + hashes), "too long|another"),
        ("64 hashes", good.replace(hashes, b"\n".join([hashes] * 64)), "63"),
        ("CRLF", good.replace(b"\n", b"\r\n"), "receipt|ASCII"),
        ("another version", good.replace(b"@v1", b"@v2"), "tlog-proof"),
        ("no index", good.replace(index + b"\n", b""), "index"),
        ("two extras", good.replace(index, good.split(b"\n")[1] + b"\n" + index), "index"),
        ("no note", good[: good.index(b"\n\n")], "receipt"),
    ):
        yield Bad("receipts", name, data, says)
    for path in (
        "tile/0/00",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/x000/001",
        "tile/0/1",
        "tile/-1/000",
        "tile/0/000/",
        "tile/0/\u0663\u0663\u0663",
        "tile/0/000\n",
        "Tile/0/000",
        "tile/entries/000.p/300",
    ):
        yield Bad("tile-paths", path, path, "path of a tile")
    yield Bad("tile-paths", "good", "tile/entries/x001/000.p/7", None)
    row = b"".join(TREE.leaves)
    yield Bad("tiles", "good", row, None)
    for name, data in (("a hash less", row[:-32]), ("a byte less", row[:-1]), ("empty", b"")):
        yield Bad("tiles", name, data, "has no hash")
    request = TREE.request(20, 40)
    yield Bad("requests", "good", request, None)
    for name, data, says in (
        ("a leading zero", request.replace(b"old 20", b"old 020"), "leading zeros"),
        ("a sign", request.replace(b"old 20", b"old +20"), "leading zeros"),
        ("64 hashes", request.replace(b"old 20\n", b"old 20\n" + (hashes + b"\n") * 64), "63"),
        ("a hash of 31 bytes", request.replace(b"20\n", b"20\nAAAA\n", 1), "32 bytes"),
        ("CRLF", request.replace(b"\n", b"\r\n"), "request|control"),
        ("oversized", request + bytes(65_536), "at most"),
    ):
        yield Bad("requests", name, data, says)


def tile(data: bytes) -> None:
    reader = tiles.TileReader(lambda *_: data)
    merkle.verify_inclusion(
        TREE.leaves[29],
        29,
        SIZE,
        merkle.inclusion_proof(reader.read_node, 29, SIZE),
        TREE.root(SIZE),
    )


PYTHON: dict[str, Callable[[Any], object]] = {
    "inclusions": inclusion,
    "consistencies": consistency,
    "presences": presence,
    "absences": absence,
    "policies": Policy.parse,
    "checkpoints": lambda data: verify_checkpoint_strict(data, ground.policy()),
    "forms": form,
    "bundles": bundle,
    "receipts": lambda data: receipt.verify_receipt(data, ground.policy(), ENTRY_BYTES),
    "tile-paths": tiles.parse_tile_path,
    "tiles": tile,
    "requests": witnessing.parse_request,
}
ONLY_HERE = {"consistencies", "receipts", "tile-paths", "tiles", "requests"}


@cache
def cases() -> list[Bad]:
    """The whole table."""
    made = [*inclusions(), *map_proofs(), *policies(), *checkpoints(), *forms(), *bundles()]
    return [*made, *only_here()]
