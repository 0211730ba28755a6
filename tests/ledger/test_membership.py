"""Changes of the membership: each rule, what binds at an epoch's end, and what follows from it."""

import pytest
from msgspec.structs import replace

from ledger import binding
from ledger.batch import commitment
from ledger.binding import seats_changed_max
from ledger.bundle_verify import verify_bundle
from ledger.epochs import policy_of
from ledger.genesis import FIRST_BOUNDS
from ledger.governance_rows import ChangeRow, number_name
from ledger.governing import read_changes, read_outlook, read_taken
from ledger.membership import PURPOSES, Proofs, Validator, possession_message
from ledger.records.membership import KeyRotate, MemberPropose
from ledger.rows import ValidatorsRow, need_row, validators_key
from ledger.state import load
from tests.ledger.certify import certify
from tests.ledger.members import Members, Party, party
from tests.ledger.test_bundle import bundle_of
from tests.ledger.world import DAY, World, genesis_of, key_of

EPOCH_BLOCKS = 16


def members_of(count: int, epoch_blocks: int = EPOCH_BLOCKS) -> Members:
    bounds = replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks)
    return Members(World(genesis_of(count, bounds)))


@pytest.fixture
def four() -> Members:
    return members_of(4)


def change_of(members: Members, change: bytes) -> ChangeRow:
    rows = [row for _, row in read_changes(members.world.store) if row.commitment == change]
    [row] = rows
    return row


def validator_of(members: Members, number: int) -> Validator:
    return next(each for each in members.world.state.validators if each.number == number)


# --- join ---


def test_a_joiner_with_an_observers_number_is_refused(four: Members) -> None:
    assert four.say(1, four.propose(1, party(2**31))) == ["malformed"]
    assert four.say(1, four.propose(1, party(2**31 - 1))) == [""]


def test_a_platform_joins(four: Members) -> None:
    fifth = party(5)
    change = four.ask(1, four.propose(1, fifth))
    four.agree(change, 2)
    assert not four.world.state.candidates
    four.agree(change, 3)
    [candidate] = four.world.state.candidates
    assert (candidate.number, candidate.validator, candidate.change) == (5, fifth.validator, change)
    assert candidate.certificate == fifth.validator.certificate
    assert not candidate.is_ready
    assert not four.world.state.change_waits
    assert four.say(2, four.ready(fifth, change)) == [""]
    assert four.world.state.change_waits
    assert four.world.state.candidates[0].is_ready
    assert four.end() == (1, 2, 3, 4, 5)
    assert not four.world.state.change_waits
    assert not four.world.state.candidates
    assert change_of(four, change).bound == 2
    row = need_row(four.world.store, ValidatorsRow, validators_key(2))
    assert row.validators == four.world.state.validators
    assert need_row(four.world.store, ValidatorsRow, validators_key(1)).validators != row.validators
    assert four.say(5, four.propose(5, party(6))) == [""], "it is a member now"


def test_nobody_joins_without_being_ready_in_the_epoch(four: Members) -> None:
    fifth = party(5)
    change = four.ask(1, four.propose(1, fifth))
    assert four.say(1, four.ready(fifth, change)) == [""], "it may be ready before it is approved"
    assert four.end() == (1, 2, 3, 4)
    four.agree(change, 2, 3)
    assert not four.world.state.change_waits, "its ready was of the epoch before"
    assert four.end() == (1, 2, 3, 4)
    assert four.say(1, four.ready(fifth, change)) == [""]
    assert four.end() == (1, 2, 3, 4, 5)


def test_the_checkpoint_that_an_epoch_began_with_is_enough(four: Members) -> None:
    """Else a candidate of an idle network would wait for ever."""
    fifth = party(5)
    change = four.ask(1, four.propose(1, fifth))
    before = four.world.state
    four.agree(change, 2, 3)
    four.end()
    old = four.ready(fifth, change, size=before.size, root=before.log.root())
    assert four.say(1, four.ready(fifth, change), old) == ["", "unknown-checkpoint"]


def test_with_one_member_its_own_word_is_a_quorum() -> None:
    one = members_of(1)
    change = one.ask(1, one.propose(1, party(2)))
    assert [each.number for each in one.world.state.candidates] == [2]
    assert one.say(1, one.ready(party(2), change)) == [""]
    assert one.end() == (1, 2)


# --- remove and leave ---


def test_a_member_is_removed(four: Members) -> None:
    change = four.ask(2, four.remove(2, 4))
    four.agree(change, 1)
    assert not four.world.state.change_waits
    four.agree(change, 3)
    assert four.world.state.change_waits
    assert four.end() == (1, 2, 3)


def test_a_member_leaves(four: Members) -> None:
    four.ask(3, four.leave(3))
    assert four.world.state.change_waits
    assert four.end() == (1, 2, 4)


def test_a_set_never_gets_empty() -> None:
    two = members_of(2)
    two.ask(1, two.leave(1))
    two.ask(2, two.leave(2))
    assert two.end() == (2,)
    assert not two.world.state.change_waits, "it would empty the set"
    assert two.end() == (2,)
    change = two.ask(2, two.propose(2, party(3)))
    two.say(2, two.ready(party(3), change))
    assert two.end() == (2, 3)
    assert two.world.state.change_waits
    assert two.end() == (3,)


def test_the_last_member_does_not_leave() -> None:
    one = members_of(1)
    assert one.say(1, one.leave(1)) == ["last-member"]


# --- rotate ---


def test_a_platform_rotates_its_keys(four: Members) -> None:
    new = party(3, "new", root=key_of(3, "root"))
    change = four.ask(1, four.rotate(new))
    four.agree(change, 1, 2)
    assert [each.number for each in four.world.state.candidates] == [3]
    assert four.say(4, four.ready(new, change)) == [""]
    assert four.end() == (1, 2, 3, 4)
    assert validator_of(four, 3) == new.validator
    four.world.lane_keys[3] = new.keys["lane"]
    assert four.say(3, four.remove(3, 1)) == [""]


def test_a_new_root_key_signs_too(four: Members) -> None:
    new = party(3, "new")
    record = KeyRotate(3, four.world.time, key_of(3, "root").public, new.validator, new.proofs)
    assert four.say(
        1,
        four.submit(record, key_of(3, "root")),
        four.submit(record, new.keys["root"], key_of(3, "root")),
        four.submit(record, key_of(3, "root"), new.keys["root"]),
    ) == ["signature-count", "bad-signature", ""]


def test_a_rotation_voids_the_others_of_its_platform(four: Members) -> None:
    """A pending one, signed by a root key that may be gone, must not bind later."""
    first, second = (party(3, name, root=key_of(3, "root")) for name in ("a", "b"))
    changes = [four.ask(1, four.rotate(each)) for each in (first, second)]
    for change in changes:
        four.agree(change, 1, 2)
    four.say(1, four.ready(second, changes[1]))
    four.say(1, four.ready(first, changes[0]))
    assert four.end() == (1, 2, 3, 4)
    assert validator_of(four, 3) == second.validator, "its ready came first"
    assert change_of(four, changes[0]).void == 1
    assert four.say(1, four.approve(1, changes[0])) == ["change-closed"]


# --- rules ---


def test_who_may_ask(four: Members) -> None:
    fifth = party(5)
    assert four.say(1, four.propose(2, fifth)) == ["foreign-platform"]
    four.ask(4, four.leave(4))
    four.end()
    world = four.world
    world.time += 1
    change = four.ask(1, four.propose(1, fifth))
    # Consensus lets nobody write a lane after its platform's membership; the rules would not, too.
    assert (
        four.say(4, four.propose(4, party(6)), four.approve(4, change), four.remove(4, 1))
        == ["not-a-member"] * 3
    )


def test_names_are_new_for_ever(four: Members) -> None:
    fifth = party(5)
    four.ask(1, four.propose(1, fifth))
    sixth = party(6)
    assert four.say(1, four.propose(1, fifth)) == ["name-taken"]
    assert four.say(1, four.propose(1, party(5, "other"))) == ["name-taken"], "number"
    assert four.say(1, four.propose(1, party(7, code="p5"))) == ["name-taken"], "code"
    for purpose in ("root", "lane", "vote", "cosigner", "log"):
        keys = {**sixth.keys, purpose: key_of(1, purpose)}
        assert four.say(1, four.propose(1, with_keys(sixth, keys))) == ["name-taken"], purpose
    four.ask(2, four.leave(2))
    four.end()
    assert four.say(1, four.propose(1, party(2, "new"))) == ["name-taken"], "a member that left"


def with_keys(who: Party, keys: dict) -> Party:  # type: ignore[type-arg]
    number, code = who.number, who.validator.code
    proofs = Proofs(
        *(
            keys[each].sign(possession_message(number, code, each, keys[each].public))
            for each in PURPOSES
        )
    )
    fields = {f"{each}_key": keys[each].public for each in PURPOSES}
    return Party(replace(who.validator, **fields), proofs, keys)


def test_a_candidates_keys_and_certificate_hold(four: Members) -> None:
    fifth, sixth = party(5), party(6)
    small_order = bytes([1]) + bytes(31)
    at = four.world.time
    cases = [
        ("bad-key", replace(fifth.validator, vote_key=small_order), fifth.proofs),
        ("no-possession", fifth.validator, replace(fifth.proofs, log=sixth.proofs.log)),
        ("no-possession", replace(fifth.validator, code="p6"), fifth.proofs),
        ("no-possession", replace(fifth.validator, number=6), fifth.proofs),
        ("bad-certificate", replace(fifth.validator, certificate=b"x"), fifth.proofs),
        (
            "bad-certificate",
            replace(fifth.validator, certificate=sixth.validator.certificate),
            fifth.proofs,
        ),
    ]
    for rule, validator, proofs in cases:
        assert four.say(1, four.submit(MemberPropose(1, at, validator, proofs))) == [rule]
    twice = with_keys(fifth, {**fifth.keys, "log": fifth.keys["vote"]})
    assert four.say(1, four.propose(1, twice)) == ["keys-not-distinct"]
    link = with_keys(fifth, {**fifth.keys, "log": key_of(5, "link")})
    assert four.say(1, four.propose(1, link)) == ["keys-not-distinct"]


def test_approvals(four: Members) -> None:
    change = four.ask(1, four.propose(1, party(5)))
    assert four.say(1, four.approve(1, change)) == ["approval-exists"], "its own it has approved"
    four.agree(change, 2)
    assert four.say(2, four.approve(2, change)) == ["approval-exists"]
    assert four.say(2, four.approve(2, bytes(32))) == ["unknown-change"]
    registered = four.world.submit(four.world.register("w", 2))
    four.say(2, registered)
    assert four.say(2, four.approve(2, commitment(registered))) == ["unknown-change"]
    leaving = four.ask(4, four.leave(4))
    assert four.say(2, four.approve(2, leaving)) == ["needs-no-approval"]


def test_a_change_is_found_in_its_own_block(four: Members) -> None:
    proposed = four.propose(1, party(5))
    change = commitment(proposed)
    four.world.put(1, [proposed])
    four.world.put(2, [four.approve(2, change)])
    four.world.put(3, [four.approve(3, change)])
    assert [rule for _, _, rule in four.world.block().records] == [""] * 3
    assert [each.change for each in four.world.state.candidates] == [change]


def test_removals(four: Members) -> None:
    assert four.say(1, four.remove(1, 1), four.remove(1, 9)) == ["removes-itself", "unknown-member"]
    four.ask(1, four.remove(1, 4))
    assert four.say(2, four.remove(2, 4)) == ["removal-exists"]
    four.ask(3, four.leave(3))
    assert four.say(1, four.remove(1, 3)) == ["leaving"]
    assert four.say(3, four.leave(3)) == ["leaving"]
    rotation = four.rotate(party(3, "new", root=key_of(3, "root")))
    assert four.say(3, rotation) == ["leaving"]


def test_rotations(four: Members) -> None:
    root = key_of(3, "root")
    assert four.say(1, four.rotate(party(5, "new"))) == ["not-a-member"]
    assert four.say(1, four.rotate(party(3, "new"))) == ["key-not-registered"]
    assert four.say(1, four.rotate(party(3, "new", code="px", root=root))) == ["other-identity"]
    new = party(3, "new", root=root)
    record = KeyRotate(2, four.world.time, root.public, new.validator, new.proofs)
    assert four.say(1, four.submit(record, root)) == ["other-identity"]
    same_log = with_keys(new, {**new.keys, "log": key_of(3, "log")})
    assert four.say(1, four.rotate(same_log)) == ["name-taken"], "all keys are new"
    assert four.say(1, four.rotate(new), four.rotate(new)) == ["", "name-taken"]


def test_ready(four: Members) -> None:
    fifth, sixth = party(5), party(6)
    change = four.ask(1, four.propose(1, fifth))
    removal = four.ask(1, four.remove(1, 4))
    wrong = [
        (four.ready(fifth, bytes(32)), "unknown-change"),
        (four.ready(fifth, removal), "not-awaited"),
        (four.ready(sixth, change), "not-awaited"),
        (four.ready(sixth, change, platform=5), "not-awaited"),
        (four.ready(fifth, change, vote_key=sixth.keys["vote"].public), "bad-signature"),
        (four.ready(fifth, change, epoch=2), "wrong-epoch"),
        (four.ready(fifth, change, root=bytes(32)), "unknown-checkpoint"),
        (four.ready(fifth, change, size=3), "unknown-checkpoint"),
    ]
    for said, rule in wrong:
        assert four.say(2, said) == [rule]
    assert four.say(2, four.ready(fifth, change)) == [""]
    assert four.say(3, four.ready(fifth, change)) == ["ready-exists"]


def test_a_proposer_gives_up_its_oldest_unapproved_change(four: Members) -> None:
    changes = [four.propose(1, party(number)) for number in range(10, 26)]
    assert four.say(1, *changes) == [""] * 16
    ids = [commitment(each) for each in changes]
    four.agree(ids[0], 2, 3)
    four.ask(1, four.propose(1, party(30)))
    assert change_of(four, ids[0]).void is None, "it is approved"
    assert change_of(four, ids[1]).void == 1
    assert four.say(2, four.approve(2, ids[1])) == ["change-closed"]
    for change in ids[2:]:
        four.agree(change, 2, 3)
    last = next(row.commitment for _, row in read_changes(four.world.store) if row.number == 30)
    four.agree(last, 2, 3)
    assert four.say(1, four.propose(1, party(31))) == ["too-many-changes"]


def after_days(members: Members, days: int) -> None:
    """So much later by block time, which is a majority's time: all say something then."""
    members.world.time += days * DAY
    for number in members.numbers:
        members.world.put(number, [])
    members.world.block()


def test_what_nobody_approves_in_time_lapses_and_frees_its_names(four: Members) -> None:
    fifth = party(5)
    proposal = four.ask(1, four.propose(1, fifth))
    removal = four.ask(2, four.remove(2, 4))
    approved = four.ask(3, four.propose(3, party(6)))
    four.agree(approved, 1, 2)
    after_days(four, 29)
    assert four.end() == (1, 2, 3, 4)
    assert change_of(four, proposal).void is None
    assert four.say(2, four.propose(2, fifth)) == ["name-taken"]
    after_days(four, 1)
    assert change_of(four, proposal).void is None, "only an epoch's end decides"
    epoch = four.world.state.footing.epoch
    four.end()
    assert [change_of(four, each).void for each in (proposal, removal)] == [epoch, epoch]
    assert change_of(four, approved).void is None, "it waits for its member.ready"
    assert four.say(2, four.approve(2, proposal)) == ["change-closed"]
    assert read_taken(four.world.store, number_name(5)) is None
    assert read_taken(four.world.store, number_name(6)).number == 6
    again = four.ask(2, four.propose(2, fifth))
    assert four.say(1, four.propose(1, fifth)) == ["name-taken"], "it is taken once more"
    assert read_taken(four.world.store, number_name(5)).number == 5
    four.agree(again, 1, 3)
    assert four.say(1, four.ready(fifth, again)) == [""]
    assert 5 in four.end()


def test_the_keys_of_a_rotation_that_lapses_stay_taken(four: Members) -> None:
    new = party(2, "new", root=party(2).keys["root"])
    four.ask(1, four.rotate(new))
    after_days(four, 31)
    four.end()
    assert four.say(1, four.rotate(new)) == ["name-taken"]


def test_names_of_what_is_given_up_are_free_at_once(four: Members) -> None:
    changes = [four.propose(1, party(number)) for number in range(10, 26)]
    assert four.say(1, *changes, four.propose(1, party(30))) == [""] * 17
    assert four.say(2, four.propose(2, party(10))) == [""]
    assert four.say(2, four.propose(2, party(11))) == ["name-taken"]


# --- order and bounds ---


def test_seats() -> None:
    assert [seats_changed_max(n) for n in (1, 3, 4, 7, 10, 31, 100)] == [1, 1, 1, 2, 3, 10, 33]


def test_what_is_complete_first_binds_first(four: Members) -> None:
    """One seat: of a join that was proposed first and a removal that was complete first, that."""
    fifth = party(5)
    join = four.ask(1, four.propose(1, fifth))
    removal = four.ask(1, four.remove(1, 4))
    four.agree(removal, 2, 3)
    four.agree(join, 2, 3)
    four.say(1, four.ready(fifth, join))
    assert four.end() == (1, 2, 3)
    assert not four.world.state.change_waits, "ready was of the epoch before"
    assert [each.number for each in four.world.state.candidates] == [5]
    four.say(1, four.ready(fifth, join))
    assert four.end() == (1, 2, 3, 5)


def test_approvals_are_counted_in_the_set_in_force() -> None:
    """Approved by 4 of 5 (q = 4) is not approved any more where two of them have left."""
    five = members_of(5)
    change = five.ask(1, five.propose(1, party(9)))
    five.agree(change, 2, 4, 5)
    assert [each.number for each in five.world.state.candidates] == [9]
    five.ask(5, five.leave(5))
    assert five.end() == (1, 2, 3, 4)
    assert [each.number for each in five.world.state.candidates] == [9], "3 of 4"
    five.ask(4, five.leave(4))
    assert five.end() == (1, 2, 3)
    assert not five.world.state.candidates, "2 of 3"
    five.agree(change, 3)
    assert [each.number for each in five.world.state.candidates] == [9]


def test_a_removed_proposers_changes_stay_without_its_approval(four: Members) -> None:
    change = four.ask(4, four.propose(4, party(5)))
    four.agree(change, 1, 2)
    removal = four.ask(1, four.remove(1, 4))
    four.agree(removal, 2, 3)
    assert four.end() == (1, 2, 3)
    assert not four.world.state.candidates
    four.agree(change, 3)
    assert [each.number for each in four.world.state.candidates] == [5]


def test_what_is_about_a_platform_that_is_gone_is_void(four: Members) -> None:
    new = party(4, "new", root=key_of(4, "root"))
    rotation = four.ask(1, four.rotate(new))
    removal = four.ask(1, four.remove(1, 4))
    four.agree(rotation, 1, 2)
    four.agree(removal, 2, 3)
    four.say(1, four.ready(new, rotation))
    assert four.end() == (1, 2, 3)
    assert change_of(four, rotation).void == 1
    assert not four.world.state.candidates


def test_a_set_fits_into_its_seal() -> None:
    """100 members, each with the longest code; a hundred and first is not bound."""
    whole = tuple(party(number).validator for number in range(1, 101))
    row = ChangeRow(50, bytes(32), 1, 101, party(101).validator, None, (), 7, 1, None, None, 0)
    assert binding._changed({each.number: each for each in whole}, row) is None
    long = tuple(replace(each, certificate=bytes(1_000)) for each in whole[:54])
    members = {each.number: each for each in long}
    fat = replace(row.validator, certificate=bytes(2_000))
    assert binding._changed(members, row) is not None
    row.validator = fat
    grown = {**members, 102: fat}
    assert binding._changed(grown, row) is None


# --- restart ---


def test_a_restart_in_the_middle(four: Members) -> None:
    fifth = party(5)
    change = four.ask(1, four.propose(1, fifth))
    four.agree(change, 2, 3)
    four.say(1, four.ready(fifth, change))
    loaded = load(four.world.store, 16)
    assert (loaded.outlook, loaded.footing) == (four.world.state.outlook, four.world.state.footing)
    assert loaded.change_waits
    four.world.state = loaded
    assert four.end() == (1, 2, 3, 4, 5)
    again = load(four.world.store, 16)
    assert again.validators == four.world.state.validators
    assert again.outlook == read_outlook(four.world.store, again.validators, 2)


# --- answers ---


def test_a_bundle_holds_under_its_epochs_policy(four: Members) -> None:
    """With a joiner's and without a leaver's cosignature; the policy of before refuses it."""
    world = four.world
    origin = world.genesis.foundation.origin
    before = policy_of(origin, world.state.validators)
    world.run(world.register("w"), world.register("c"), world.open("a"), world.outcome("a"))
    fifth = party(5)
    change = four.ask(1, four.propose(1, fifth))
    four.agree(change, 2, 3)
    four.say(1, four.ready(fifth, change))
    assert four.end() == (1, 2, 3, 4, 5)
    four.ask(4, four.leave(4))
    assert four.end() == (1, 2, 3, 5)
    world.run(world.register("x"))
    now = policy_of(origin, world.state.validators)
    data = bundle_of(world, certified=certify(world, log=5, cosigners=(2, 3, 5)))
    assert verify_bundle(data, now).valid
    assert not verify_bundle(data, before).valid
