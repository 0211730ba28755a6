"""Who is a member and who was one: codes, whose acknowledgement is awaited, whose lane ends."""

from types import SimpleNamespace

import msgspec
import pytest

from ledger.batch import commitment
from ledger.genesis import FIRST_BOUNDS
from ledger.record_rows import find_record
from node.api.record_states import state_of
from node.intake import LEAVES
from node.platforms import codes_of, former_of, members_of
from node.seat import Seat
from node.tracking import RecordStatus
from tests.ledger.members import Members, party
from tests.ledger.world import World, genesis_of


def members_in(count: int) -> Members:
    bounds = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=4)
    return Members(World(genesis_of(count, bounds)))


def seat_of(members: Members, number: int) -> Seat:
    driver = SimpleNamespace(forgotten="", keys=object(), ledger=members.world.state)
    return Seat(driver, members.world.store, number, lambda: "")  # type: ignore[arg-type]


@pytest.fixture
def four() -> Members:
    return members_in(4)


def test_codes_outlive_the_membership(four: Members) -> None:
    world = four.world
    first = world.state.validators
    assert members_of(world.store) == {1, 2, 3, 4}
    four.ask(3, four.leave(3))
    assert four.end() == (1, 2, 4)
    change = four.ask(1, four.propose(1, party(5)))
    four.agree(change, 2, 4)
    four.ask(1, four.ready(party(5), change))
    assert members_of(world.store) == {1, 2, 4}, "not bound yet"
    assert four.end() == (1, 2, 4, 5)
    assert members_of(world.store) == {1, 2, 4, 5}
    assert codes_of(world.store, first) == {number: f"p{number}" for number in (1, 2, 3, 4, 5)}


def test_the_newest_former_members_are_known_as_their_last_sets_named_them(four: Members) -> None:
    store, first = four.world.store, four.world.state.validators
    assert former_of(store, 2) == ()
    for number in (3, 1, 4):
        four.ask(number, four.leave(number))
        assert number not in four.end()
    assert former_of(store, 2) == (first[3], first[0])
    assert former_of(store, 9) == (first[3], first[0], first[2])


def test_no_acknowledgement_is_awaited_of_former_members(four: Members) -> None:
    world = four.world
    codes = {number: f"p{number}" for number in (1, 2, 3, 4)}
    assert four.say(1, world.submit(world.register("w", key=True))) == [""]
    erasure = world.erasure("w")
    assert four.say(1, erasure) == [""]
    world.block()
    assert four.say(2, world.submit(world.ack(commitment(erasure), 2))) == [""]

    def awaited() -> tuple[tuple[str, ...], tuple[str, ...]]:
        row = find_record(world.store, commitment(erasure), 1)
        assert row is not None
        status = RecordStatus(
            commitment(erasure),
            "final",
            log_index=row.log_index,
            lane=row.lane,
            height=row.height,
            position=row.position,
        )
        progress = state_of(world.store, status, codes).erasure
        assert progress is not None
        return progress.acknowledged, progress.awaited

    assert awaited() == (("p2",), ("p1", "p3", "p4"))
    four.ask(3, four.leave(3))
    assert four.end() == (1, 2, 4)
    assert awaited() == (("p2",), ("p1", "p4"))
    four.ask(2, four.leave(2))
    assert four.end() == (1, 4)
    assert awaited() == (("p2",), ("p1", "p4")), "what was acknowledged stays"


def test_a_leavers_lane_is_closed_but_the_last_members_is_not() -> None:
    two = members_in(2)
    assert seat_of(two, 1).closed == ""
    two.ask(1, two.leave(1))
    two.ask(2, two.leave(2))
    assert seat_of(two, 1).closed == seat_of(two, 2).closed == LEAVES
    assert two.end() == (2,)
    assert seat_of(two, 2).closed == "", "else nobody could ever join"
    change = two.ask(2, two.propose(2, party(3)))
    two.say(2, two.ready(party(3), change))
    assert two.end() == (2, 3)
    assert seat_of(two, 2).closed == LEAVES
    assert two.end() == (3,)
