"""The frozen vectors of our own formats: what they are made of, byte for byte the same every time.

`scripts/make-vectors` writes them. They change on purpose only: a change of a vector is a change of
a format, and every ledger and verifier in the world would have to change with it. Each file is
`{"about": …, "cases": [{"name": …, …}]}`, bytes in hex. A case that must be refused has `refused`:
the class of the error in the ledger (`ledger/errors.py`), or for a bundle the step that fails.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ledger.batch import (
    Header,
    Submission,
    batch_root,
    commitment,
    entry_of,
    header_hash,
    header_message,
)
from ledger.block import Block, Seal, Tip, block_hash, decode_seal, encode_seal, refusals_hash
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import UINT_MAX, decode, encode
from ledger.errors import InvalidInput
from ledger.merkle import leaf_hash
from ledger.records import Record, decode_record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.evidence import Evidence
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from tests.ledger.members import party
from tests.ledger.world import START, World, genesis_of, key_of, seed

FOLDER = Path(__file__).parent
HEADER_BYTES_MAX = 1_024

Case = dict[str, Any]


def shown(value: Any) -> Any:
    """A value as JSON shows it: bytes in hex, structs with the names of their fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return value


def refusal(check: Callable[[], object]) -> str:
    """The class of the error with which a check refuses; the check must refuse."""
    try:
        check()
    except InvalidInput as error:
        return type(error).__name__
    raise AssertionError("this was to be refused")


# --- records ---


def _records() -> list[tuple[str, Record]]:
    handle, other, reference = seed("handle"), seed("other"), seed("reference")
    joins, rotates = party(5), party(5, "new")
    ends = [(1, seed("a"), key_of("a").public), (2, seed("b"), key_of("b").public)]
    return [
        ("register", SubjectRegister(1, START, handle, b"", "none")),
        ("register-with-key", SubjectRegister(7, START, handle, key_of("w").public, "document")),
        ("link", SubjectLink(2, START, *ends[0], *ends[1])),
        (
            "open",
            EngagementOpen(
                1, START, reference, handle, other, "gig", ("software.web", "care"),
                "lead", START, START + 86_400_000, 3,
            ),
        ),
        (
            "open-at-the-bounds",
            EngagementOpen(
                2**32 - 1, UINT_MAX, reference, handle, other, "employment",
                ("a", "b", "c", "d" * 48), "crew", 0, UINT_MAX, 9,
            ),
        ),
        (
            "outcome",
            EngagementOutcome(
                1, START, reference, "completed", "none", 0, "accepted", "platform"
            ),
        ),
        (
            "outcome-bad",
            EngagementOutcome(
                1, 0, reference, "cancelled-by-worker", "shared", 5, "unknown", "counterparty"
            ),
        ),
        (
            "rating",
            Rating(1, START, reference, "of-worker", other, b"", "stars-5", 5, ()),
        ),
        (
            "rating-with-dimensions",
            Rating(
                1, START, reference, "of-client", handle, key_of("w").public, "percent", 255,
                (("clarity", 0), ("pay", 128)),
            ),
        ),
        ("erasure", Erasure(1, START, handle, key_of("w").public, "platform")),
        ("erasure-of-the-whole", Erasure(2, START, other, key_of("w").public, "whole")),
        ("erasure-ack", ErasureAck(3, START, reference)),
        ("member-propose", MemberPropose(1, START, joins.validator, joins.proofs)),
        ("member-approve", MemberApprove(2, START, reference)),
        (
            "member-ready",
            MemberReady(
                5, START, reference, 3, 1_000, seed("root"),
                joins.validator.vote_key, joins.validator.lane_key,
            ),
        ),
        ("member-remove", MemberRemove(1, START, 2**32 - 1)),
        ("member-leave", MemberLeave(2, START)),
        (
            "key-rotate",
            KeyRotate(
                5, START, joins.validator.root_key, rotates.validator, rotates.proofs
            ),
        ),
        ("model-activate", ModelActivate(1, START, reference, FIRST_MODEL)),
        ("evidence", Evidence(1, START, 3, 4, 2, 9, bytes(65), b"\x01" * 256)),
    ]  # fmt: skip


def _bad_records() -> list[tuple[str, bytes]]:
    """Bytes that are no record, each by one fault."""
    named = dict(_records())
    good, register = encode_record(named["outcome"]), encode_record(named["register"])
    opened, rating = encode_record(named["open"]), encode_record(named["rating"])
    approve, evidence = (encode_record(named[each]) for each in ("member-approve", "evidence"))
    at, name = START.to_bytes(8), seed("reference")
    return [
        ("empty", b""),
        ("one-byte-short", good[:-1]),
        ("one-byte-more", good + b"\x00"),
        ("nil", b"\xc0"),
        ("map", b"\x80"),
        ("array-of-nothing", b"\x90"),
        ("unknown-tag", b"\x99\x0d" + good[2:]),
        ("tag-in-two-bytes", good[:1] + b"\xcc" + good[1:]),
        ("array-in-three-bytes", b"\xdc\x00\x09" + good[1:]),
        ("platform-in-two-bytes", good[:2] + b"\xcc" + good[2:]),
        ("platform-zero", good[:2] + b"\x00" + good[3:]),
        ("platform-negative", good[:2] + b"\xff" + good[3:]),
        ("platform-as-float", good[:2] + b"\xca\x3f\x80\x00\x00" + good[3:]),
        ("platform-of-33-bits", good[:2] + b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00" + good[3:]),
        ("time-signed", good.replace(b"\xcf" + at, b"\xd3" + at)),
        ("time-of-2-to-the-53", good.replace(at, (2**53).to_bytes(8))),
        ("time-as-text", good.replace(b"\xcf" + at, b"\xa11")),
        ("reference-as-text", good.replace(b"\xc4\x20", b"\xd9\x20")),
        ("reference-in-long-header", good.replace(b"\xc4\x20", b"\xc5\x00\x20")),
        ("reference-of-31-bytes", good.replace(b"\xc4\x20" + name, b"\xc4\x1f" + name[:31])),
        ("word-unknown", good.replace(b"\xa4none", b"\xa4nine")),
        ("word-in-long-header", good.replace(b"\xa4none", b"\xd9\x04none")),
        ("word-as-bytes", good.replace(b"\xa4none", b"\xc4\x04none")),
        ("word-not-utf-8", good.replace(b"\xa4none", b"\xa4\xff\xff\xff\xff")),
        ("lateness-of-6", good.replace(b"\xa4none\x00", b"\xa4none\x06")),
        ("a-field-left-out", b"\x98" + good[1:].replace(b"\xa4none", b"")),
        ("a-field-more", b"\x9a" + good[1:] + b"\x00"),
        ("key-of-33-bytes", register.replace(b"\xc4\x00", b"\xc4\x21" + bytes(33))),
        ("no-domain", opened.replace(b"\x92\xacsoftware.web\xa4care", b"\x90")),
        ("five-domains", opened.replace(b"\x92\xacsoftware.web\xa4care", b"\x95" + b"\xa1a" * 5)),
        ("domain-in-capitals", opened.replace(b"software.web", b"Software.web")),
        ("domain-that-ends-in-a-dot", opened.replace(b"software.web", b"software.we.")),
        ("domain-with-a-newline", opened.replace(b"\xa4care", b"\xa4car\n")),
        ("domain-of-49-characters", opened.replace(b"\xa4care", b"\xd9\x31" + b"a" * 49)),
        ("value-band-of-10", opened[:-1] + b"\x0a"),
        ("value-of-256", rating[:-2] + b"\xcd\x01\x00" + rating[-1:]),
        ("nine-dimensions", rating[:-1] + b"\x99" + b"\x92\xa1a\x01" * 9),
        ("dimension-of-three", rating[:-1] + b"\x91\x93\xa1a\x01\x01"),
        ("extension", b"\xd4\x01\x00"),
        ("change-as-text", approve.replace(b"\xc4\x20", b"\xd9\x20")),
        ("validator-of-nothing", b"\x95\x32\x01\xcf" + at + b"\x90\x90"),
        ("evidence-of-kind-0", evidence.replace(b"\x03\x04\x02\x09", b"\x00\x04\x02\x09")),
        ("evidence-of-kind-6", evidence.replace(b"\x03\x04\x02\x09", b"\x06\x04\x02\x09")),
        ("evidence-of-257-bytes", evidence.replace(b"\xc5\x01\x00", b"\xc5\x01\x01") + b"\x01"),
        ("too-long", b"\xc6\x00\x00\x10\x01" + bytes(4_097)),
    ]  # fmt: skip


def records() -> list[Case]:
    """Records and what is none."""
    cases: list[Case] = [
        {"name": name, "type": type(record).__name__, "fields": shown(record),
         "bytes": encode_record(record).hex()}
        for name, record in _records()
    ]  # fmt: skip
    for name, data in _bad_records():
        refused = refusal(lambda data=data: decode_record(data))  # type: ignore[misc]
        cases.append({"name": name, "bytes": data.hex(), "refused": refused})
    return cases


# --- batches ---


def _submissions(count: int) -> list[Submission]:
    records = [encode_record(record) for _, record in _records()]
    return [
        Submission(seed("salt", at)[:16], records[at], key_of("w").sign(b"x") * (at % 3))
        for at in range(count)
    ]


def _header(world: World, count: int) -> Header:
    commitments = [commitment(each) for each in _submissions(count)]
    return Header(1, 2, 1, world.chain, count, batch_root(commitments), START + count)


def batches() -> list[Case]:
    """Submissions, their commitments, the root over them."""
    cases: list[Case] = []
    for count in (0, 1, 2, 7):
        submissions = _submissions(count)
        commitments = [commitment(each) for each in submissions]
        cases.append(
            {
                "name": f"of-{count}",
                "submissions": shown(submissions),
                "commitments": shown(commitments),
                "root": batch_root(commitments).hex(),
            }
        )
    return cases


def headers() -> list[Case]:
    """Headers: bytes, name, and what the lane's key signs."""
    world = World(genesis_of(2))
    key = key_of(2, "lane")
    cases: list[Case] = []
    for count in (0, 3):
        header = _header(world, count)
        message = header_message(world.chain, header)
        cases.append(
            {
                "name": f"of-{count}",
                "chain": world.chain.hex(),
                "fields": shown(header),
                "bytes": encode(header).hex(),
                "hash": header_hash(world.chain, header).hex(),
                "message": message.hex(),
                "key": key.public.hex(),
                "signature": key.sign(message).hex(),
            }
        )
    good = encode(_header(world, 3))
    for name, data in (
        ("height-zero", good.replace(b"\x01\x02\x01\xc4", b"\x01\x02\x00\xc4")),
        ("lane-zero", good.replace(b"\x01\x02\x01\xc4", b"\x01\x00\x01\xc4")),
        ("count-of-65536", good.replace(b"\x03\xc4\x20", b"\xce\x00\x01\x00\x00\xc4\x20")),
        ("one-byte-more", good + b"\x00"),
        ("one-byte-short", good[:-1]),
        ("array-in-three-bytes", b"\xdc\x00\x07" + good[1:]),
    ):
        assert data != good
        refused = refusal(
            lambda data=data: decode(Header, data, bytes_max=HEADER_BYTES_MAX)  # type: ignore[misc]
        )
        cases.append({"name": name, "bytes": data.hex(), "refused": refused})
    return cases


def entries() -> list[Case]:
    """Entries of records in the log, and their leaf hashes."""
    places = [(1, 1, 0), (2**32 - 1, UINT_MAX, 65_535), (7, 300, 12)]
    return [
        {
            "name": f"lane-{lane}",
            "lane": lane,
            "height": height,
            "position": position,
            "commitment": seed("commitment", lane).hex(),
            "bytes": (data := entry_of(lane, height, position, seed("commitment", lane))).hex(),
            "leaf_hash": leaf_hash(data).hex(),
        }
        for lane, height, position in places
    ]


# --- blocks ---


def seals() -> list[Case]:
    """Blocks with their names, and the seals that end them in the log."""
    world = World(genesis_of(2))
    members = world.genesis.foundation.validators
    cases: list[Case] = []
    for name, validators in (("within-an-epoch", None), ("at-an-epochs-end", members)):
        tips = (Tip(1, 3, seed("tip", 1)), Tip(2, 300, seed("tip", 2)))
        block = Block(1, 9, 4, seed("parent"), tips, START + 5)
        seal = Seal(
            4, block_hash(world.chain, block), seed("parent"), START + 5, seed("root"),
            refusals_hash(()), seed("parameters"), validators,
        )  # fmt: skip
        entry = encode_seal(seal)
        cases.append(
            {
                "name": name,
                "chain": world.chain.hex(),
                "block": shown(block),
                "block_bytes": encode(block).hex(),
                "block_hash": block_hash(world.chain, block).hex(),
                "fields": shown(seal),
                "bytes": entry.hex(),
                "leaf_hash": leaf_hash(entry).hex(),
            }
        )
    good = bytes.fromhex(cases[0]["bytes"])
    for name, data in (
        ("empty", b""),
        ("of-kind-0", b"\x00" + good[1:]),
        ("without-kind", good[1:]),
        ("one-byte-more", good + b"\x00"),
        ("one-byte-short", good[:-1]),
        ("validators-of-none-as-false", good[:-1] + b"\xc2"),
        ("height-in-two-bytes", good[:2] + b"\xcc" + good[2:]),
        ("validator-of-nothing", good[:-1] + b"\x91\x90"),
    ):
        refused = refusal(lambda data=data: decode_seal(data))  # type: ignore[misc]
        cases.append({"name": name, "bytes": data.hex(), "refused": refused})
    return cases


# --- files ---


def written(about: str, cases: list[Case]) -> str:
    """A file's text: one case to a line, so that a change shows as the case that it changes."""
    assert len({case["name"] for case in cases}) == len(cases), "each case has a name of its own"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    return f'{{"about": {json.dumps(about, ensure_ascii=False)}, "cases": [\n{lines}\n]}}\n'


def read(name: str) -> list[Case]:
    """The cases of a frozen file."""
    found: list[Case] = json.loads((FOLDER / f"{name}.json").read_text())["cases"]
    return found
