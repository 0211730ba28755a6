"""The rules of taking a snapshot one by one: agreement, asking, waits, and what is refused.

Whole takings with real rows are in tests/simulation/test_snapshot.py.
"""

from collections.abc import Iterator
from dataclasses import replace as with_fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.agreement import MANIFESTS_MAX, Agreement
from consensus.asking import Asking
from consensus.config import Config
from consensus.effects import Persist, Refuse, Send, SetTimer
from consensus.inputs import LinkDown, LinkUp, Now, Received, TimerFired
from consensus.messages import (
    ChunkMessage,
    End,
    Ends,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    ManifestMessage,
    Message,
)
from consensus.snapshots import Taker
from consensus.steps import (
    MANIFEST,
    TICK,
    FallBack,
    Phase,
    Step,
    Terms,
    Wipe,
    chunk_key,
    is_unfinished,
)
from ledger.encoding import encode
from ledger.genesis import FIRST_BOUNDS
from ledger.snapshot import Chunk, Manifest, chunk_hash, encode_chunk, manifest_digest
from ledger.store import MemoryStore
from tests.simulation.cluster import CHAIN, ORIGIN, cheap_verify, make_keys

HEIGHT = 64
ROWS = [(b"Wa", b"1"), (b"Wb", b"2")]
TERMS = Terms(blocks_min=64, ask_ms=4_000, settle_ms=500, again_ms=1_000, retry_ms=2_000)


def manifest(height: int = HEIGHT, *, rows: list[tuple[bytes, bytes]] | None = None) -> Manifest:
    """One chunk for each row."""
    chunks = []
    for key, value in rows or ROWS:
        data = encode_chunk([(key, value)])
        chunks.append(Chunk(key, len(key) + len(value), 1, chunk_hash(CHAIN, data)))
    return Manifest(CHAIN, height, 1_000, bytes(32), tuple(chunks))


class Play:
    """A taker of platform 1 among n, and what it has said and written."""

    def __init__(self, n: int = 4, store: MemoryStore | None = None) -> None:
        keys, validators = make_keys(n, real=False)
        self.config = Config(CHAIN, ORIGIN, 1, validators, keys[0], cheap_verify, FIRST_BOUNDS)
        self.store = store or MemoryStore()
        self.now_ms = 10_000
        self.taker = Taker(self.config, self.store, range(1, n + 1), TERMS, self.now)
        self.steps: list[Step] = []
        self.take(self.taker.begin(self.now))

    @property
    def now(self) -> Now:
        return Now(self.now_ms, self.now_ms)

    def take(self, steps: list[Step]) -> None:
        self.steps = steps
        for step in steps:
            if isinstance(step, Persist):
                self.store.write(step.changes)

    def up(self, *peers: int) -> None:
        for peer in peers:
            self.take(self.taker.handle(LinkUp(peer), self.now))

    def say(self, peer: int, message: Message) -> None:
        self.take(self.taker.handle(Received(peer, message), self.now))

    def offer(self, *peers: int, heights: tuple[int, ...] = (HEIGHT,)) -> None:
        for peer in peers:
            self.say(peer, Ends(tuple(End(height, None) for height in heights)))

    def give(self, *peers: int, given: Manifest | None = None) -> None:
        for peer in peers:
            self.say(peer, ManifestMessage(given or manifest()))

    def chunk(self, peer: int, index: int, *, spoiled: bool = False) -> None:
        data = encode_chunk([ROWS[index]])
        self.say(peer, ChunkMessage(HEIGHT, index, data[:-1] + b"?" if spoiled else data))

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.take(self.taker.handle(TimerFired(TICK), self.now))

    def sent(self, kind: type) -> list[int]:
        return [s.peer for s in self.steps if isinstance(s, Send) and isinstance(s.message, kind)]

    @property
    def fell_back(self) -> str:
        return next((step.reason for step in self.steps if isinstance(step, FallBack)), "")


# --- ends ---


def test_every_new_link_is_asked_for_ends_and_the_timer_runs_once() -> None:
    play = Play()
    assert [type(step) for step in play.steps] == [SetTimer]
    play.up(2)
    assert play.steps == [Send(2, FetchEnds())]
    play.wait(100)
    assert play.steps[-1] == SetTimer(TICK, play.now_ms + 100)


def test_the_newest_end_that_f_plus_1_offer_is_chosen() -> None:
    play = Play()
    play.up(2, 3, 4)
    play.offer(2, heights=(64, 128))
    play.offer(3, heights=(64, 128, 192))
    assert not play.sent(FetchManifest), "one has not said yet"
    play.offer(4, heights=(64,))
    assert [step.message for step in play.steps if isinstance(step, Send)] == [
        FetchManifest(128)
    ] * 2
    assert play.sent(FetchManifest) == [2, 3]


def test_who_says_nothing_is_not_waited_for_long() -> None:
    play = Play()
    play.up(2, 3, 4)
    play.offer(2, 3)
    play.wait(499)
    assert not play.sent(FetchManifest)
    play.wait(1)
    assert play.sent(FetchManifest) == [2, 3]


@pytest.mark.parametrize(
    ("n", "without", "over"),
    [(4, 1, False), (4, 2, True), (7, 3, False), (7, 4, True), (2, 1, True)],
)
def test_when_so_many_have_nothing_it_falls_back_at_once(n: int, without: int, over: bool) -> None:
    play = Play(n)
    play.up(*range(2, n + 1))
    play.offer(*range(2, without + 2), heights=())
    assert bool(play.fell_back) is over


def test_when_nobody_answers_it_falls_back_in_time() -> None:
    play = Play()
    play.up(2, 3, 4)
    play.wait(3_999)
    assert not play.fell_back
    assert play.sent(FetchEnds) == [2, 3, 4], "asked again"
    play.wait(1)
    assert play.fell_back == "nobody has offered a snapshot in time"
    assert play.taker.is_over
    play.up(2)
    assert play.steps == []


def test_who_is_no_member_waits_for_its_first_link() -> None:
    play = Play()
    config = with_fields(play.config, me=9)
    play.taker = Taker(config, play.store, range(1, 5), TERMS, play.now)
    play.take(play.taker.begin(play.now))
    play.wait(100_000)
    assert not play.fell_back
    play.up(2)
    play.wait(3_999)
    assert not play.fell_back
    play.wait(1)
    assert play.fell_back == "nobody has offered a snapshot in time"


def test_offers_that_differ_are_waited_for_and_then_given_up() -> None:
    play = Play()
    play.up(2, 3, 4)
    play.offer(2, heights=(64,))
    play.offer(3, heights=(128,))
    play.offer(4, heights=())
    play.wait(TERMS.offers_ms - 1)
    assert not play.fell_back
    play.wait(1)
    assert play.fell_back


@pytest.mark.parametrize("height", [63, 65, 32])
def test_heights_that_are_no_epochs_end_or_too_low_are_no_offers(height: int) -> None:
    play = Play()
    play.up(2, 3)
    play.offer(2, 3, heights=(height,))
    assert play.fell_back == "the others have no snapshot"


def test_what_no_member_says_does_not_count() -> None:
    play = Play()
    play.up(2, 9, 10)
    play.offer(9, 10)
    play.offer(2)
    play.wait(500)
    assert not play.sent(FetchManifest)


def test_a_member_that_offers_twice_counts_once() -> None:
    play = Play()
    play.up(2)
    play.offer(2)
    play.offer(2)
    play.wait(500)
    assert not play.sent(FetchManifest)


# --- manifest ---


def chosen(n: int = 4) -> Play:
    play = Play(n)
    play.up(*range(2, n + 1))
    play.offer(*range(2, n + 1))
    return play


def test_a_manifest_is_kept_once_f_plus_1_have_given_the_same() -> None:
    play = chosen()
    play.give(2)
    assert not is_unfinished(play.store)
    play.give(2)
    assert not is_unfinished(play.store), "the same one twice"
    play.give(3)
    assert play.store.get(MANIFEST) == encode(manifest())
    assert sorted(play.sent(FetchChunk)) == [2, 3]


def test_whoever_gave_another_manifest_is_refused_and_asked_no_more() -> None:
    play = chosen()
    other = manifest(rows=[(b"Wa", b"1"), (b"Wb", b"3")])
    play.give(4, given=other)
    play.give(2)
    play.give(3)
    assert Refuse(4, "snapshot") in play.steps
    play.wait(2_000)
    assert 4 not in play.sent(FetchChunk)
    play.give(4)
    assert play.steps == []


def test_a_late_giver_gives_too_and_a_late_liar_is_refused() -> None:
    play = chosen(7)
    play.give(2, 3, 4)
    play.give(5)
    play.give(6, given=manifest(rows=[(b"Wc", b"1")]))
    assert Refuse(6, "snapshot") in play.steps
    assert 5 in play.taker._agreement.givers(manifest_digest(manifest()))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(manifest(), chain=bytes(32)),
        replace(manifest(), chunks=manifest().chunks[::-1]),
        manifest(rows=[(b"Ka", b"1")]),
    ],
)
def test_a_manifest_out_of_form_is_refused(wrong: Manifest) -> None:
    play = chosen()
    play.give(2, given=wrong)
    assert play.steps == [Refuse(2, "snapshot")]


def test_a_manifest_of_another_height_is_no_answer() -> None:
    play = chosen()
    play.give(2, 3, given=manifest(128))
    assert not is_unfinished(play.store)


def test_a_manifest_that_does_not_come_is_asked_for_again_and_given_up() -> None:
    play = chosen()
    play.give(2)
    play.wait(1_000)
    assert play.sent(FetchManifest) == [3, 4]
    play.wait(TERMS.stall_ms)
    assert play.fell_back.startswith("waiting for a manifest")


def test_a_manifest_that_is_still_being_made_is_waited_for_within_a_bound() -> None:
    play = chosen()
    play.give(4, given=manifest(rows=[(b"Wa", b"9")]))
    for _ in range(TERMS.manifest_ms // 30_000 - 1):
        play.wait(30_000)
        play.offer(2, 3)
        assert not play.fell_back
    play.wait(30_000)
    assert play.fell_back


def test_one_that_goes_on_offering_what_it_never_gives_holds_nothing_up() -> None:
    play = chosen()
    for peer in (3, 4):
        play.say(peer, Ends(()))
    play.wait(TERMS.stall_ms - 1)
    play.offer(2)
    play.wait(1)
    assert play.fell_back


def test_when_all_have_given_another_nothing_is_waited_for() -> None:
    play = chosen()
    for peer in (2, 3, 4):
        play.give(peer, given=manifest(rows=[(b"Wa", b"%d" % peer)]))
    play.wait(TERMS.stall_ms - 1)
    play.offer(2, 3, 4)
    play.wait(1)
    assert play.fell_back


# --- chunks ---


def taking() -> Play:
    play = chosen()
    play.give(2, 3)
    return play


def test_a_chunk_is_written_with_its_mark() -> None:
    play = taking()
    play.chunk(2, 0)
    assert play.steps[0] == Persist({b"Wa": b"1", chunk_key(0): b""})
    play.chunk(3, 0)
    assert not [step for step in play.steps if isinstance(step, Persist)], "once"


def test_a_false_chunk_is_never_written_and_another_is_asked() -> None:
    play = taking()
    play.chunk(2, 0, spoiled=True)
    assert Refuse(2, "snapshot") in play.steps
    assert play.store.get(chunk_key(0)) is None
    assert set(play.sent(FetchChunk)) <= {3}
    play.chunk(2, 0)
    assert play.store.get(chunk_key(0)) is None, "not even a good one from there"
    play.wait(2_000)
    play.chunk(3, 0)
    assert play.store.get(chunk_key(0)) == b""


def test_an_unanswered_chunk_is_asked_of_another() -> None:
    play = taking()
    first = {step.message.index: step.peer for step in play.steps if isinstance(step, Send)}  # type: ignore[union-attr]
    play.wait(2_000)
    again = {step.message.index: step.peer for step in play.steps if isinstance(step, Send)}  # type: ignore[union-attr]
    assert again.keys() == first.keys() == {0, 1}
    assert all(again[index] != first[index] for index in first)


def test_what_was_asked_of_a_lost_link_is_asked_of_another_at_once() -> None:
    play = taking()
    lost = next(step.peer for step in play.steps if isinstance(step, Send))
    play.take(play.taker.handle(LinkDown(lost), play.now))
    assert play.sent(FetchChunk) == [5 - lost]


def test_without_a_head_row_the_state_is_none() -> None:
    play = taking()
    play.chunk(2, 0)
    play.chunk(3, 1)
    play.wait(100)
    assert play.fell_back == "there is no head row"


def test_when_nothing_comes_for_long_it_falls_back() -> None:
    play = taking()
    play.wait(TERMS.stall_ms - 1)
    assert not play.fell_back
    play.chunk(2, 0)
    play.wait(TERMS.stall_ms - 1)
    assert not play.fell_back
    play.wait(1)
    assert play.fell_back


# --- an earlier run ---


def left(*chunks: int) -> MemoryStore:
    store = MemoryStore()
    store.write({MANIFEST: encode(manifest())})
    for index in chunks:
        store.write({chunk_key(index): b"", ROWS[index][0]: ROWS[index][1]})
    return store


def test_it_goes_on_where_f_plus_1_give_the_same() -> None:
    play = Play(store=left(0))
    play.up(2, 3, 4)
    play.offer(2, 3, 4, heights=(64, 128))
    assert play.sent(FetchManifest) == [2, 3, 4]
    play.give(2, 3)
    assert [step.message for step in play.steps if isinstance(step, Send)] == [
        FetchChunk(HEIGHT, 1)
    ]
    assert not [step for step in play.steps if isinstance(step, Wipe)]


def test_it_begins_anew_where_they_give_another() -> None:
    play = Play(store=left(0))
    play.up(2, 3, 4)
    play.offer(2, 3, 4)
    other = manifest(rows=[(b"Wa", b"9"), (b"Wb", b"2")])
    play.give(2, 3, given=other)
    kinds = [type(step) for step in play.steps]
    assert kinds.index(Wipe) < kinds.index(Persist)
    assert play.store.get(MANIFEST) == encode(other)
    assert len(play.sent(FetchChunk)) == 2


def test_it_begins_anew_where_they_offer_another_end_only() -> None:
    play = Play(store=left(0))
    play.up(2, 3, 4)
    play.offer(2, 3, 4, heights=(128,))
    assert [step for step in play.steps if isinstance(step, Wipe)]
    assert play.taker.phase is Phase.MANIFEST


# --- agreement and asking, by themselves ---


@given(
    st.dictionaries(
        st.integers(1, 7), st.sets(st.sampled_from([64, 128, 192]), max_size=3), max_size=7
    ),
    st.sampled_from([0, 64, 128]),
)
def test_common_is_the_highest_that_enough_offer(said: dict[int, set[int]], kept: int) -> None:
    agreement = Agreement(range(1, 8))
    for peer, heights in said.items():
        agreement.offer(peer, dict.fromkeys(heights))
    enough = {h for h in (64, 128, 192) if sum(h in each for each in said.values()) >= 3}
    expected = kept if kept in enough else max(enough, default=0)
    assert agreement.common(kept) == expected


def test_many_lies_do_not_hide_the_manifest_that_is_agreed() -> None:
    agreement = Agreement(range(1, 20))
    for peer in range(1, MANIFESTS_MAX + 3):
        agreement.give(peer, manifest(rows=[(b"Wa", b"%d" % peer)]))
    for peer in range(10, 10 + agreement.needed):
        digest = agreement.give(peer, manifest())
    assert agreement.agrees(digest)
    kept, liars = agreement.settle(digest)
    assert kept == manifest()
    assert liars == list(range(1, MANIFESTS_MAX + 3))


def choices(asking: Asking, among: set[int]) -> Iterator[int]:
    what = 0
    while peer := asking.choose(what, among, 0):
        what += 1
        yield peer


def test_each_peer_is_asked_for_so_much_at_once_and_all_in_turn() -> None:
    asking = Asking(retry_ms=10, at_once_max=2)
    asking.up = {1, 2, 3}
    asking.refuse(3)
    asked = list(choices(asking, {1, 2, 3, 4}))
    assert sorted(asked) == [1, 1, 2, 2]
    asking.expire(9)
    assert asking.choose("more", {1, 2}, 9) == 0
    asking.expire(10)
    assert asking.choose("more", {1, 2}, 10) in {1, 2}


def test_what_some_leave_unanswered_is_asked_of_all_the_others() -> None:
    asking = Asking(100, 2)
    asking.up = {1, 2, 3, 4, 5}
    asked = []
    for now_ms in range(0, 1_000, 100):
        asking.expire(now_ms)
        asked.append(asking.choose("a chunk", asking.up, now_ms))
    assert asked == [1, 2, 3, 4, 5] * 2


def test_nothing_is_asked_twice_while_it_is_awaited() -> None:
    asking = Asking(retry_ms=10, at_once_max=2)
    asking.up = {1, 2}
    first = asking.choose("this", {1, 2}, 0)
    assert asking.choose("this", {1, 2}, 0) == 0
    asking.drop(first)
    assert asking.choose("this", {1, 2}, 0) == 3 - first, "of another, if there is one"
    asking.came("this")
    assert not asking.is_asked("this")
