"""The own seat: whether this node votes, and why it takes no records."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ledger.genesis import FIRST_BOUNDS
from ledger.governing import read_open
from ledger.records.membership import MemberApprove, MemberLeave, MemberRemove
from node.intake import LEAVES
from node.seat import REMOVED, Seat
from tests.ledger.world import START, World, genesis_of

LONG = msgspec.structs.replace(FIRST_BOUNDS, epoch_blocks=64)


def seat_in(world: World, number: int, *, keys: object = "held", forgotten: str = "") -> Seat:
    driver: Any = SimpleNamespace(
        ledger=world.state,
        keys=keys,
        forgotten=forgotten,
        consensus=SimpleNamespace(epoch=world.state.epoch),
    )
    return Seat(driver, world.store, number, lambda: "")


@pytest.fixture
def world() -> World:
    return World(genesis_of(4, LONG))


def test_a_member_that_may_sign_is_a_validator_and_takes_records(world: World) -> None:
    seat = seat_in(world, 1)
    assert (seat.role, seat.closed) == ("validator", "")


def test_who_holds_no_keys_of_the_set_is_an_observer_and_says_where_to_go(world: World) -> None:
    seat = seat_in(world, 1, keys=None)
    assert seat.role == "observer"
    assert "a member's node takes records" in seat.closed


def test_who_has_forgotten_is_an_observer_and_says_how_to_come_back(world: World) -> None:
    seat = seat_in(world, 1, forgotten="platform 2 shows a batch")
    assert seat.role == "observer"
    assert seat.closed.startswith("platform 2 shows a batch.")
    assert "root key" in seat.closed


def test_behind_an_own_leaving_nothing_is_taken_and_others_are_not_concerned(world: World) -> None:
    world.run(MemberLeave(2, START), lane=2)
    assert seat_in(world, 2).closed == LEAVES
    assert seat_in(world, 2).role == "validator", "until the epoch ends"
    assert seat_in(world, 1).closed == ""


def test_the_last_member_stays_though_it_leaves() -> None:
    alone = World(genesis_of(1, LONG))
    alone.run(MemberLeave(1, START))
    assert seat_in(alone, 1).closed == ""


def test_a_removal_closes_the_lane_when_a_quorum_has_approved_and_not_before(world: World) -> None:
    world.run(MemberRemove(1, START, 4), lane=1)
    assert seat_in(world, 4).closed == ""
    (change,) = [row.commitment for row in _open(world)]
    world.run(MemberApprove(2, START, change), lane=2)
    assert seat_in(world, 4).closed == ""
    world.run(MemberApprove(3, START, change), lane=3)
    assert seat_in(world, 4).closed == REMOVED
    assert seat_in(world, 1).closed == ""


def test_what_was_read_is_kept_until_the_next_block(world: World) -> None:
    seat = seat_in(world, 2)
    assert seat.closed == ""
    world.run(MemberLeave(2, START), lane=2)
    assert seat.closed == "", "the ledger that it was given has not moved"
    seat._driver.ledger = world.state
    assert seat.closed == LEAVES


def _open(world: World) -> list[Any]:
    return [row for _, row in read_open(world.store)]
