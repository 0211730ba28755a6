"""Changes of the model: each rule, what binds at an epoch's end, and what stays as it was."""

from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from ledger.activating import read_in_force
from ledger.batch import commitment
from ledger.bundle import verify_bundle
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.bureau.reading import answer, ask
from ledger.bureau.standing import Annotation
from ledger.encoding import decode, encode
from ledger.epochs import policy_of
from ledger.erasing import residue_of
from ledger.errors import StoreDamaged
from ledger.files import read_leaf
from ledger.genesis import FIRST_BOUNDS
from ledger.governance_rows import ChangeRow
from ledger.governing import read_changes
from ledger.hashing import sha256
from ledger.parameters import Parameters, parameters_hash
from ledger.records import decode_record
from ledger.records.engagement import EngagementOutcome
from ledger.replay import ReaderSource, Replay, replay
from ledger.rows import BlockRow, block_key, need_row, parameters_key
from ledger.rules import RULES
from ledger.snapshot import state_rows
from ledger.state import load
from ledger.store import BLOCK, MemoryStore, after
from ledger.trust import ReplayOn, trust_of
from tests.ledger.certify import certify
from tests.ledger.eraser import Eraser, findings
from tests.ledger.members import Members, party
from tests.ledger.test_bundle import bundle_of
from tests.ledger.world import DAY, World, genesis_of, handle

EPOCH_BLOCKS = 8
SLOW = replace(FIRST_MODEL, id="slow", half_life_days=400, points_base=510)
STERN = replace(FIRST_MODEL, id="stern", standing_half=20 * 65_536, thin_evidence=0)


def members_of(count: int) -> Members:
    bounds = replace(FIRST_BOUNDS, epoch_blocks=EPOCH_BLOCKS)
    return Members(World(genesis_of(count, bounds)))


@pytest.fixture
def four() -> Members:
    return members_of(4)


def bring(members: Members, model: Model) -> bytes:
    """This model comes into force at the epoch's end; the change."""
    change = members.ask(1, members.activate(1, model))
    members.agree(change, 2, 3)
    members.end()
    assert members.world.state.parameters.model == model
    return change


def change_of(members: Members, change: bytes) -> ChangeRow:
    [row] = [row for _, row in read_changes(members.world.store) if row.commitment == change]
    return row


def sealed(world: World, height: int) -> bytes:
    """The hash of the parameters that a block's seal names."""
    return need_row(world.store, BlockRow, block_key(height)).seal.parameters


# --- binding ---


def test_a_model_comes_into_force_with_the_next_epoch(four: Members) -> None:
    world = four.world
    before = world.state.parameters
    change = four.ask(1, four.activate(1, SLOW))
    four.agree(change, 2)
    assert not world.state.change_waits
    four.agree(change, 3)
    assert world.state.change_waits
    assert not world.state.candidates
    assert four.end() == (1, 2, 3, 4)
    end = world.state.height
    assert not world.state.change_waits
    assert sealed(world, end) == parameters_hash(before), "the epoch ends under the old one"
    following = replace(before, model=SLOW)
    assert world.state.parameters == following
    assert world.state.parameters_hash == parameters_hash(following)
    assert world.state.vocabulary.model == SLOW
    world.block()
    assert sealed(world, end + 1) == parameters_hash(following)
    row = change_of(four, change)
    assert (row.bound, row.void, row.model, row.number) == (2, None, SLOW, 1)
    for parameters in (before, following):
        key = parameters_key(parameters_hash(parameters))
        assert need_row(world.store, Parameters, key) == parameters, "all are kept"


def test_of_two_the_one_that_was_complete_first_binds_and_the_other_is_void(four: Members) -> None:
    first = four.ask(1, four.activate(1, SLOW))
    second = four.ask(2, four.activate(2, STERN))
    four.agree(second, 3, 4)
    four.agree(first, 3, 4)
    four.end()
    assert four.world.state.parameters.model == STERN
    assert (change_of(four, second).bound, change_of(four, first).void) == (2, 1)
    assert four.say(2, four.approve(2, first)) == ["change-closed"]
    assert four.end() == (1, 2, 3, 4)
    assert four.world.state.parameters.model == STERN


def test_what_nobody_has_approved_is_void_as_well_once_another_is_in_force(four: Members) -> None:
    idle = four.ask(4, four.activate(4, SLOW))
    bring(four, STERN)
    assert change_of(four, idle).void == 1


def test_a_model_takes_no_seat(four: Members) -> None:
    """One seat of four changes at an epoch's end; the model changes besides."""
    change = four.ask(1, four.activate(1, SLOW))
    four.agree(change, 2, 3)
    four.ask(4, four.leave(4))
    four.ask(3, four.leave(3))
    assert four.end() == (1, 2, 3)
    assert four.world.state.parameters.model == SLOW
    assert four.end() == (1, 2)


def test_a_proposal_outlasts_its_proposers_membership(four: Members) -> None:
    change = four.ask(4, four.activate(4, SLOW))
    four.ask(4, four.leave(4))
    assert four.end() == (1, 2, 3)
    four.agree(change, 1, 2)
    four.end()
    assert four.world.state.parameters.model == FIRST_MODEL, "who left counts no more"
    four.agree(change, 3)
    four.end()
    assert four.world.state.parameters.model == SLOW


def test_it_lapses_like_any_change(four: Members) -> None:
    change = four.ask(1, four.activate(1, SLOW))
    four.world.time += 31 * DAY
    for number in four.numbers:
        four.world.put(number, [])
    four.end()
    assert change_of(four, change).void == 1
    assert four.say(1, four.activate(1, SLOW)) == [""], "and may be asked for again"


def test_nobody_need_be_ready_for_it(four: Members) -> None:
    change = four.ask(1, four.activate(1, SLOW))
    assert four.say(1, four.ready(party(1), change)) == ["not-awaited"]


def test_a_model_that_was_in_force_may_come_back(four: Members) -> None:
    bring(four, SLOW)
    bring(four, FIRST_MODEL)
    found = read_in_force(four.world.store, four.world.genesis.foundation.parameters)
    assert [(each.epoch, each.parameters.model.id) for each in found] == [
        (1, FIRST_MODEL.id),
        (2, "slow"),
        (3, FIRST_MODEL.id),
    ]


# --- rules ---


def test_rules_of_the_model_alone(four: Members) -> None:
    wrong = replace(SLOW, points_base=SLOW.points_max)
    beyond = replace(SLOW, half_life_days=10**6)
    signed = four.submit(decode_record(four.activate(1, SLOW).record), party(1).keys["root"])
    assert four.say(1, four.activate(1, wrong), four.activate(1, beyond), signed) == [
        "bad-model",
        "malformed",
        "signature-count",
    ]


def test_rules_of_the_ledger(four: Members) -> None:
    assert four.say(2, four.activate(1, SLOW)) == ["foreign-platform"]
    assert four.say(1, four.activate(1, SLOW, bytes(32))) == ["model-replaced"]
    assert four.say(1, four.activate(1, FIRST_MODEL)) == ["model-in-force"]
    other = replace(SLOW, id=FIRST_MODEL.id)
    assert four.say(1, four.activate(1, other)) == ["model-id-taken"]
    four.ask(1, four.activate(1, SLOW))
    assert four.say(2, four.activate(2, SLOW)) == ["activation-exists"]
    same_id = replace(SLOW, half_life_days=401)
    assert four.say(2, four.activate(2, same_id)) == [""], "only what was in force has its id"
    assert four.say(5, four.activate(5, STERN)) == ["not-a-member"]
    assert {"model-replaced", "bad-model", "activation-exists"} <= RULES.keys()


def test_an_id_names_one_model_for_ever(four: Members) -> None:
    old = four.world.state.parameters_hash
    bring(four, SLOW)
    other = replace(SLOW, half_life_days=401)
    assert four.say(1, four.activate(1, other)) == ["model-id-taken"]
    bring(four, STERN)
    assert four.say(1, four.activate(1, other)) == ["model-id-taken"]
    assert four.say(1, four.activate(1, SLOW, old)) == ["model-replaced"]
    assert four.say(1, four.activate(1, SLOW)) == [""]


def test_one_that_asks_too_often_gives_up_its_oldest(four: Members) -> None:
    models = [replace(SLOW, id=f"m{nth}") for nth in range(17)]
    changes = [four.ask(1, four.activate(1, each)) for each in models]
    assert change_of(four, changes[0]).void is not None
    assert all(change_of(four, each).void is None for each in changes[1:8])


# --- what was, stays ---


def peopled() -> Members:
    members = members_of(4)
    world = members.world
    world.run(world.register("w", key=True), world.register("c", key=True, assurance="document"))
    for n in range(4):
        world.run(world.open(f"e{n}"))
        world.time += 1
        world.run(world.outcome(f"e{n}"), world.rating(f"e{n}"))
        world.time += 40 * DAY
    return members


def test_answers_are_by_the_model_of_their_checkpoint() -> None:
    members = peopled()
    world = members.world
    policy = policy_of(world.genesis.foundation.origin, world.state.validators)
    old = certify(world)
    question = ask(world.store, old, 1, handle("w"))
    before, bundle = answer(world.store, old, question), bundle_of(world, certified=old)
    assert before.model == FIRST_MODEL.id
    bring(members, SLOW)
    at_end = certify(world)
    assert answer(world.store, at_end, question).model == FIRST_MODEL.id
    world.block()
    new = certify(world)
    after_it = answer(world.store, new, question)
    assert after_it.model == "slow"
    assert after_it.points != before.points
    assert answer(world.store, old, question) == before, "the old one is answered as ever"
    for data, model in ((bundle, FIRST_MODEL.id), (bundle_of(world, certified=new), "slow")):
        found = verify_bundle(data, policy)
        assert found.valid, found.steps
        assert found.answer is not None
        assert found.answer.model == model
    assert bundle_of(world, certified=old) == bundle, "byte for byte"


def annotation_of(world: World, log_index: int) -> Annotation:
    data = read_leaf(world.store, log_index).annotation
    return decode(Annotation, data, bytes_max=64, what="annotation")


def test_annotations_are_history_and_later_ones_are_by_the_new_model() -> None:
    members = peopled()
    world = members.world
    world.run(world.open("a"), world.open("b"))
    world.time += 1
    [(_, early, _)] = world.run(world.outcome("a")).records
    assert early is not None
    written = annotation_of(world, early)
    bring(members, STERN)
    world.time += 1
    [(_, late, _)] = world.run(world.outcome("b")).records
    assert late is not None
    regard = FIRST_MODEL.attested_bonus
    assert written.standing_q16 == regard * 65_536 // (regard + FIRST_MODEL.standing_half)
    stern = regard * 65_536 // (regard + STERN.standing_half)
    assert annotation_of(world, late).standing_q16 == stern != written.standing_q16
    assert annotation_of(world, early) == written


def test_erasures_after_a_change_of_the_model_leave_what_execution_made() -> None:
    members = peopled()
    world = members.world
    bring(members, replace(FIRST_MODEL, id="none", newcomer_results=0))
    node = Eraser(world)
    assert not findings(world)
    node.run(world.erasure("w"))
    while world.state.erasing:
        node.block()
    said = []
    for lane, height, position, erasure in node.waiting:
        residue = residue_of(world.store, world.state.vocabulary, (lane, height, position), erasure)
        record = decode_record(residue.stand_in)
        if isinstance(record, EngagementOutcome):
            said.append(record.status)
    assert said == ["completed"] * 4
    node.destroy()
    assert not findings(world)


# --- restart, replay, snapshot ---


def test_a_restart_at_the_epochs_end_and_behind_it(four: Members) -> None:
    world = four.world
    change = four.ask(1, four.activate(1, SLOW))
    four.agree(change, 2, 3)
    four.end()
    for _ in range(3):
        loaded = load(world.store, 16)
        assert (loaded.parameters, loaded.parameters_hash, loaded.vocabulary) == (
            world.state.parameters,
            world.state.parameters_hash,
            world.state.vocabulary,
        )
        world.state = loaded
        world.block()


def test_parameters_that_are_lost_or_false_are_found_at_the_start(four: Members) -> None:
    world = four.world
    first, old = world.state.parameters, world.state.parameters_hash
    bring(four, SLOW)
    bring(four, STERN)
    slow = parameters_key(parameters_hash(replace(first, model=SLOW)))
    for key in (parameters_key(old), slow, parameters_key(world.state.parameters_hash)):
        held = world.store.get(key)
        for false in (None, encode(replace(first, rules_version=7))):
            world.store.write({key: false})
            with pytest.raises(StoreDamaged, match="parameters"):
                load(world.store, 16)
        world.store.write({key: held})
    load(world.store, 16)


def test_a_change_that_the_seals_deny_is_found_at_the_start(four: Members) -> None:
    world = four.world
    bring(four, SLOW)
    [(log_index, row)] = read_changes(world.store)
    for epoch in (3, None):
        row.bound = epoch
        world.store.write({b"Ac" + log_index.to_bytes(8): encode(row)})
        with pytest.raises(StoreDamaged):
            load(world.store, 16)


@pytest.mark.parametrize("until", [1, EPOCH_BLOCKS, EPOCH_BLOCKS + 1, 3 * EPOCH_BLOCKS])
def test_it_replays_and_an_audit_goes_on_from_anywhere(four: Members, until: int) -> None:
    world = four.world
    bring(four, SLOW)
    bring(four, STERN)
    bring(four, FIRST_MODEL)
    four.say(1, four.activate(1, replace(SLOW, half_life_days=3)))
    source = ReaderSource(world.store)
    replayed = replay(world.genesis, source, stored=world.store)
    assert [finding for step in replayed for finding in step.findings] == []
    store = MemoryStore()
    begun = Replay(world.genesis, source, None, store)
    assert not any(step.findings for step in begun.steps(until))
    trust = trust_of(begun, policy_of(world.genesis.foundation.origin, world.state.validators))
    store.write({key: None for key, _ in store.scan(BLOCK, after(BLOCK))})
    more = ReplayOn(
        world.genesis, source, stored=None, store=store, trust=trust, index=begun.state.index
    )
    assert not any(step.findings for step in more.steps(None))
    assert more.state.parameters == world.state.parameters


def test_a_model_that_no_quorum_approved_is_found(four: Members) -> None:
    """Seals that name other parameters than the changes lead to are not what execution yields."""
    world = four.world
    world.block()
    other = replace(world.state.parameters, model=SLOW)
    world.state = with_(world.state, parameters_hash=sha256(encode(other)))
    world.block()
    kinds = {
        each.kind
        for step in replay(world.genesis, ReaderSource(world.store))
        for each in step.findings
    }
    assert kinds == {"root"}


def test_a_snapshot_holds_all_parameters_and_the_changes(four: Members) -> None:
    world = four.world
    bring(four, SLOW)
    keys = {key for key, _ in state_rows(world.store)}
    for model in (FIRST_MODEL, SLOW):
        parameters = replace(world.state.parameters, model=model)
        assert parameters_key(parameters_hash(parameters)) in keys
        assert b"Am" + model.id.encode() in keys


def test_a_record_names_its_change(four: Members) -> None:
    said = four.activate(1, SLOW)
    assert four.ask(1, said) == commitment(said)
