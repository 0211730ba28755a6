"""Who is next: own inputs, then peers in turns by the time that they have used up."""

from hypothesis import given
from hypothesis import strategies as st

from node.links.inbox import Inbox


def _drain(inbox: Inbox[str], cost_s: dict[int, float]) -> list[tuple[int, str]]:
    taken = []
    while inbox:
        peer, waiting = inbox.take()
        inbox.spent(peer, cost_s.get(peer, 0.0))
        taken.append((peer, waiting))
    return taken


def test_who_costs_more_has_fewer_turns() -> None:
    inbox: Inbox[str] = Inbox(turn_s=1.0)
    for at in range(100):
        inbox.add(f"dear {at}", 1)
        inbox.add(f"cheap {at}", 2)
    order = [peer for peer, _ in _drain(inbox, {1: 4.0, 2: 0.5})]
    dear_among_first = order[: order.index(2) + 108].count(1)
    assert order.count(1) == order.count(2) == 100
    assert dear_among_first <= 16, "about one of nine"


def test_a_debt_is_remembered_while_nothing_waits() -> None:
    inbox: Inbox[str] = Inbox(turn_s=1.0)
    inbox.add("dear", 1)
    inbox.spent(inbox.take()[0], 3.0)
    inbox.add("again", 1)
    inbox.add("first", 2)
    assert inbox.take() == (2, "first")
    assert inbox.take() == (1, "again")
    assert not inbox


@given(
    st.lists(st.tuples(st.integers(0, 4), st.text(max_size=3)), max_size=60),
    st.dictionaries(st.integers(1, 4), st.floats(0, 3)),
)
def test_nothing_is_lost_and_each_ones_order_is_kept(
    added: list[tuple[int, str]], cost_s: dict[int, float]
) -> None:
    inbox: Inbox[str] = Inbox(turn_s=0.5)
    for peer, waiting in added:
        inbox.add(waiting, peer)
    taken = _drain(inbox, cost_s)
    for peer in range(5):
        assert [each for each in taken if each[0] == peer] == [
            each for each in added if each[0] == peer
        ]
    owns = sum(not peer for peer, _ in added)
    assert all(not peer for peer, _ in taken[:owns])
