"""Bundles in the browser's verifier: the same verdict, step and words as the ledger's.

No change of a byte passes.
"""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest

from ledger.bundle import decode_bundle, verify_bundle
from ledger.bundle_form import FileProof
from ledger.bureau.reading import is_read
from ledger.encoding import encode
from ledger.note import ED25519, Verifier
from ledger.parameters import FIRST_DOMAINS, Domain
from ledger.policy import Policy
from tests.ledger.certify import certify, policy_of
from tests.ledger.test_bundle import bundle_of, forge, forge_file, linked_world, small_world
from tests.ledger.world import DAY, World, handle, key_of
from tests.node.web.js.in_node import in_node, needs_node

pytestmark = needs_node

Given = tuple[bytes, Policy]


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


@pytest.fixture(scope="module")
def linked() -> World:
    return linked_world()


def in_both(cases: Iterable[Given]) -> list[tuple[bool, str]]:
    """What both implementations say: whether it is valid, and the last step. They must agree."""
    given = list(cases)
    told = in_node(
        "bundles",
        cases=[{"bundle": data.hex(), "policy": policy.format()} for data, policy in given],
    )
    verdicts = []
    for (data, policy), found in zip(given, told, strict=True):
        ours = verify_bundle(data, policy)
        steps = [(step.name, step.ok) for step in ours.steps]
        assert [(step["name"], step["ok"]) for step in found["steps"]] == steps
        held = [step.detail for step in ours.steps if step.ok]
        assert [step["detail"] for step in found["steps"] if step["ok"]] == held
        assert found["valid"] == ours.valid
        if ours.answer is not None:
            assert found["answer"] == encode(ours.answer).hex()
            assert found["points"] == ours.answer.points
            assert found["probability"] == ours.answer.probability_q16
            assert (found["sealTime"], found["size"]) == (ours.seal_time, str(ours.size))
            assert (found["chain"], found["epoch"]) == (ours.chain.hex(), ours.epoch)
        else:
            assert found["points"] is found["answer"] is found["size"] is None
        verdicts.append((ours.valid, steps[-1][0]))
    return verdicts


def failing(world: World, *bundles: bytes) -> list[str]:
    """The steps that bundles fail at in both."""
    verdicts = in_both((data, policy_of(world)) for data in bundles)
    assert not any(valid for valid, _ in verdicts)
    return [step for _, step in verdicts]


# --- what holds ---


def test_bundles_prove_the_same_answer_in_both(small, linked):
    cases = [
        (bundle_of(small), policy_of(small)),
        (bundle_of(small, "c", role="client"), policy_of(small)),
        (bundle_of(small, "w2", 2, domain="care"), policy_of(small)),
        (bundle_of(small, "stranger"), policy_of(small)),
        (bundle_of(small, as_of=small.state.time - 1), policy_of(small)),
        (bundle_of(linked), policy_of(linked)),
        (bundle_of(linked, "w2", 2), policy_of(linked)),
        (bundle_of(small, certified=certify(small, log=4, cosigners=(2, 3, 4))), policy_of(small)),
    ]
    early = small_world(blocks=0)
    assert decode_bundle(bundle_of(early)).summary.data is None
    cases.append((bundle_of(early), policy_of(early)))
    for platforms in (1, 2, 7):
        world = small_world(platforms=max(2, platforms))
        cases.append((bundle_of(world), policy_of(world)))
    assert in_both(cases) == [(True, "score")] * len(cases)


def test_an_old_answer_is_stale_in_both(small):
    data, policy, now = bundle_of(small), policy_of(small), small.state.time
    moments = [None, now + 30 * DAY, now + 30 * DAY + 1]
    cases = [
        {"bundle": data.hex(), "policy": policy.format(), "nowMs": moment} for moment in moments
    ]
    expected = [verify_bundle(data, policy, now_ms=moment).stale for moment in moments]
    assert [found["stale"] for found in in_node("bundles", cases=cases)] == expected
    assert expected == [False, False, True]


# --- any change ---


@pytest.mark.parametrize("make", ["alone", "linked", "client"])
def test_a_change_of_any_one_byte_is_refused(make, small, linked):
    world = linked if make == "linked" else small
    asked = {"linked": {}, "alone": {"as_of": world.state.time - 1}, "client": {"name": "c"}}[make]
    if make == "client":
        asked["role"] = "client"
    data = bundle_of(world, **asked)
    found = in_node("mutations", bundle=data.hex(), policy=policy_of(world).format())
    assert found["whole"]
    assert found["tried"] == 2 * len(data)
    assert found["accepted"] == []
    assert set(found["steps"]) >= {"form", "checkpoint", "seal", "block", "files", "openings"}


def test_both_fail_at_the_same_step_for_every_changed_byte(small):
    data, policy = bundle_of(small), policy_of(small)
    changed = []
    for at in range(0, len(data), 3):
        copy = bytearray(data)
        copy[at] ^= 1 << at % 8
        changed.append((bytes(copy), policy))
    assert not any(valid for valid, _ in in_both(changed))


def test_a_byte_more_or_less_is_refused(small):
    data = bundle_of(small)
    assert failing(small, data + b"\0", data[:-1], data[1:], b"") == ["form"] * 4


def test_another_networks_policy_is_refused(small):
    data, policy = bundle_of(small), policy_of(small)
    strange = Verifier(policy.origin, ED25519, key_of("strange").public)
    others = [
        replace(policy, log_keys=(strange,)),
        replace(policy, log_keys=policy.log_keys[1:]),
        replace(policy, witnesses=policy.witnesses[1:]),
        replace(policy, witnesses=policy.witnesses[::-1]),
        replace(policy, quorum=2),
        replace(policy, quorum=4),
        replace(policy, quorum=0),
    ]
    verdicts = in_both((data, other) for other in others)
    assert verdicts == [(False, "checkpoint")] * len(others)


# --- what a liar would try ---


def test_records_left_out_added_or_swapped_are_refused(small):
    data = bundle_of(small)
    [file] = decode_bundle(data).files
    kept = file.leaves[:-1]
    openings = file.openings[: sum(is_read(leaf) for leaf in kept)]
    doubled, more = (*file.leaves, file.leaves[-1]), (*file.openings, file.openings[-1])
    swapped = (*file.leaves[:-2], file.leaves[-1], file.leaves[-2])
    turned = (*file.openings[:-2], file.openings[-1], file.openings[-2])
    assert (
        failing(
            small,
            forge_file(data, leaves=kept, openings=openings),
            forge_file(data, leaves=doubled, openings=more),
            forge_file(data, leaves=swapped),
            forge_file(data, leaves=swapped, openings=turned),
            forge_file(data, leaves=(), openings=()),
        )
        == ["files"] * 5
    )
    last = file.openings[-1]
    annotated = msgspec.structs.replace(last, annotation=b"\x93\x01\xcd\xff\xff\x00")
    signed = msgspec.structs.replace(last, signatures=bytes(64))
    assert (
        failing(
            small,
            forge_file(data, openings=turned),
            forge_file(data, openings=file.openings[:-1]),
            forge_file(data, openings=more),
            forge_file(data, openings=(*file.openings[:-1], annotated)),
            forge_file(data, openings=(*file.openings[:-1], signed)),
        )
        == ["openings"] * 5
    )


def test_linked_files_left_out_added_or_turned_are_refused(linked):
    data = bundle_of(linked)
    files = decode_bundle(data).files
    [stranger] = decode_bundle(bundle_of(linked, "stranger")).files
    three = tuple(sorted((*files, stranger), key=lambda file: (file.platform, file.handle)))
    assert failing(
        linked,
        forge(data, files=files[:1]),
        forge(data, files=three),
        forge(data, files=files[::-1]),
        forge(data, files=(files[0], files[0])),
        forge(data, files=files[1:]),
    ) == ["links", "links", "form", "form", "form"]


def test_an_older_file_does_not_pass_under_a_newer_checkpoint():
    world = small_world()
    old = bundle_of(world)
    world.run(world.open("bad"))
    world.run(world.outcome("bad", status="no-show", fault="worker", acceptance="unknown"))
    new = decode_bundle(bundle_of(world))
    seal = {"checkpoint": new.checkpoint, "inclusion": new.inclusion, "seal": new.seal}
    assert failing(
        world,
        forge(old, checkpoint=new.checkpoint),
        forge(old, **seal),
        forge(old, **seal, block=new.block),
    ) == ["seal", "block", "files"]


def test_other_parameters_epochs_chains_and_summaries_are_refused(small):
    data = bundle_of(small)
    told = decode_bundle(data)
    kind = small.genesis.foundation.parameters
    kinder = msgspec.structs.replace(kind, model=msgspec.structs.replace(kind.model, floor_bad=0))
    more = msgspec.structs.replace(kind, domains=(*FIRST_DOMAINS, Domain("magic", "")))
    none = msgspec.structs.replace(told.summary, data=None)
    assert failing(
        small,
        forge(data, parameters=encode(kinder)),
        forge(data, parameters=encode(more)),
        forge(data, block=msgspec.structs.replace(told.block, epoch=told.block.epoch + 1)),
        forge(data, chain=bytes(32)),
        forge(data, summary=none),
        forge(data, summary=msgspec.structs.replace(none, proof=b"")),
        forge(data, summary=msgspec.structs.replace(told.summary, data=b"\x95\0\0\0\0\0")),
    ) == [*["parameters"] * 2, *["block"] * 2, *["summary"] * 3]


def test_another_answer_or_question_is_refused(small):
    data = bundle_of(small)
    question = decode_bundle(data).question
    changes = [
        {"role": "client"},
        {"domain": "care"},
        {"domain": "magic"},
        {"as_of": question.as_of - 1},
        {"as_of": question.as_of + 1},
    ]
    asked = [forge(data, question=msgspec.structs.replace(question, **each)) for each in changes]
    elsewhere = msgspec.structs.replace(question, handle=handle("c"))
    assert failing(small, forge(data, answer_hash=bytes(32)), *asked) == ["score"] * 6
    assert failing(small, forge(data, question=elsewhere)) == ["form"]


def test_too_few_too_many_and_strange_cosignatures_are_refused(small):
    orders = [(1, 2), (1, 2, 3, 4), (1, 1, 2), (2, 1, 3), (1, 2, 2)]
    bundles = [
        bundle_of(small, certified=certify(small, cosigners=cosigners)) for cosigners in orders
    ]
    assert failing(small, *bundles) == ["checkpoint"] * 5


def test_a_file_that_is_not_in_the_index_is_refused(small):
    data = bundle_of(small)
    ghost = FileProof(1, handle("ghost"), (), (), decode_bundle(data).files[0].proof)
    question = msgspec.structs.replace(decode_bundle(data).question, handle=handle("ghost"))
    assert failing(small, forge(data, files=(ghost,), question=question)) == ["files"]
