"""What was hinted and did not come is pulled: from whom, and in what order."""

from dataclasses import replace

from consensus import simplex
from consensus.config import Timing
from consensus.inputs import Received
from consensus.messages import Batches, Hint
from consensus.state import State
from ledger.batch import header_hash
from ledger.block import Tip
from tests.consensus.test_handle import CHAIN, NOW, batch, machine
from tests.consensus.test_remains import asked

GOOD = batch(lane=3)
HELD = Tip(3, 1, header_hash(CHAIN, GOOD.header))
HIGH = Tip(3, 9, bytes(31) + b"?")
LIARS = (2, 4)


def pulled(state: State, from_ms: int, until_ms: int) -> list[int]:
    """Who is asked, one after the other, while both liars hint high and the third peer what it has,
    each every ms, and no timer comes in between."""
    order = list[int]()
    for at in range(from_ms, until_ms):
        now = replace(NOW, steady_ms=NOW.steady_ms + at)
        for peer in (*LIARS, 3):
            hint = Hint((HIGH if peer in LIARS else HELD,), False)
            state, effects = simplex.handle(state, Received(peer, hint), now)
            order += [peer for peer, _ in asked(effects)]
    return order


def test_liars_that_hint_high_come_behind_those_who_have_not_failed() -> None:
    retry_ms = Timing().fetch_retry_ms
    state = machine()
    order = pulled(state, 0, 4 * retry_ms)
    assert set(order[:2]) == set(LIARS), "the highest is asked for first"
    assert order[2:3] == [3]


def test_who_has_given_is_not_behind_any_more() -> None:
    state = machine()
    pulled(state, 0, 20 * Timing().fetch_retry_ms)
    unmet = state.lanes.lanes[3].unmet
    assert unmet.keys() == {2, 3, 4}
    for _ in range(4 * Timing().fetch_retry_ms):
        fetch = state.fetches.get("batches 3")
        if fetch is not None and fetch.peer == 3:
            break
        later = state.now.steady_ms - NOW.steady_ms + 1
        pulled(state, later, later + 1)
    else:
        raise AssertionError("its turn does not come")
    state, _ = simplex.handle(state, Received(3, Batches((GOOD,))), state.now)
    assert unmet.keys() == set(LIARS)
