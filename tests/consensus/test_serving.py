"""Catching up: what is served to all together is bounded, lanes are asked of several peers at once,
and what has come before a crash is not asked for again."""

from dataclasses import replace

from consensus import simplex
from consensus.config import Limits
from consensus.effects import Effect, Send
from consensus.inputs import LinkUp, Now, Received, TimerFired
from consensus.messages import Batches, FetchBatches, FetchBlocks, Hint, Question
from consensus.state import State
from consensus.sync import ask
from ledger.batch import Submission, header_hash
from ledger.block import Tip
from tests.consensus.test_handle import CHAIN, NOW, batch, machine, tell
from tests.consensus.test_remains import asked
from tests.consensus.test_restart import rebuilt
from tests.simulation.cluster import Cluster, quick_bounds


def limited(**limits: int) -> State:
    state = machine()
    state.config = replace(state.config, limits=replace(state.config.limits, **limits))
    return state


def batches_in(effects: tuple[Effect, ...]) -> int:
    return sum(isinstance(e, Send) and isinstance(e.message, Batches) for e in effects)


def test_what_all_peers_together_may_make_a_node_read_is_bounded() -> None:
    state = limited(served_to_all_bytes_max=200_000)
    good = batch(submissions=(Submission(bytes(16), bytes(50_000), b""),))
    tell(state, 2, Batches((good,)))
    fetch = FetchBatches(2, 0, Tip(2, 1, header_hash(CHAIN, good.header)))
    answered = [batches_in(tell(state, 2 + at % 3, fetch)) for at in range(21)]
    assert answered == [1, 1, 1, 1, 1, 1] + 15 * [0], "64 KiB each, and an equal share for all"
    others = tell(state, 3, Question(5))
    assert [type(each) for each in others] == [Send], "what little else is asked is still answered"
    later = Now(NOW.steady_ms + 1_000, NOW.wall_ms)
    assert batches_in(simplex.handle(state, Received(4, fetch), later)[1]) == 1


def test_what_two_ask_for_is_not_taken_from_the_third() -> None:
    state = limited(served_to_all_bytes_max=200_000)
    good = batch(submissions=(Submission(bytes(16), bytes(50_000), b""),))
    tell(state, 2, Batches((good,)))
    fetch = FetchBatches(2, 0, Tip(2, 1, header_hash(CHAIN, good.header)))
    greedy = [batches_in(tell(state, 3 + at % 2, fetch)) for at in range(10)]
    assert greedy == [1, 1, 1, 1] + 6 * [0]
    assert [batches_in(tell(state, 2, fetch)) for _ in range(3)] == [1, 1, 0]


def test_one_peer_leaves_something_of_it_to_the_others() -> None:
    limits = Limits()
    assert limits.served_bytes_max < limits.served_to_all_bytes_max
    assert 2 * limits.answer_bytes_max < limits.served_bytes_max


def test_lanes_are_asked_of_several_peers_at_once() -> None:
    state = machine()
    state.lanes.finalize({lane: Tip(lane, 9, bytes([lane]) * 32) for lane in (2, 3, 4)})
    questions = asked(tell(state, 4, Hint((), False)))
    assert sorted(message.lane for _, message in questions) == [2, 3, 4]
    assert {peer for peer, _ in questions} == {2, 3, 4}


def test_what_came_before_a_crash_is_not_asked_for_again() -> None:
    cluster = Cluster(4, 3, bounds=quick_bounds(64)).start()
    cluster.crash(3, keep=0)
    for at in range(30):
        cluster.submit((1, 2, 4)[at % 3])
        cluster.run_ms(100)
    behind = cluster.nodes[1].state.final
    cluster.restart(3)
    node = cluster.nodes[3]
    while not (node.state.lanes.held and node.state.executed_height < behind.block.height):
        assert cluster.clock.step(), "nothing was fetched"
    cluster.crash(3, keep=99)
    state, effects = rebuilt(node, node.store)
    held = {lane.number: lane.top.height for lane in state.lanes}
    assert any(height > state.lanes.lanes[lane].base.height for lane, height in held.items())
    for peer in (1, 2, 4):
        state, more = simplex.handle(state, LinkUp(peer), node.now())
        effects += more
    for _, fetch in asked(effects):
        assert fetch.above >= held[fetch.lane]


def test_who_answers_late_is_waited_for_longer_and_who_does_not_is_not() -> None:
    state = machine()
    good = batch(lane=2)
    tip = Tip(2, 1, header_hash(CHAIN, good.header))
    state.lanes.finalize({2: tip})
    [(slow, _)] = asked(tell(state, 4, Hint((), False)))
    retry_ms = state.config.timing.fetch_retry_ms
    late = Now(NOW.steady_ms + retry_ms, NOW.wall_ms)
    effects = simplex.handle(state, TimerFired("fetch"), late)[1]
    [(other, _)] = asked(effects)
    assert other != slow
    simplex.handle(state, Received(slow, Batches((good,))), late)
    assert (state.peers[slow].patience, state.peers[other].patience) == (4, 1)
    state.lanes.finalize({3: Tip(3, 1, bytes(32))})
    state.fetches.clear()
    assert ask(state, "batches 3", FetchBatches(3, 0, Tip(3, 1, bytes(32))), [slow]) == slow
    assert state.fetches["batches 3"].until == late.steady_ms + 4 * retry_ms
    assert ask(state, "blocks", FetchBlocks(1), [slow]) == slow
    assert state.fetches["blocks"].until == late.steady_ms + retry_ms, "blocks are small"


def test_answers_in_time_end_the_longer_wait() -> None:
    state = machine()
    good = batch(lane=2)
    state.lanes.finalize({2: Tip(2, 1, header_hash(CHAIN, good.header))})
    [(number, _)] = asked(tell(state, 4, Hint((), False)))
    state.peers[number].patience = 4
    tell(state, number, Batches((good,)))
    assert state.peers[number].patience == 2


def test_who_does_not_answer_is_waited_for_less() -> None:
    state = machine()
    state.lanes.finalize({2: Tip(2, 1, bytes(32))})
    [(silent, _)] = asked(tell(state, 4, Hint((), False)))
    state.peers[silent].patience = 4
    late = Now(NOW.steady_ms + 10_000, NOW.wall_ms)
    simplex.handle(state, TimerFired("fetch"), late)
    assert state.peers[silent].patience == 2


def test_batches_of_a_later_epoch_are_not_fetched_again_and_again() -> None:
    state = machine()
    early = batch(lane=2, epoch=2)
    tell(state, 3, Batches((early,)))
    at_ms = NOW.steady_ms
    for _ in range(5):
        at_ms += 2 * state.config.timing.fetch_retry_ms
        effects = simplex.handle(state, TimerFired("fetch"), Now(at_ms, NOW.wall_ms))[1]
        assert asked(effects) == [], "who gave it would give it again"
    tip = Tip(2, 1, header_hash(CHAIN, early.header))
    tell(state, 4, Hint((tip,), False))
    later = Now(at_ms + 2 * state.config.timing.fetch_retry_ms, NOW.wall_ms)
    effects = simplex.handle(state, TimerFired("fetch"), later)[1]
    assert [peer for peer, _ in asked(effects)] == [4], "another may know better"
