"""What is canonical to the browser's verifier is what is canonical to the ledger: altered bytes."""

import os
import random
from collections.abc import Callable

from ledger.block import decode_seal, encode_seal
from ledger.bundle import decode_bundle
from ledger.bureau.answer import Question
from ledger.bureau.reading import SUMMARY_BYTES_MAX, decode_tally
from ledger.bureau.standing import PlatformTally, Source
from ledger.encoding import decode, encode
from ledger.errors import InvalidInput
from ledger.parameters import PARAMETERS_BYTES_MAX, Parameters, check_parameters
from ledger.policy import Policy
from ledger.records import decode_record
from tests.ledger.certify import certify, policy_of
from tests.ledger.test_bundle import bundle_of, linked_world
from tests.ledger.world import FIRST_PARAMETERS
from tests.node.web.js.in_node import in_node, needs_node
from tests.vectors.frozen import read

pytestmark = needs_node

SOURCES = tuple(Source(each, 70_000, (0, 1, 300, 2**36, 5)) for each in (1, 2**32 - 1))
TALLY = PlatformTally(300, 2, 70_000, 3, 0, 2**18 + 9, 2**19, SOURCES)
CASES = int(os.environ.get("STANDING_JS_CASES", "400"))
HEADS = bytes.fromhex("c0c2c3c4c5c6cacbcccdcecfd0d1d2d3d9dadbdcdd80909192a0a1c7d4ff7f80e0")
WORDS = ["none", "log", "witness", "group", "quorum", "all", "any", "p1", "p2", "validators"]
SIGNS = [
    "0",
    "1",
    "3",
    "03",
    "#",
    "\u2003",
    "\ufeff",
    "\x85",
    "\x1c",
    "+",
    "\n",
    " ",
    "\0",
    "é",
    "==",
]


def altered(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few faults of the kinds that decoders are known to let pass."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(made) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            made[at:at] = bytes([rng.choice(HEADS)])
        elif kind == 1:
            del made[at : at + rng.choice((1, 1, 2, 9))]
        elif kind == 2:
            made[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            made[at : at + 1] = bytes([rng.choice(HEADS)])
        elif kind == 4:
            made[at:at] = rng.choice((b"\xcc", b"\xcd\x00", b"\xd9", b"\xc5\x00", b"\xdc\x00"))
        elif kind == 5:
            made[at : at + 1] = rng.choice(
                (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xc0", b"\xc4\x00")
            )
        else:
            made[at:at] = made[at : at + rng.choice((1, 2, 33))]
        made = made or bytearray(b"\xc0")
    return bytes(made)


def accepts(check: Callable[[], object]) -> bool:
    try:
        check()
    except InvalidInput:
        return False
    return True


def _parameters(data: bytes) -> None:
    made = decode(Parameters, data, bytes_max=PARAMETERS_BYTES_MAX)
    check_parameters(made)


def test_altered_bytes_have_the_same_verdict_in_both():
    rng = random.Random(17)
    world = linked_world()
    records = [bytes.fromhex(case["bytes"]) for case in read("record") if "refused" not in case]
    seals = [bytes.fromhex(case["bytes"]) for case in read("seal") if "refused" not in case]
    bundle = bundle_of(world)
    question = encode(decode_bundle(bundle).question)
    kinds: dict[str, tuple[list[bytes], Callable[[bytes], object]]] = {
        "record": (records, decode_record),
        "seal": (seals, decode_seal),
        "parameters": ([encode(FIRST_PARAMETERS)], _parameters),
        "tally": ([encode(TALLY)], decode_tally),
        "question": ([question], lambda data: decode(Question, data, bytes_max=1_024)),
        "bundle": ([bundle], decode_bundle),
    }
    for kind, (good, check) in kinds.items():
        cases = [*good, *(altered(rng, rng.choice(good)) for _ in range(CASES))]
        told = in_node("forms", cases=[{"kind": kind, "data": data.hex()} for data in cases])
        for data, one in zip(cases, told, strict=True):
            expected = accepts(lambda data=data, check=check: check(data))
            assert one["held"] == expected, (kind, data.hex(), one["value"])
        assert all(one["held"] for one in told[: len(good)])
        assert any(not one["held"] for one in told)
    assert encode_seal(decode_seal(seals[0])) == seals[0]
    assert SUMMARY_BYTES_MAX == 8_192


def test_altered_policies_and_notes_have_the_same_verdict_in_both():
    rng = random.Random(23)
    world = linked_world()
    policy = policy_of(world)
    texts = [case["text"] for case in read("policy")]
    made = []
    for _ in range(CASES // 2):
        text = rng.choice(texts)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(text) + 1)
            drop = rng.choice((0, 0, 1, 5))
            text = text[:at] + rng.choice([*WORDS, *SIGNS, "", ""]) + text[at + drop :]
        made.append(text)
    told = in_node("policies", cases=made)
    for text, one in zip(made, told, strict=True):
        assert one["held"] == accepts(lambda text=text: Policy.parse(text)), (text, one["value"])
    assert 0 < sum(one["held"] for one in told) < len(made)
    note, form = certify(world).note, policy.format()
    notes = [altered(rng, note) for _ in range(CASES // 2)]
    told = in_node("checkpoints", cases=[{"note": each.hex(), "policy": form} for each in notes])
    changed = [one["held"] for each, one in zip(notes, told, strict=True) if each != note]
    assert not any(changed), "a note that a quorum signed has one form"
