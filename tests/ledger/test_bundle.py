"""Bundles: built from a store, verified from their bytes alone, refused after any change."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bundle import build_bundle, decode_bundle, verify_bundle
from ledger.bundle_form import FileProof
from ledger.bundle_verify import show_time
from ledger.bureau.reading import FILE_LEAVES_MAX, answer, ask, is_read
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.genesis import FIRST_BOUNDS
from ledger.note import ED25519, Verifier
from ledger.parameters import FIRST_DOMAINS, Domain
from tests.ledger.certify import certify, policy_of
from tests.ledger.world import DAY, World, genesis_of, handle, key_of

BOUNDS = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=4)


def small_world(*, platforms=4, blocks=2):
    world = World(genesis_of(platforms, BOUNDS))
    world.run(
        world.register("w", key=True),
        world.register("c", assurance="document"),
        world.register("stranger"),
    )
    world.run(world.register("w2", platform=2, key=True), world.register("c2", 2), lane=2)
    for n in range(blocks):
        world.run(world.open(f"e{n}"), world.open(f"s{n}", worker="stranger"))
        world.run(world.outcome(f"e{n}"), world.rating(f"e{n}"))
    return world


def linked_world():
    world = small_world()
    world.run(world.link((1, "w"), (2, "w2")))
    world.run(world.open("x", "w2", "c2", platform=2), lane=2)
    late = world.outcome("x", platform=2, status="late", fault="worker", lateness_band=2)
    world.run(late, world.rating("x", "c2", platform=2, value=1), lane=2)
    return world


def bundle_of(world, name="w", platform=1, certified=None, **other):
    certified = certified or certify(world)
    question = ask(world.store, certified, platform, handle(name), **other)
    return build_bundle(world.store, world.state.index, certified, question)


def forge(data, **change):
    """The bundle with other parts, in canonical bytes."""
    return encode(msgspec.structs.replace(decode_bundle(data), **change))


def forge_file(data, at=0, **change):
    files = list(decode_bundle(data).files)
    files[at] = msgspec.structs.replace(files[at], **change)
    return forge(data, files=tuple(files))


def failed(data, world):
    """The step that a verification ends with, and why."""
    found = verify_bundle(data, policy_of(world))
    assert not found.valid
    assert found.answer is None
    assert [step.ok for step in found.steps].count(False) == 1
    return found.steps[-1].name, found.steps[-1].detail


# --- what holds ---


@pytest.mark.parametrize("platforms", [1, 2, 4])
def test_a_bundle_proves_the_answer_that_the_node_gives(platforms):
    world = World(genesis_of(platforms, BOUNDS))
    world.run(world.register("w"), world.register("c"))
    world.run(world.open("a"), world.open("b"))
    world.run(world.outcome("a"), world.outcome("b"))
    certified = certify(world)
    question = ask(world.store, certified, 1, handle("w"))
    data = build_bundle(world.store, world.state.index, certified, question)
    found = verify_bundle(data, policy_of(world))
    assert found.valid, found.steps
    assert found.answer == answer(world.store, certified, question)
    assert found.answer.points is not None
    assert found.seal_time == world.state.time == found.answer.question.as_of
    assert (found.size, found.chain, found.epoch) == (world.state.log.size, world.chain, 1)
    assert len(found.steps) == 10


def test_linked_files_are_all_there_whichever_is_asked_about():
    world = linked_world()
    for name, platform in (("w", 1), ("w2", 2)):
        found = verify_bundle(bundle_of(world, name, platform), policy_of(world))
        assert found.valid, found.steps
        assert found.answer.evidence.files == 2
        assert (found.answer.evidence.good, found.answer.evidence.bad) == (2, 1)


def test_a_clients_score_is_proven_too():
    world = small_world()
    found = verify_bundle(bundle_of(world, "c", role="client"), policy_of(world))
    assert found.valid, found.steps
    assert found.answer.evidence.good == 2


def test_a_subject_with_an_empty_record_and_a_domain_are_proven():
    world = small_world()
    found = verify_bundle(bundle_of(world, "w2", 2, domain="care"), policy_of(world))
    assert found.valid, found.steps
    assert found.answer.thin_file


def test_the_summary_is_absent_before_an_epochs_end_and_present_after():
    world = small_world(blocks=0)
    assert decode_bundle(bundle_of(world)).summary.data is None
    while world.state.height < 5:
        world.run(world.open(f"n{world.state.height}"))
    data = bundle_of(world)
    assert decode_bundle(data).summary.data is not None
    assert verify_bundle(data, policy_of(world)).valid


def test_an_older_checkpoint_within_the_window_can_be_proven():
    world = small_world()
    certified = certify(world)
    before = bundle_of(world, certified=certified)
    world.run(world.open("later"))
    world.run(world.outcome("later", status="no-show", fault="worker", acceptance="unknown"))
    assert bundle_of(world, certified=certified) == before
    assert verify_bundle(before, policy_of(world)).valid


def test_any_log_line_and_any_quorum_of_the_policy_will_do():
    world = small_world()
    for log, cosigners in ((4, (2, 3, 4)), (2, (1, 2, 4))):
        data = bundle_of(world, certified=certify(world, log=log, cosigners=cosigners))
        assert verify_bundle(data, policy_of(world)).valid


def test_as_of_may_lie_before_the_seal_and_is_shown():
    world = small_world()
    data = bundle_of(world, as_of=world.state.time - 1)
    found = verify_bundle(data, policy_of(world))
    assert found.valid, found.steps
    assert "not the seal's time" in found.steps[-1].detail
    with pytest.raises(InvalidInput, match="as_of"):
        bundle_of(world, as_of=world.state.time + 1)


def test_an_old_seal_is_stale_and_still_valid():
    world = small_world()
    data, policy = bundle_of(world), policy_of(world)
    now = world.state.time
    assert not verify_bundle(data, policy, now_ms=now + 30 * DAY).stale
    old = verify_bundle(data, policy, now_ms=now + 30 * DAY + 1)
    assert (old.valid, old.stale) == (True, True)
    assert verify_bundle(data, policy, now_ms=now + 2 * DAY, max_age_days=1).stale


def test_an_old_answer_under_a_new_seal_is_stale():
    """A server may choose `as_of`, and so leave out what came after it: its reader is told."""
    world = small_world()
    policy, now = policy_of(world), world.state.time
    old = verify_bundle(bundle_of(world, as_of=now - 31 * DAY), policy, now_ms=now)
    assert (old.valid, old.stale) == (True, True)
    assert not verify_bundle(bundle_of(world), policy, now_ms=now).stale


def test_nobody_and_nowhere_are_refused():
    world = small_world()
    with pytest.raises(InvalidInput, match="has no subject"):
        bundle_of(world, "nobody")
    with pytest.raises(InvalidInput, match="no domain"):
        bundle_of(world, domain="magic")
    certified = certify(world)
    world.run(world.register("later"))
    with pytest.raises(InvalidInput, match="has no subject"):
        bundle_of(world, "later", certified=certified)


# --- any change ---


@pytest.mark.parametrize("make", [linked_world, small_world], ids=["linked", "alone"])
def test_a_change_of_any_one_byte_is_refused(make):
    world = make()
    policy = policy_of(world)
    data = bundle_of(world, as_of=world.state.time - 1)
    assert verify_bundle(data, policy).valid
    for at in range(len(data)):
        for flip in (1 << at % 8, 0xFF):
            changed = bytearray(data)
            changed[at] ^= flip
            assert not verify_bundle(bytes(changed), policy).valid, f"byte {at}"


def test_a_byte_more_or_less_is_refused():
    world = small_world()
    data = bundle_of(world)
    assert failed(data + b"\x00", world)[0] == "form"
    assert failed(data[:-1], world)[0] == "form"
    assert failed(b"", world)[0] == "form"


def test_another_networks_policy_is_refused():
    data, policy = bundle_of(small_world()), policy_of(small_world())
    assert verify_bundle(data, policy).valid
    strange = Verifier(policy.origin, ED25519, key_of("strange").public)
    for other in (
        replace(policy, log_keys=(strange,)),
        replace(policy, log_keys=policy.log_keys[1:]),
        replace(policy, witnesses=policy.witnesses[1:]),
        replace(policy, quorum=2),
        replace(policy, quorum=4),
    ):
        found = verify_bundle(data, other)
        assert (found.valid, found.steps[-1].name) == (False, "checkpoint")


# --- what a liar would try ---


def test_a_record_left_out_added_or_swapped_is_refused():
    world = small_world()
    data = bundle_of(world)
    [file] = decode_bundle(data).files
    kept = file.leaves[:-1]
    openings = file.openings[: sum(is_read(leaf) for leaf in kept)]
    assert failed(forge_file(data, leaves=kept, openings=openings), world)[0] == "files"
    doubled = (*file.leaves, file.leaves[-1])
    more = (*file.openings, file.openings[-1])
    assert failed(forge_file(data, leaves=doubled, openings=more), world)[0] == "files"
    swapped = (*file.leaves[:-2], file.leaves[-1], file.leaves[-2])
    assert failed(forge_file(data, leaves=swapped), world)[0] == "files"
    turned = (*file.openings[:-2], file.openings[-1], file.openings[-2])
    assert failed(forge_file(data, openings=turned), world)[0] == "openings"


def test_an_opening_left_out_added_or_altered_is_refused():
    world = small_world()
    data = bundle_of(world)
    [file] = decode_bundle(data).files
    assert failed(forge_file(data, openings=file.openings[:-1]), world)[0] == "openings"
    more = (*file.openings, file.openings[-1])
    assert failed(forge_file(data, openings=more), world)[0] == "openings"
    last = file.openings[-1]
    for change in ({"annotation": b"\x93\x01\xcd\xff\xff\x00"}, {"signatures": bytes(64)}):
        altered = (*file.openings[:-1], msgspec.structs.replace(last, **change))
        assert failed(forge_file(data, openings=altered), world)[0] == "openings"


def test_a_record_hidden_behind_a_type_that_is_not_read_is_refused():
    """The leaf's type decides what must be opened, and the file's head covers it."""
    world = small_world()
    data = bundle_of(world)
    [file] = decode_bundle(data).files
    last = max(at for at, leaf in enumerate(file.leaves) if is_read(leaf))
    closed = msgspec.structs.replace(file.leaves[last], type=1)
    assert not is_read(closed)
    leaves = (*file.leaves[:last], closed, *file.leaves[last + 1 :])
    assert failed(forge_file(data, leaves=leaves, openings=file.openings[:-1]), world)[0] == "files"


def test_one_validator_of_four_cannot_certify_alone():
    """It holds one log key and one cosigner, and honest notes of other sizes."""
    world = small_world()
    older = decode_bundle(bundle_of(world, certified=certify(world, cosigners=(2, 3, 4))))
    world.run(world.open("bad"))
    newest = decode_bundle(bundle_of(world, certified=certify(world, log=1, cosigners=(1, 2, 3))))
    text, own = newest.checkpoint.split(b"\n\n")
    log, mine, *_ = own.splitlines(keepends=True)
    old_lines = older.checkpoint.split(b"\n\n")[1].splitlines(keepends=True)[1:]
    for lines in ([log, mine, mine, mine], [log, mine, *old_lines[:2]], [log, *old_lines]):
        note = text + b"\n\n" + b"".join(lines)
        assert failed(forge(encode(newest), checkpoint=note), world)[0] == "checkpoint"


def test_a_linked_file_left_out_or_added_is_refused():
    world = linked_world()
    data = bundle_of(world)
    files = decode_bundle(data).files
    assert len(files) == 2
    step, why = failed(forge(data, files=files[:1]), world)
    assert (step, "left out" in why) == ("links", True)
    [stranger] = decode_bundle(bundle_of(world, "stranger")).files
    three = tuple(sorted((*files, stranger), key=lambda f: (f.platform, f.handle)))
    assert failed(forge(data, files=three), world) == (
        "links",
        "a file is there that no link leads to",
    )
    assert failed(forge(data, files=files[::-1]), world)[0] == "form"
    assert failed(forge(data, files=(files[0], files[0])), world)[0] == "form"


@pytest.mark.parametrize("files", [1, 2])
def test_more_leaves_than_a_closure_may_have_are_refused_before_they_are_hashed(files):
    world = linked_world()
    data = bundle_of(world)
    leaf = decode_bundle(data).files[0].leaves[0]
    for at in range(files):
        data = forge_file(data, at, leaves=(leaf,) * (FILE_LEAVES_MAX // files + 1))
    assert failed(data, world)[0] == "form"


def test_an_older_file_does_not_pass_under_a_newer_checkpoint():
    world = small_world()
    old = bundle_of(world)
    world.run(world.open("bad"))
    world.run(world.outcome("bad", status="no-show", fault="worker", acceptance="unknown"))
    new = decode_bundle(bundle_of(world))
    assert failed(forge(old, checkpoint=new.checkpoint), world)[0] == "seal"
    newer_seal = {"checkpoint": new.checkpoint, "inclusion": new.inclusion, "seal": new.seal}
    assert failed(forge(old, **newer_seal), world)[0] == "block"
    assert failed(forge(old, **newer_seal, block=new.block), world)[0] == "files"


def test_other_parameters_are_refused():
    world = small_world()
    data = bundle_of(world)
    kind = world.genesis.foundation.parameters
    kinder = msgspec.structs.replace(kind, model=msgspec.structs.replace(kind.model, floor_bad=0))
    assert failed(forge(data, parameters=encode(kinder)), world)[0] == "parameters"
    more = msgspec.structs.replace(kind, domains=(*FIRST_DOMAINS, Domain("magic", "")))
    assert failed(forge(data, parameters=encode(more)), world)[0] == "parameters"


def test_another_epoch_or_chain_is_refused():
    world = small_world()
    data = bundle_of(world)
    block = decode_bundle(data).block
    other = msgspec.structs.replace(block, epoch=block.epoch + 1)
    assert failed(forge(data, block=other), world)[0] == "block"
    assert failed(forge(data, chain=bytes(32)), world)[0] == "block"


def test_another_summary_or_none_is_refused():
    world = small_world()
    data = bundle_of(world)
    summary = decode_bundle(data).summary
    assert summary.data is not None
    none = msgspec.structs.replace(summary, data=None)
    assert failed(forge(data, summary=none), world)[0] == "summary"
    assert failed(forge(data, summary=msgspec.structs.replace(none, proof=b"")), world)[0] == (
        "summary"
    )
    other = msgspec.structs.replace(summary, data=b"\x95\x00\x00\x00\x00\x00")
    assert failed(forge(data, summary=other), world)[0] == "summary"


def test_another_answer_or_question_is_refused():
    world = small_world()
    data = bundle_of(world)
    assert failed(forge(data, answer_hash=bytes(32)), world)[0] == "score"
    question = decode_bundle(data).question
    for change in ({"role": "client"}, {"domain": "care"}, {"as_of": question.as_of - 1}):
        other = msgspec.structs.replace(question, **change)
        assert failed(forge(data, question=other), world)[0] == "score"
    later = msgspec.structs.replace(question, as_of=question.as_of + 1)
    assert "lies behind" in failed(forge(data, question=later), world)[1]
    unknown = msgspec.structs.replace(question, domain="magic")
    assert "no domain magic" in failed(forge(data, question=unknown), world)[1]
    elsewhere = msgspec.structs.replace(question, handle=handle("c"))
    assert failed(forge(data, question=elsewhere), world)[0] == "form"


def test_too_few_too_many_and_strange_cosignatures_are_refused():
    world = small_world()
    for cosigners in ((1, 2), (1, 2, 3, 4), (1, 1, 2), (2, 1, 3)):
        data = bundle_of(world, certified=certify(world, cosigners=cosigners))
        assert failed(data, world)[0] == "checkpoint"


def test_a_file_that_is_not_in_the_index_is_refused():
    world = small_world()
    data = bundle_of(world)
    ghost = FileProof(1, handle("ghost"), (), (), decode_bundle(data).files[0].proof)
    question = msgspec.structs.replace(decode_bundle(data).question, handle=handle("ghost"))
    assert failed(forge(data, files=(ghost,), question=question), world)[0] == "files"


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_shown_by_the_calendar(time_ms):
    expected = datetime.fromtimestamp(time_ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert show_time(time_ms) == expected.rjust(23, "0")
    assert show_time(2**53 - 1)
