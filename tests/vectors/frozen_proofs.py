"""The frozen vectors of what proves: policies, checkpoints, receipts, bundles, scores."""

import base64
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from ledger.batch import ENTRY_BYTES
from ledger.bundle import decode_bundle, verify_bundle
from ledger.bundle_form import answer_hash
from ledger.bureau.reading import is_read
from ledger.bureau.score import score
from ledger.checkpoint import (
    format_checkpoint,
    sign_cosignature,
    sign_log_line,
    verify_checkpoint,
    verify_checkpoint_strict,
)
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.files import entry_at
from ledger.merkle import inclusion_proof
from ledger.policy import Policy
from ledger.receipt import format_receipt, verify_receipt
from ledger.rows import tile_key
from ledger.tiles import TileReader
from tests.ledger.certify import certify, policy_of
from tests.ledger.handmade import policy as policy_by_hand
from tests.ledger.test_bundle import bundle_of, forge, forge_file, linked_world, small_world
from tests.ledger.test_bundle_erased import erased_world
from tests.ledger.world import World, handle, key_of
from tests.node.web.js.random_erasures import erased_case
from tests.node.web.js.random_files import Case as RandomCase
from tests.node.web.js.random_files import random_case
from tests.vectors.frozen import Case, refusal
from tests.vectors.frozen_erasures import bad_erasures, impossible_erasures

SCORES = 40
ERASED_SCORES = 8
SCORE_BYTES_MAX = 7_500

# --- policies ---


def _bad_policies(good: str) -> Iterator[tuple[str, str]]:
    log, *_, witness, group, quorum = good.rstrip("\n").split("\n")
    name, key = log.split("+", 1)[0].removeprefix("log "), log.rpartition("+")[2]
    yield "empty", ""
    yield "no-quorum", good.replace(quorum, "")
    yield "no-log", "\n".join(line for line in good.split("\n") if not line.startswith("log"))
    yield "two-quorums", good + "quorum none\n"
    yield "unknown-line", good + "witnesses all\n"
    yield "log-of-four-words", good.replace(log, f"{log} example.org x")
    yield "group-without-members", good.replace(group, "group validators 1")
    yield "group-of-nobody", good.replace(group, "group validators 0 p1")
    yield "group-of-more-than-all", good.replace(group, "group validators 5 p1 p2 p3 p4")
    yield "group-with-leading-zero", good.replace(group, "group validators 03 p1 p2 p3 p4")
    yield "member-twice", good.replace(group, "group validators 1 p1 p1")
    yield "member-unknown", good.replace(group, "group validators 1 p9")
    yield "witness-twice", good.replace(witness, f"{witness}\n{witness}")
    yield "witness-called-none", good.replace("witness p4 ", "witness none ")
    yield "group-before-witness", f"{group}\n" + good.replace(group, "")
    yield "quorum-unknown", good.replace(quorum, "quorum others")
    yield "log-key-as-witness", good.replace(witness, f"witness p4 {log.removeprefix('log ')}")
    yield "key-twice", good.replace(log, f"{log}\n{log}")
    yield "wrong-key-id", good.replace(log, f"log {name}+00000000+{key}")
    yield "key-id-in-capitals", good.replace(log, log.upper().replace("LOG ", "log "))
    yield "key-not-base64", good.replace(key, key[:-1] + "!")
    yield "key-base64-not-canonical", good.replace(key, key + "=")
    yield "key-too-short", good.replace(key, base64.b64encode(b"\x01" + bytes(31)).decode())
    yield "no-plus", good.replace(log, f"log {name}")
    for called, point in (
        ("key-of-small-order", bytes(32)),
        ("key-that-is-no-point", b"\x02" * 32),
    ):
        verifier = replace(policy_of(small_world()).log_keys[0], public_key=point)
        body = base64.b64encode(b"\x01" + point).decode()
        yield called, good.replace(log, f"log {name}+{verifier.key_id.hex()}+{body}")


def _good_policies(good: str) -> Iterator[tuple[str, str]]:
    group = "group validators 3 p1 p2 p3 p4"
    yield "of-four", good
    yield "of-one", policy_of(small_world(platforms=2)).format()
    yield "quorum-none", good.replace(group, "").replace("quorum validators", "quorum none")
    yield "quorum-of-one-witness", good.replace("quorum validators", "quorum p2")
    yield "group-all", good.replace("validators 3", "validators all")
    yield "group-any", good.replace("validators 3", "validators any")
    yield (
        "comments-spaces-urls",
        good.replace("\n", "  \t\n\n# a comment\n \u00a0").replace(
            "quorum validators", "quorum\u2003validators"
        ),
    )
    first = good.split("\n", maxsplit=1)[0]
    yield "log-with-url", good.replace(first, f"{first} https://example.org/standing")
    yield "group-in-another-order", good.replace(group, "group validators 2 p4 p1")


def policies() -> list[Case]:
    """Policies, and texts that are none."""
    good = policy_of(small_world()).format()
    cases: list[Case] = []
    for name, text in _good_policies(good):
        policy = Policy.parse(text)
        cases.append(
            {
                "name": name,
                "text": text,
                "origin": policy.origin,
                "quorum": policy.quorum,
                "log_keys": [key.public_key.hex() for key in policy.log_keys],
                "witnesses": [key.public_key.hex() for _, key in policy.witnesses],
            }
        )
    for name, text in _bad_policies(good):
        refused = refusal(lambda text=text: Policy.parse(text))  # type: ignore[misc]
        cases.append({"name": name, "text": text, "refused": refused})
    return cases


# --- checkpoints ---


def _notes(world: World, policy: Policy) -> Iterator[tuple[str, bytes]]:
    good = certify(world).note
    text, _, lines = good.partition(b"\n\n")
    log, *cosigned = lines.decode().splitlines()
    p1, p2, p3 = cosigned
    [p4] = certify(world, cosigners=(4,)).note.decode().splitlines()[-1:]
    head = text.decode() + "\n"

    def note(*signed: str, head: str = head) -> bytes:
        return (head + "\n" + "".join(line + "\n" for line in signed)).encode()

    stranger = log.replace("example.org/standing ", "example.org/stranger ")
    yield "quorum", good
    yield "another-log-line-and-quorum", certify(world, log=4, cosigners=(2, 3, 4)).note
    yield "at-another-time", certify(world, time_s=2**40).note
    yield "too-few", note(log, p1, p2)
    yield "too-many", note(log, p1, p2, p3, p4)
    yield "one-twice", note(log, p1, p1, p2)
    yield "in-another-order", note(log, p2, p1, p3)
    yield "log-line-last", note(p1, p2, p3, log)
    yield "no-log-line", note(p1, p2, p3)
    yield "two-log-lines", note(log, log, p1, p2, p3)
    yield "an-unknown-line-more", note(log, p1, p2, p3, stranger)
    yield (
        "a-signature-of-other-bytes",
        note(log, p1, p2, p3[:-3] + ("A" if p3[-3] != "A" else "B") + p3[-2:]),
    )
    yield "another-size", good.replace(text, text.replace(b"\n2", b"\n3", 1))
    yield "size-with-leading-zero", good.replace(b"standing\n", b"standing\n0", 1)
    yield "without-newline-at-the-end", good[:-1]
    yield "with-another-empty-line", note(log, p1, p2, p3, head=head + "\n")
    yield "carriage-returns", good.replace(b"\n", b"\r\n")
    yield "hyphen-for-dash", good.replace("—".encode(), b"-")
    yield "two-spaces", note(log.replace(" ", "  ", 1), p1, p2, p3)
    yield "base64-unpadded", note(log, p1, p2, p3.rstrip("="))
    yield "not-utf-8", good.replace(b"example", b"exampl\xff")
    yield "signatures-alone", note(log, p1, p2, p3, head="")
    yield "an-extension-line", _resigned(world, policy)


def _resigned(world: World, policy: Policy) -> bytes:
    """A text with one line more than a checkpoint has, signed by everybody."""

    class Longer:
        origin = policy.origin

        @staticmethod
        def text() -> bytes:
            return certify(world).note.partition(b"\n\n")[0] + b"\nextension\n"

    lines = [
        sign_cosignature(key_of(number, "cosigner"), f"{policy.origin}/p{number}", 5, Longer)  # type: ignore[arg-type]
        for number in (1, 2, 3)
    ]
    return format_checkpoint(Longer, sign_log_line(key_of(1, "log"), policy.origin, Longer), lines)  # type: ignore[arg-type]


def checkpoints() -> list[Case]:
    """Notes by both rules: `strict` that of bundles, `tolerant` that of notes from anywhere; each
    is what it refuses with, or empty where it accepts."""
    world = small_world()
    policy = policy_of(world)
    cases: list[Case] = []
    notes = list(_notes(world, policy))
    assert len({note for _, note in notes}) == len(notes), "each note differs"
    for name, note in notes:
        case: Case = {"name": name, "policy": policy.format(), "note": note.hex()}
        for rule, check in (("strict", verify_checkpoint_strict), ("tolerant", verify_checkpoint)):
            try:
                found = check(note, policy)
            except InvalidInput as error:
                case[rule] = type(error).__name__
            else:
                case |= {rule: "", "size": found.size, "root": found.root.hex()}
        cases.append(case)
    return cases


# --- receipts ---


def _receipts(good: str) -> Iterator[tuple[str, str]]:
    head, _, note = good.partition("\n\n")
    first, extra, index, *hashes = head.split("\n")

    def made(*lines: str) -> str:
        return "\n".join(lines) + "\n\n" + note

    yield "another-header", made("c2sp.org/tlog-proof@v2", extra, index, *hashes)
    yield "no-extra", made(first, index, *hashes)
    yield "no-index", made(first, extra, *hashes)
    yield "another-index", made(first, extra, "index 5", *hashes)
    yield "index-beyond", made(first, extra, "index 5000", *hashes)
    yield "index-with-leading-zero", made(first, extra, index.replace(" ", " 0"), *hashes)
    yield "index-signed", made(first, extra, index.replace(" ", " +"), *hashes)
    yield "a-hash-less", made(first, extra, index, *hashes[:-1])
    yield "a-hash-more", made(first, extra, index, *hashes, hashes[-1])
    yield "hashes-swapped", made(first, extra, index, hashes[1], hashes[0], *hashes[2:])
    yield "hash-of-31-bytes", made(first, extra, index, base64.b64encode(bytes(31)).decode())
    yield "hash-unpadded", made(first, extra, index, hashes[0].rstrip("="), *hashes[1:])
    yield "too-many-hashes", made(first, extra, index, *hashes[:1] * 64)
    yield "extra-too-short", made(first, "extra AAAA", index, *hashes)
    yield (
        "another-entry",
        made(first, "extra " + base64.b64encode(bytes(60)).decode(), index, *hashes),
    )
    yield "an-empty-line-more", head + "\n\n\n" + note
    yield "no-checkpoint", head + "\n\n"
    yield "carriage-returns", good.replace("\n", "\r\n")


def receipts() -> list[Case]:
    """Receipts of one entry, and what is none."""
    world = small_world()
    policy = policy_of(world)
    size = world.state.log.size
    tiles = TileReader(lambda level, at: world.store.get(tile_key(level, at)) or b"")
    note = certify(world).note
    cases: list[Case] = []
    stored = [(index, entry_at(world.store, index)) for index in range(size)]
    kept = [(index, entry) for index, entry in stored if len(entry) == ENTRY_BYTES]
    openings = (b"", b"an opening", bytes(100))
    for (index, entry), opening in zip((kept[0], kept[-1], kept[5]), openings, strict=True):
        data = format_receipt(
            entry + opening, index, inclusion_proof(tiles.read_node, index, size), note
        )
        found = verify_receipt(data, policy, ENTRY_BYTES)
        cases.append(
            {
                "name": f"index-{index}",
                "policy": policy.format(),
                "text": data.decode(),
                "index": found.index,
                "entry": found.entry.hex(),
                "opening": found.opening.hex(),
                "size": found.checkpoint.size,
            }
        )
    for name, text in _receipts(cases[-1]["text"]):
        refused = refusal(
            lambda text=text: verify_receipt(text.encode(), policy, ENTRY_BYTES)  # type: ignore[misc]
        )
        cases.append({"name": name, "policy": policy.format(), "text": text, "refused": refused})
    return cases


# --- bundles ---


def _good_bundles() -> Iterator[tuple[str, World, bytes]]:
    small, linked, early = small_world(), linked_world(), small_world(blocks=0)
    yield "alone", small, bundle_of(small)
    yield "client", small, bundle_of(small, "c", role="client")
    yield "in-a-domain", small, bundle_of(small, domain="care")
    yield "as-of-earlier", small, bundle_of(small, as_of=small.state.time - 1)
    yield "linked", linked, bundle_of(linked)
    yield "no-summary-yet", early, bundle_of(early, "w2", 2)
    partly, every = erased_world(), small_world()
    every.run(every.erasure("w"))
    yield "partly-erased", partly, bundle_of(partly)
    yield "every-record-erased", every, bundle_of(every)
    yield "other-party-erased", partly, bundle_of(partly, "c", role="client")
    yield "link-erased", partly, bundle_of(partly, "w2", 2)


def _bad_bundles(world: World, data: bytes) -> Iterator[tuple[str, bytes]]:
    told = decode_bundle(data)
    mine, other = told.files
    kept = mine.leaves[:-1]
    openings = mine.openings[: sum(is_read(leaf) for leaf in kept)]
    question = told.question
    replaced = msgspec.structs.replace
    yield "a-byte-more", data + b"\x00"
    yield "a-byte-less", data[:-1]
    yield "header-in-three-bytes", b"\xdc\x00\x0b" + data[1:]
    yield "files-turned", forge(data, files=(other, mine))
    yield "another-subject", forge(data, question=replaced(question, handle=handle("ghost")))
    yield "two-cosignatures", bundle_of(world, certified=certify(world, cosigners=(1, 2)))
    yield "a-line-changed", data.replace("—".encode(), "–".encode(), 1)
    yield "inclusion-of-one-less", forge(data, inclusion=told.inclusion[:-1])
    yield "another-chain", forge(data, chain=bytes(32))
    yield "another-epoch", forge(data, block=replaced(told.block, epoch=told.block.epoch + 1))
    yield "parameters-a-byte-more", forge(data, parameters=told.parameters + b"\x00")
    yield "a-record-left-out", forge_file(data, leaves=kept, openings=openings)
    yield "a-record-added", forge_file(data, leaves=(*mine.leaves, mine.leaves[-1]))
    yield "two-swapped", forge_file(data, leaves=(*mine.leaves[:-2], *mine.leaves[:-3:-1]))
    yield "an-opening-left-out", forge_file(data, openings=mine.openings[:-1])
    yield (
        "openings-swapped",
        forge_file(data, openings=(*mine.openings[:-2], *mine.openings[:-3:-1])),
    )
    yield "linked-file-left-out", forge(data, files=(mine,))
    yield "no-summary", forge(data, summary=replaced(told.summary, data=None))
    yield "another-answer", forge(data, answer_hash=bytes(32))
    yield "another-role", forge(data, question=replaced(question, role="client"))
    yield "a-domain-that-is-none", forge(data, question=replaced(question, domain="magic"))
    yield (
        "as-of-later-than-the-seal",
        forge(data, question=replaced(question, as_of=question.as_of + 1)),
    )


def bundles() -> list[Case]:
    """Bundles with the answer that they prove, and bundles that a liar would make."""
    cases: list[Case] = []
    for name, world, data in _good_bundles():
        policy = policy_of(world)
        found = verify_bundle(data, policy)
        assert found.answer is not None, found.steps
        cases.append(
            {
                "name": name,
                "policy": policy.format(),
                "bundle": data.hex(),
                "steps": [[step.name, step.detail] for step in found.steps],
                "answer": encode(found.answer).hex(),
                "answer_hash": answer_hash(found.answer).hex(),
                "points": found.answer.points,
                "probability_q16": found.answer.probability_q16,
            }
        )
    world, partly = linked_world(), erased_world()
    bad = [(policy_of(world), each) for each in _bad_bundles(world, bundle_of(world))]
    bad += [(policy_of(partly), each) for each in bad_erasures(partly, bundle_of(world))]
    bad += [(policy_by_hand(), each) for each in impossible_erasures()]
    for policy, (name, data) in bad:
        found = verify_bundle(data, policy)
        assert not found.valid, name
        refused = found.steps[-1].name
        cases.append(
            {"name": name, "policy": policy.format(), "bundle": data.hex(), "refused": refused}
        )
    return cases


# --- scores ---


def scores() -> list[Case]:
    """Files, tally, parameters and question in bytes, with the answer's bytes."""
    cases: list[Case] = []
    number = 0
    while len(cases) < SCORES:
        number += 1
        case, is_thin = _score_case(f"seed-{number}", random_case(number))
        thin = sum("points" in each and each["points"] is None for each in cases)
        if case is not None and not (is_thin and thin >= SCORES // 3):
            cases.append(case)
    number = 0
    while len(cases) < SCORES + ERASED_SCORES:
        number += 1
        made, _ = erased_case(number)
        case, is_thin = _score_case(f"erased-seed-{number}", made)
        erased = any(fact.record is None for file in made.files for fact in file.facts)
        if case is not None and erased and not is_thin:
            cases.append(case)
    return cases


def _score_case(name: str, made: RandomCase) -> tuple[Case | None, bool]:
    """A case with its answer, or what it is refused with; and whether the answer is thin."""
    case: Case = {"name": name, **made.as_json()}
    if len(str(case)) > SCORE_BYTES_MAX:
        return None, False
    try:
        answer = score(made.files, made.tally, made.parameters, made.question)
    except InvalidInput as error:
        case["refused"] = type(error).__name__
        return case, False
    case |= {
        "answer": encode(answer).hex(),
        "points": answer.points,
        "probability_q16": answer.probability_q16,
        "interval_q16": [answer.low_q16, answer.high_q16],
    }
    return case, answer.thin_file
