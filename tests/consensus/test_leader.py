"""Who leads a view, and who is passed over."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.leader import TRIAL_ROUNDS, leader, passed_over
from consensus.quorum import faults

FOUR = (3, 5, 9, 11)


def test_leaders_take_turns_in_views_and_epochs() -> None:
    turns = [leader(FOUR, 1, view) for view in range(8)]
    assert turns[:4] == turns[4:]
    assert set(turns) == set(FOUR)
    assert leader(FOUR, 2, 1) != leader(FOUR, 1, 1)


def views_without(epoch: int, failing: set[int], count: int) -> list[int]:
    """The views of an epoch's blocks where these never make one."""
    views, view = [], 0
    while len(views) < count:
        view += 1
        if leader(FOUR, epoch, view) not in failing:
            views.append(view)
    return views


def test_who_made_no_block_in_its_trials_is_passed_over_outside_of_trials() -> None:
    passed = passed_over(FOUR, 6, views_without(6, {5}, 64))
    assert passed == {5}
    led = [
        view for view in range(1, 4 * 2 * TRIAL_ROUNDS + 1) if leader(FOUR, 7, view, passed) == 5
    ]
    assert [(view - 1) // 4 for view in led] == [0, TRIAL_ROUNDS]
    turns = [leader(FOUR, 7, view, passed) for view in range(5, 9)]
    assert sorted(turns) == [3, 9, 9, 11]


def test_a_block_in_one_trial_is_enough() -> None:
    own = next(view for view in range(1, 5) if leader(FOUR, 6, view) == 5) + 4 * TRIAL_ROUNDS
    views = views_without(6, {5}, 64)
    assert own < views[-1]
    assert passed_over(FOUR, 6, sorted({*views, own})) == frozenset()


def test_who_had_no_trial_yet_has_not_failed() -> None:
    assert passed_over(FOUR, 6, [1]) == frozenset()
    assert passed_over(FOUR, 6, []) == frozenset()


def test_more_than_f_that_fail_are_the_networks_fault() -> None:
    assert passed_over(FOUR, 6, views_without(6, {5, 9}, 64)) == frozenset()
    assert passed_over(FOUR[:3], 6, [1, 3, 4, 6, 7]) == frozenset(), "f = 0"


@given(
    st.sets(st.integers(1, 10**6), min_size=1, max_size=12),
    st.integers(1, 10**9),
    st.lists(st.integers(1, 3_000), max_size=70, unique=True),
)
def test_every_view_has_one_leader_and_at_most_f_are_passed_over(
    members: set[int], epoch: int, views: list[int]
) -> None:
    numbers = tuple(sorted(members))
    passed = passed_over(numbers, epoch, sorted(views))
    assert passed <= members
    assert len(passed) <= faults(len(numbers))
    for view in range(1, 40):
        chosen = leader(numbers, epoch + 1, view, passed)
        assert chosen in members
        usual = leader(numbers, epoch + 1, view)
        is_trial = (view - 1) // len(numbers) % TRIAL_ROUNDS == 0
        assert chosen == usual if is_trial or usual not in passed else chosen not in passed
