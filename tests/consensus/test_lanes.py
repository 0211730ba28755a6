"""Lanes: coverage by hints, siblings, paths, executed cuts; beside a slow literal reference."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.lane import Held, Lane, new_lane
from consensus.lanes import Lanes, Path
from ledger.batch import Batch, Header
from ledger.block import Tip

CHAIN = b"\x01" * 32
ME = 1


def hash_of(branch: str, height: int) -> bytes:
    return f"{branch}{height:03}".encode().ljust(32, b".")


def held(branch: str, height: int, below: str | None = None) -> Held:
    """Batch `height` of a branch; `below` is the branch of its predecessor."""
    previous = CHAIN if height == 1 else hash_of(below or branch, height - 1)
    header = Header(1, 2, height, previous, 1, bytes(32), height * 10)
    return Held(hash_of(branch, height), Batch(header, bytes(64), ()), 100)


def lanes(n: int = 4, quorum: int = 3) -> tuple[Lanes, Lane]:
    made = Lanes(ME, quorum, [new_lane(number, CHAIN) for number in range(1, n + 1)])
    return made, made.lanes[2]


def tip(branch: str, height: int) -> Tip:
    return Tip(2, height, hash_of(branch, height))


def test_a_hint_counts_for_all_ancestors() -> None:
    made, lane = lanes()
    for height in (1, 2, 3):
        assert made.hold(lane, held("a", height))
    made.hint(2, tip("a", 3))
    assert lane.covered.height == 0, "two of three"
    made.hint(3, tip("a", 2))
    assert lane.covered == tip("a", 2)
    made.hint(4, tip("a", 3))
    assert lane.covered == tip("a", 3)


def test_a_hint_of_a_missing_batch_counts_once_it_is_held() -> None:
    made, lane = lanes()
    made.hold(lane, held("a", 1))
    assert made.hint(2, tip("a", 2)), "it may have to be pulled"
    assert made.hint(3, tip("a", 2))
    made.hold(lane, held("a", 2))
    assert lane.covered == tip("a", 2)
    assert not lane.ahead


def test_an_older_hint_that_comes_late_changes_nothing() -> None:
    made, lane = lanes()
    for height in (1, 2, 3):
        made.hold(lane, held("a", height))
    for peer in (2, 3):
        made.hint(peer, tip("a", 3))
    made.hint(3, tip("a", 1))
    assert lane.covered == tip("a", 3)


def test_siblings_do_not_add_up() -> None:
    made, lane = lanes()
    assert made.hold(lane, held("a", 1))
    assert not made.hold(lane, held("b", 1)), "the first is hinted"
    made.hint(2, tip("a", 1))
    made.hint(3, tip("b", 1))
    made.hint(4, tip("b", 1))
    assert lane.covered.height == 0


def test_the_others_sibling_can_be_covered_and_proposed() -> None:
    made, lane = lanes()
    made.hold(lane, held("a", 1))
    made.hold(lane, held("b", 1))
    for peer in (2, 3, 4):
        made.hint(peer, tip("b", 1))
    assert lane.covered == tip("b", 1)
    path = made.path(lane.base, tip("b", 1))
    assert isinstance(path, list)
    assert [each.hash for each in path] == [hash_of("b", 1)]


def test_a_final_cut_turns_the_branch_and_the_loser_is_dropped() -> None:
    made, lane = lanes()
    for each in (held("a", 1), held("b", 1), held("b", 2), held("a", 2)):
        made.hold(lane, each)
    assert lane.top == tip("a", 2)
    made.finalize({2: tip("b", 1)})
    assert lane.top == tip("b", 2), "and takes along what stands on it"
    dropped = made.prune(lane, 8)
    assert {each.hash for each in dropped} == {hash_of("a", 1), hash_of("a", 2)}
    assert lane.bytes == 200
    assert [each.hash for each in made.execute({2: tip("b", 1)})] == [hash_of("b", 1)]
    assert (lane.base, lane.base_time) == (tip("b", 1), 10)


def test_too_many_siblings_are_dropped_but_for_what_is_named_or_hinted() -> None:
    made, lane = lanes()
    for each in (held("a", 1), held("a", 2), held("a", 3)):
        made.hold(lane, each)
    for branch in "bcde":
        for height in (2, 3):
            made.hold(lane, held(branch, height, below="a" if height == 2 else branch))
    made.finalize({2: tip("a", 1)})
    assert made.prune(lane, 8) == [], "within bounds"
    made.hint(3, tip("c", 3))
    dropped = made.prune(lane, 7, [hash_of("d", 2)])
    assert {each.hash for each in dropped} == {
        hash_of(branch, height)
        for branch, height in [("b", 2), ("b", 3), ("d", 3), ("e", 2), ("e", 3)]
    }
    assert lane.off == {hash_of("c", 2), hash_of("c", 3), hash_of("d", 2)}
    assert lane.top == tip("a", 3)
    assert lane.bytes == 600


@pytest.mark.parametrize("mine", [1, 3])
def test_a_sibling_is_executed_while_a_later_final_tip_is_missing(mine: int) -> None:
    """The branch here is the loser's, shorter or longer than what is executed."""
    made, lane = lanes()
    for height in range(1, mine + 1):
        made.hold(lane, held("a", height))
    for height in (1, 2):
        made.hold(lane, held("b", height))
    made.finalize({2: tip("b", 3)})
    assert not made.prune(lane, 8), "nothing is dropped before the branch is known"
    done = made.execute({2: tip("b", 2)})
    assert [each.hash for each in done] == [hash_of("b", 1), hash_of("b", 2)]
    assert (lane.base, lane.base_time) == (tip("b", 2), 20)
    made.hold(lane, held("b", 3))
    assert lane.top == tip("b", 3)
    dropped = {each.hash for each in made.prune(lane, 8)}
    assert dropped == {hash_of("a", height) for height in range(1, mine + 1)}
    assert [each.hash for each in made.execute({2: tip("b", 3)})] == [hash_of("b", 3)]
    assert not made.held
    assert lane.bytes == 0


def test_paths() -> None:
    made, lane = lanes()
    for each in (held("a", 1), held("a", 2), held("b", 2, below="a")):
        made.hold(lane, each)
    assert made.path(tip("a", 1), tip("c", 3)) is Path.MISSING
    assert made.path(tip("a", 2), tip("b", 2)) is Path.ASTRAY
    assert made.path(tip("a", 2), tip("a", 1)) is Path.ASTRAY
    path = made.path(tip("a", 1), tip("b", 2))
    assert isinstance(path, list)
    assert len(path) == 1


def test_nobody_is_asked_to_hint_what_it_cannot() -> None:
    made, lane = lanes()
    made.hold(lane, held("a", 1))
    made.hold(lane, held("b", 1))
    assert [*made.short_of_quorum(lane)] == [2, 3, 4]
    made.hint(3, tip("b", 1))
    assert [*made.short_of_quorum(lane)] == [2, 4], "3 holds the sibling"
    made.hint(2, tip("a", 1))
    made.hint(4, tip("a", 1))
    assert [*made.short_of_quorum(lane)] == []


def waits_of(made: Lanes) -> tuple[set[int], set[int], set[int]]:
    """What `Lanes` keeps as sets, computed anew."""
    return (
        {lane.number for lane in made if lane.covered.height > lane.final.height},
        {lane.number for lane in made if lane.top.height > lane.covered.height},
        {lane.number for lane in made if not lane.on_branch(lane.final)},
    )


def covered_height(made: Lanes, lane: Lane) -> int:
    """The highest batch that q members hint, counted hint by hint."""
    counts: Counter[int] = Counter()
    found = lane.final.height
    for branch in "ab":
        counts = Counter()
        for peer in made.members & set(lane.hints):
            hinted = lane.hints.get(peer)
            at = made.held.get(hinted.hash) if hinted is not None else None
            while at is not None and at.header.height > lane.final.height:
                counts[at.header.height] += at.hash == hash_of(branch, at.header.height)
                at = made.held.get(at.header.previous)
        enough = (height for height, count in counts.items() if count >= made.quorum)
        found = max(found, max(enough, default=0))
    return found


STEPS = st.one_of(
    st.tuples(st.just("hold"), st.sampled_from("ab"), st.integers(1, 5)),
    st.tuples(st.just("hint"), st.integers(2, 5), st.sampled_from("ab"), st.integers(1, 5)),
    st.tuples(st.just("finalize"), st.sampled_from("ab"), st.integers(1, 5)),
    st.tuples(st.just("execute")),
    st.tuples(st.just("prune")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("seat"), st.sets(st.integers(1, 5), min_size=2), st.integers(1, 4)),
)


@given(st.lists(STEPS, max_size=40))
def test_what_lanes_wait_for_is_known_at_every_step(steps: list[tuple[Any, ...]]) -> None:
    """Branch b leaves branch a at its first batch; only one of them becomes final."""
    made, lane = lanes()
    for kind, *args in steps:
        if kind == "hold":
            batch = held(*args)
            is_new = batch.hash not in made.held and batch.header.height > lane.base.height
            if is_new and made.successor_of(lane, batch.header) is not None:
                made.hold(lane, batch)
        elif kind == "hint":
            made.hint(args[0], tip(args[1], args[2]))
        elif kind == "finalize":
            name = chr(lane.final.hash[0])
            if not lane.final.height or name == args[0]:
                made.finalize({2: tip(*args)})
        elif kind == "execute" and isinstance(made.path(lane.base, lane.final), list):
            made.execute({2: lane.final})
        elif kind == "prune":
            made.prune(lane, 8)
        elif kind == "clear" and lane.final == lane.base:
            made.clear(lane)
        elif kind == "seat":
            made.seat(args[1], args[0])
        assert (made.uncut, made.uncovered, made.astray) == waits_of(made)
        assert lane.covered.height == covered_height(made, lane)


def is_below(low: tuple[str, int], high: tuple[str, int], fork: int) -> bool:
    """Whether a batch is the other or its ancestor."""
    return low[1] <= high[1] and (low[0] == high[0] or low[1] < fork)


@given(
    st.lists(st.tuples(st.integers(2, 7), st.sampled_from("ab"), st.integers(1, 6)), max_size=30),
    st.integers(1, 6),
)
def test_coverage_is_as_the_reference_says(hints: list[tuple[int, str, int]], fork: int) -> None:
    """Branch b leaves branch a below height `fork`."""
    made, lane = lanes(7, 5)
    for height in range(1, 7):
        made.hold(lane, held("a", height))
    for height in range(fork, 7):
        made.hold(lane, held("b", height, below="a" if height == fork else "b"))
    best: dict[int, tuple[str, int]] = {ME: ("a", 6)}
    for peer, branch, height in hints:
        name = branch if height >= fork else "a"
        made.hint(peer, tip(name, height))
        known = best.get(peer)
        if known is None or known[1] < height or not is_below((name, height), known, fork):
            best[peer] = (name, height)

    def covers(name: str, height: int) -> int:
        return sum(h >= height and (b == name or height < fork) for b, h in best.values())

    expected = max(
        (
            h
            for name in "ab"
            for h in range(1, 7)
            if (name == "a" or h >= fork) and covers(name, h) >= 5
        ),
        default=0,
    )
    assert lane.covered.height == expected
