"""Joining by snapshot: hostile givers, peers that vanish, restarts midway. Real ledger rows.

Whatever happens the node ends with the network's very ledger, or with an empty store from which it
replays; `Market.check` replays every node's store from genesis and compares each row.
"""

from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from consensus.effects import Send
from consensus.inputs import LinkDown, Received
from consensus.messages import (
    Batches,
    Blocks,
    ChunkMessage,
    Ends,
    FetchBatches,
    FetchChunk,
    FetchEnds,
    Message,
    RemainsMessage,
)
from consensus.openings import Openings
from consensus.safety import FinalRow, final_key
from consensus.steps import CHUNK, Terms
from ledger import snapshot
from ledger.batch import Batch
from ledger.encoding import encode
from ledger.replay import ReaderSource
from ledger.replay import replay as replayed
from ledger.rows import (
    HEAD_KEY,
    BlockRow,
    LeafRow,
    SubjectRow,
    block_key,
    decode_row,
    read_row,
    validators_key,
)
from ledger.snapshot import manifest_digest
from ledger.store import FILE, LEAF, SUBJECT, MemoryStore, after
from tests.ledger.members import party
from tests.ledger.world import World, genesis_of
from tests.simulation.actors import false_heir
from tests.simulation.cluster import Cluster, Node, Weather, quick_bounds
from tests.simulation.taking import QUICK, Pinning, Taking, pin
from tests.simulation.test_erasure import Market
from tests.simulation.test_real_members import Federation, keys_of


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 2_048)


class Ahead(Market):
    """A network some epochs ahead of its last node, which has never been started."""

    def __init__(self, n: int = 4, seed: int = 1, *, weather: Weather | None = None) -> None:
        self.genesis = genesis_of(n, quick_bounds(4))
        self.cluster = Cluster(n, seed, genesis=self.genesis, weather=weather)
        self.world = World(self.genesis)
        self.world.time = 1_699_999_000_000
        self.jobs, self.taker = 0, n
        self.given: list[tuple[int, int, Message]] = []
        pin(self.cluster, self.genesis)
        for number in range(1, n):
            self.cluster.nodes[number].start()
        self.cluster.link_all()
        self.cluster.hear_answers()
        for number in range(1, n):
            self.seal(
                number,
                self.world.register(f"w{number}", number, key=True),
                self.world.register(f"c{number}", number, key=True),
            )

    def busy(self, jobs: int = 24) -> "Ahead":
        for turn in range(jobs):
            self.work(1 + turn % (self.taker - 1))
        return self

    def take(self, terms: Terms = QUICK) -> Taking:
        return Taking(self.cluster, self.genesis, self.taker, terms)

    def end(self, *, erased: int = 0) -> None:
        """The node takes part, and all stores are what replay yields."""
        cluster, taker = self.cluster, self.taker
        cluster.hear_answers(8_000)
        assert cluster.nodes[taker].state.silence is None
        self.seal(
            taker,
            self.world.register(f"w{taker}", taker, key=True),
            self.world.register(f"c{taker}", taker, key=True),
        )
        self.work(taker)
        self.check(erased=erased)


def test_a_node_joins_by_snapshot_and_takes_part() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    assert taking.run() == "snapshot"
    assert taking.refused == []
    head = market.cluster.nodes[4].ledger.head
    assert head.height >= 8
    assert head.height % 4 == 0
    assert taking.count(FetchChunk) > 4
    market.end()


@pytest.mark.parametrize("is_bounded", [False, True])
def test_what_waits_is_bounded_in_all_however_many_lanes_there_are(
    monkeypatch: pytest.MonkeyPatch, *, is_bounded: bool
) -> None:
    """All but what the next block needs; without the bound the lanes' batches wait all together."""
    bound = 2_000
    peaks = []
    take = Openings.take

    def taken(openings: Openings, *given):  # type: ignore[no-untyped-def]
        steps = list(take(openings, *given))
        needed = {tip.lane for tip in _tips(openings)}
        ahead = [lane for number, lane in openings._lanes.items() if number not in needed]
        peaks.append(sum(lane.bytes for lane in ahead))
        return iter(steps)

    monkeypatch.setattr(Openings, "take", taken)
    market = Ahead(8).busy(56)
    terms = with_fields(QUICK, waiting_bytes_max=bound if is_bounded else 2**30)
    taking = market.take(terms).start()
    assert taking.run() == "snapshot"
    assert taking.refused == []
    assert (max(peaks) <= bound) is is_bounded
    market.end()


def _tips(openings: Openings):  # type: ignore[no-untyped-def]
    height = openings.opened + 1
    if height > openings.height:
        return ()
    row = read_row(openings._reader, BlockRow, block_key(height))
    assert row is not None
    return row.block.tips


# --- hostile givers ---


def twisted(answer: ChunkMessage) -> list[Message]:
    return [replace(answer, data=answer.data[:-1] + bytes([answer.data[-1] ^ 1]))]


def cut_off(answer: ChunkMessage) -> list[Message]:
    return [replace(answer, data=answer.data[:-1])]


def another(answer: ChunkMessage) -> list[Message]:
    """Good bytes under a wrong index."""
    return [replace(answer, index=answer.index + 1)]


def hugest(answer: ChunkMessage) -> list[Message]:
    return [replace(answer, data=bytes(snapshot.CHUNK_BYTES_MAX)), answer]


def of_chunks(lie):  # type: ignore[no-untyped-def]
    return lambda _, answer: lie(answer) if isinstance(answer, ChunkMessage) else [answer]


@pytest.mark.parametrize("lie", [twisted, cut_off, another, hugest])
@pytest.mark.parametrize("seed", [1, 2])
def test_join_by_snapshot_malicious_chunks(lie, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Scenario 32."""
    market = Ahead(seed=seed).busy()
    taking = market.take()
    taking.lies[2] = of_chunks(lie)
    taking.start()
    assert taking.run() == "snapshot"
    if lie is not another:
        assert taking.refused == [(2, "snapshot")], "at the first lie, and never asked again"
    assert {peer for peer, _ in taking.refused} <= {2}
    market.end()


def fake(market: Ahead, number: int) -> None:
    """A giver serves another state of its newest epoch's end: all its givings fit each other."""
    ledger = market.cluster.nodes[number].ledger
    assert isinstance(ledger, Pinning)
    for height, rows in ledger.pins.items():
        key, data = next(iter(rows.scan(SUBJECT, after(SUBJECT))))
        row = decode_row(SubjectRow, key, data)
        row.results += 7
        rows.write({key: encode(row)})
        told = ledger.manifests[height]
        ledger.manifests[height] = manifest_of(rows, told)


def manifest_of(rows: MemoryStore, told: snapshot.Manifest) -> snapshot.Manifest:
    turns = snapshot.make_manifest(rows, told.chain, told.height, told.size, told.root)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            made: snapshot.Manifest = end.value
            return made


@pytest.mark.parametrize("liar", [1, 2, 3])
def test_another_manifest_of_one_liar_is_refused(liar: int) -> None:
    market = Ahead().busy()
    fake(market, liar)
    taking = market.take().start()
    assert taking.run() == "snapshot"
    assert set(taking.refused) <= {(liar, "snapshot")}
    market.end()


def test_seven_with_two_liars() -> None:
    market = Ahead(7).busy(40)
    for liar in (2, 5):
        fake(market, liar)
    taking = market.take()
    taking.lies[3] = of_chunks(twisted)
    taking.start()
    assert taking.run() == "snapshot"
    assert {peer for peer, _ in taking.refused} <= {2, 3, 5}
    market.end()


def test_without_f_plus_1_of_one_word_it_is_replayed() -> None:
    market = Ahead().busy()
    fake(market, 2)
    taking = market.take()
    taking.lies[3] = lambda *_: []
    taking.start()
    assert taking.run().startswith("replay: ")
    market.end()


def forged_leaf(rows: MemoryStore) -> None:
    """The log holds it."""
    _forge_leaf(rows, commitment=bytes(32))


def forged_annotation(rows: MemoryStore) -> None:
    """The log does not hold it; a file does."""
    _forge_leaf(rows, annotation_hash=bytes(32))


def _forge_leaf(rows: MemoryStore, **changed: bytes) -> None:
    for key, data in rows.scan(LEAF, after(LEAF)):
        if data[:1] != b"\x01":
            rows.write({key: encode(replace(decode_row(LeafRow, key, data), **changed))})
            return


def no_last_place(rows: MemoryStore) -> None:
    """A file without its last record."""
    key, _ = next(iter(rows.scan(FILE, after(FILE), reverse=True)))
    rows.write({key: None})


def forged_first_set(rows: MemoryStore) -> None:
    key = validators_key(1)
    data = rows.get(key)
    assert data is not None
    rows.write({key: data.replace(b"\xa2p1", b"\xa2q1")})


def forged_founding(rows: MemoryStore) -> None:
    key = block_key(0)
    data = rows.get(key)
    assert data is not None
    row = decode_row(BlockRow, key, data)
    rows.write({key: encode(replace(row, block=replace(row.block, view=1)))})


def forged_set(rows: MemoryStore) -> None:
    key = max(key for key, _ in rows.scan(b"M", b"N") if b"validators/" in key)
    data = rows.get(key)
    assert data is not None
    rows.write({key: data.replace(b"\xa2p1", b"\xa2q1")})


def forged_index(rows: MemoryStore) -> None:
    """A file's head is in the index."""
    key, data = next(iter(rows.scan(SUBJECT, after(SUBJECT))))
    row = decode_row(SubjectRow, key, data)
    row.frontier = row.frontier[:-1] + bytes([row.frontier[-1] ^ 1])
    rows.write({key: encode(row)})


def forged_head(rows: MemoryStore) -> None:
    data = rows.get(HEAD_KEY)
    assert data is not None
    rows.write({HEAD_KEY: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]})


def forged_block(rows: MemoryStore) -> None:
    key, data = next(iter(rows.scan(b"B" + (2).to_bytes(8), b"C")))
    row = decode_row(BlockRow, key, data)
    rows.write({key: encode(replace(row, block=replace(row.block, time=row.block.time + 1)))})


def forged_lane(rows: MemoryStore) -> None:
    key, value = next(iter(rows.scan(b"L", b"M")))
    rows.write({key: value[::-1]})


def no_tile(rows: MemoryStore) -> None:
    key, value = next(iter(rows.scan(b"T", b"U")))
    rows.write({key: value[:-32]})


@pytest.mark.parametrize(
    "forge",
    [
        forged_founding,
        forged_first_set,
        forged_leaf,
        forged_set,
        forged_index,
        forged_annotation,
        no_last_place,
        forged_head,
        forged_block,
        forged_lane,
        no_tile,
    ],
)
def test_what_all_givers_lie_about_the_log_is_found_before_it_is_used(forge) -> None:  # type: ignore[no-untyped-def]
    """What proofs speak of: log, sets, index and files."""
    market = Ahead().busy()
    for number in (1, 2, 3):
        ledger = market.cluster.nodes[number].ledger
        assert isinstance(ledger, Pinning)
        for height, rows in ledger.pins.items():
            forge(rows)
            ledger.manifests[height] = manifest_of(rows, ledger.manifests[height])
    taking = market.take().start()
    result = taking.run(180_000)
    assert result.startswith("replay: "), result
    market.end()


# --- peers that vanish, links that fail ---


def some_chunks(taking: Taking, count: int):  # type: ignore[no-untyped-def]
    def are_there() -> bool:
        return sum(1 for _ in taking.store.scan(CHUNK, after(CHUNK))) >= count

    return are_there


@pytest.mark.parametrize("chunks", [1, 4, 9])
def test_snapshot_peer_vanishes_midway(chunks: int) -> None:
    """Scenario 33."""
    market = Ahead(seed=chunks).busy()
    taking = market.take().start()
    market.cluster.run_until(some_chunks(taking, chunks), 20_000, "chunks come")
    taking.vanish(1)
    assert taking.run() == "snapshot"
    market.cluster.restart(1)
    market.end()


def test_all_peers_vanish_midway_and_it_is_replayed() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    market.cluster.run_until(some_chunks(taking, 2), 20_000, "chunks come")
    for number in (1, 2, 3):
        taking.vanish(number)
    assert taking.run().startswith("replay: ")
    for number in (1, 2, 3):
        market.cluster.restart(number)
    market.end()


def test_peers_that_vanish_and_come_back_are_asked_again() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    market.cluster.run_until(some_chunks(taking, 2), 20_000, "chunks come")
    for number in (1, 2, 3):
        taking.unlink(number)
    market.cluster.run_ms(2_000)
    for number in (1, 2, 3):
        taking.link(number)
    assert taking.run() == "snapshot"
    market.end()


def test_chunks_that_are_lost_are_asked_for_again() -> None:
    market = Ahead(seed=5).busy()
    taking = market.take()
    random = market.cluster.random
    for number in (1, 2, 3):
        taking.lies[number] = lambda _, answer: [answer] if random.random() < 0.6 else []
    taking.start()
    assert taking.run() == "snapshot"
    assert taking.refused == []
    market.end()


def test_peers_of_another_vocabulary_answer_nothing_and_it_is_replayed() -> None:
    market = Ahead().busy()
    taking = market.take()
    taking.silent = {1, 2, 3}
    taking.start()
    assert taking.run() == "replay: nobody has offered a snapshot in time"
    market.end()


def test_one_of_another_vocabulary_costs_nothing() -> None:
    market = Ahead().busy()
    taking = market.take()
    taking.silent = {2}
    taking.start()
    assert taking.run() == "snapshot"
    market.end()


def test_a_young_network_is_replayed_at_once() -> None:
    market = Ahead().busy(2)
    taking = market.take(with_fields(QUICK, blocks_min=1_000)).start()
    began_us = market.cluster.clock.now_us
    assert taking.run() == "replay: the others have no snapshot"
    assert market.cluster.clock.now_us - began_us < 100_000
    market.end()


def test_alone_it_is_replayed_without_asking() -> None:
    market = Ahead().busy(2)
    taking = Taking(market.cluster, market.genesis, 4, members=(4,)).start()
    assert taking.run() == "replay: there is nobody to ask"


# --- restarts midway ---


@pytest.mark.parametrize("keep", [0, 1, 99])
@pytest.mark.parametrize("chunks", [1, 6])
def test_after_a_restart_midway_it_goes_on(chunks: int, keep: int) -> None:
    market = Ahead(seed=chunks + keep).busy()
    taking = market.take().start()
    market.cluster.run_until(some_chunks(taking, chunks), 20_000, "chunks come")
    taking.crash(keep=keep)
    there = sum(1 for _ in taking.disk.scan(CHUNK, after(CHUNK)))
    market.cluster.run_ms(300)
    taking.asked.clear()
    taking.start()
    assert taking.run() == "snapshot"
    assert taking.wipes == 0
    height = market.cluster.nodes[4].ledger.head.height
    manifest = market.cluster.nodes[1].ledger.manifests[height]  # type: ignore[union-attr]
    assert taking.count(FetchChunk) == len(manifest.chunks) - there
    market.end()


def test_after_a_restart_among_the_batches_it_goes_on_without_the_chunks() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    market.cluster.run_until(lambda: bool(taking.count(FetchBatches)), 20_000, "batches")
    market.cluster.run_ms(8)
    taking.crash(keep=2)
    taking.asked.clear()
    taking.start()
    assert taking.run() == "snapshot"
    assert (taking.count(FetchChunk), taking.wipes) == (0, 0)
    market.end()


def test_after_a_long_stop_it_begins_anew_with_a_newer_end() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    market.cluster.run_until(some_chunks(taking, 3), 20_000, "chunks come")
    taking.crash(keep=99)
    market.busy(24)
    taking.start()
    assert taking.run() == "snapshot"
    assert taking.wipes == 1
    market.end()


def test_a_restart_with_the_check_undone_checks_again() -> None:
    market = Ahead().busy()
    taking = market.take().start()
    market.cluster.run_until(lambda: taking.ending is not None, 20_000, "all is there")
    market.cluster.run_ms(50)
    taking.crash()
    taking.start()
    assert taking.run() == "snapshot"
    market.end()


@pytest.mark.parametrize("seed", range(6))
def test_bad_weather_and_crashes_anywhere_end_well(seed: int) -> None:
    weather = Weather(loss=0.03, jitter_us=20_000, duplicate=0.05, reorder=True)
    market = Ahead(seed=seed, weather=weather).busy()
    market.cluster.network.weather = Weather() if seed % 2 else weather
    taking = market.take().start()
    random = market.cluster.random
    for _ in range(3):
        market.cluster.run_ms(random.randrange(5, 400))
        if taking.ending is None:
            taking.crash(keep=random.randrange(4))
            taking.start()
    taking.run(120_000)
    market.cluster.network.weather = Weather()
    market.cluster.relink()
    market.end()


# --- history ---


def spoiled(kind: type):  # type: ignore[no-untyped-def]
    """A peer's answers of one kind as a liar gives them."""

    def change(message: Message) -> Message:
        match message:
            case Blocks() if kind is Blocks and message.checkpoint is not None:
                row = message.checkpoint
                signed = replace(row.cosignatures[0], signature=bytes(64))
                return replace(
                    message,
                    checkpoint=replace(row, cosignatures=(signed, *row.cosignatures[1:])),
                )
            case Batches() if kind is Batches and message.batches:
                return Batches(tuple(map(other_records, message.batches)))
            case _:
                return message

    return change


def other_records(batch: Batch) -> Batch:
    made = [replace(each, record=each.record + b"!") for each in batch.submissions]
    return replace(batch, submissions=tuple(made))


@pytest.mark.parametrize("kind", [Blocks, Batches])
def test_false_proofs_and_batches_are_asked_of_another(kind: type) -> None:
    caught: set[int] = set()
    for liar in (1, 2, 3):
        market = Ahead(seed=liar).busy(16)
        taking = market.take()
        change = spoiled(kind)
        market.cluster.nodes[liar].outgoing = lambda _, target, message, change=change: [  # type: ignore[misc]
            change(message) if target == 4 else message
        ]
        taking.start()
        assert taking.run() == "snapshot"
        assert {peer for peer, _ in taking.refused} <= {liar}
        caught |= {peer for peer, _ in taking.refused}
        market.cluster.nodes[liar].outgoing = None
        market.end()
    assert caught, "one of them was asked"


def into_the_next_epoch(node: Node, message: Message) -> Message:
    """Blocks as they are final, with the right finalization, but of two epochs."""
    if not isinstance(message, Blocks) or message.blocks[-1].height % 4:
        return message
    more = message.blocks[-1].height + 1
    row = read_row(node.store, FinalRow, final_key(more))
    if row is None or row.finalization is None:
        return message
    return Blocks((*message.blocks, row.block), row.tail, row.finalization, None)


def test_blocks_of_two_epochs_are_refused_and_the_taking_goes_on() -> None:
    market = Ahead().busy(16)
    taking = market.take()
    for liar in (1, 2):
        node = market.cluster.nodes[liar]
        node.outgoing = lambda _, target, message, node=node: [  # type: ignore[misc]
            into_the_next_epoch(node, message) if target == 4 else message
        ]
    taking.start()
    assert taking.run() == "snapshot"
    assert set(taking.refused) & {(1, "snapshot_blocks"), (2, "snapshot_blocks")}
    for liar in (1, 2):
        market.cluster.nodes[liar].outgoing = None
    market.end()


def test_erased_openings_come_as_residues_that_two_vouch_for() -> None:
    market = Ahead().busy(6)
    market.erase(1)
    market.busy(20)
    market.cluster.run_ms(3_000)
    taking = market.take().start()
    assert taking.run() == "snapshot"
    erased = len(list(market.cluster.nodes[1].store.scan(b"Y", b"Z")))
    assert erased > 3
    market.end(erased=erased)


def test_a_giver_that_has_not_destroyed_an_opening_leaves_none_behind_here() -> None:
    market = Ahead().busy(6)
    for number in (1, 2, 3):
        market.cluster.nodes[number].erase_lag_us = None
    market.erase(1)
    market.busy(20)
    taking = market.take().start()
    assert taking.run() == "snapshot"
    assert list(taking.store.scan(b"S", b"T"))
    for number in (1, 2, 3):
        market.cluster.nodes[number].erase_lag_us = 20_000
        market.cluster.nodes[number]._plan_erasing()
    market.cluster.run_ms(500)
    erased = len(list(market.cluster.nodes[1].store.scan(b"Y", b"Z")))
    market.end(erased=erased)


def test_false_residues_are_refused() -> None:
    market = Ahead().busy(6)
    market.erase(1)
    market.busy(20)
    market.cluster.run_ms(3_000)
    taking = market.take()
    market.cluster.nodes[3].outgoing = lambda node, target, message: (
        false_heir(node, target, message) if target == 4 else [message]
    )
    taking.start()
    assert taking.run() == "snapshot"
    assert set(taking.refused) <= {(3, "residue")}
    market.cluster.nodes[3].outgoing = None
    erased = len(list(market.cluster.nodes[1].store.scan(b"Y", b"Z")))
    market.end(erased=erased)


def test_of_residues_only_members_words_count() -> None:
    """A founder that is no member any more is linked, too; here two of them, who agree."""
    market = Ahead(6).busy(6)
    market.erase(1)
    market.busy(20)
    market.cluster.run_ms(3_000)
    taking = Taking(market.cluster, market.genesis, 6, members=(1, 2, 3, 6))
    for number in range(1, 6):
        market.cluster.nodes[number].outgoing = lambda node, target, message: (
            [message]
            if target != 6 or not isinstance(message, Batches | RemainsMessage)
            else false_heir(node, target, message)
            if node.number in {4, 5}
            else []
        )
    taking.start()
    market.cluster.run_ms(5_000)
    for number in range(1, 6):
        market.cluster.nodes[number].outgoing = None
    assert taking.run() == "snapshot"
    market.end(erased=len(list(market.cluster.nodes[1].store.scan(b"Y", b"Z"))))


# --- what all honest nodes give ---


def test_nodes_of_different_histories_give_the_same_snapshot() -> None:
    market = Ahead(5).busy(10)
    cluster = market.cluster
    cluster.crash(2, keep=1)
    market.work(1, 6)
    cluster.restart(2)
    cluster.hear_answers()
    market.erase(3)
    market.busy(20)
    cluster.run_ms(3_000)
    ledgers = [cluster.nodes[number].ledger for number in (1, 2, 3, 4)]
    common = set.intersection(*(set(each.manifests) for each in ledgers))  # type: ignore[union-attr]
    assert common
    for height in common:
        digests = {manifest_digest(each.manifests[height]) for each in ledgers}  # type: ignore[union-attr]
        assert len(digests) == 1


def test_the_taker_answers_others_that_there_is_nothing_here() -> None:
    market = Ahead().busy(2)
    taking = market.take()
    taking.silent = {1, 2, 3}
    taking.start()
    steps = taking.taker.handle(Received(2, FetchEnds()), market.cluster.nodes[4].now())
    assert [each for each in steps if isinstance(each, Send)] == [Send(2, Ends(()))]


def test_nothing_follows_when_it_is_over() -> None:
    market = Ahead().busy(2)
    taking = Taking(market.cluster, market.genesis, 4, members=(4,)).start()
    assert taking.taker.handle(LinkDown(1), market.cluster.nodes[4].now()) == []


# --- sets that change ---


@pytest.mark.parametrize("trusted", [(1, 2, 3, 4), (1, 2, 4, 5)])
def test_a_joiner_that_starts_after_sets_have_changed_takes_a_snapshot(
    trusted: tuple[int, ...],
) -> None:
    """By genesis's members, one of whom has left, or by those of a file of epoch ends."""
    federation = Federation(4, 37, 4)
    cluster, members = federation.cluster, federation.members
    pin(cluster, federation.genesis)
    for number in (1, 2, 3, 4):
        cluster.crash(number)
        cluster.restart(number)
        cluster.hear_answers()
    joiner = party(5)
    change = federation.say(1, members.propose(1, joiner))
    federation.agree(change, 2, 3)
    cluster.nodes[5] = Node(
        cluster, with_fields(cluster.nodes[1].config, me=5, keys=keys_of(joiner)), 0
    )
    federation.ready(joiner, change, lane=2)
    federation.until(1, 2, 3, 4, 5)
    federation.say(3, members.leave(3))
    federation.work(1)
    federation.until(1, 2, 4, 5)
    federation.work(4)
    taking = Taking(cluster, federation.genesis, 5, members=trusted).start()
    assert taking.run() == "snapshot"
    assert cluster.nodes[5].ledger.head.height >= 12
    cluster.hear_answers(8_000)
    assert cluster.nodes[5].state.silence is None
    federation.work(1)
    cluster.settle()
    steps = replayed(
        federation.genesis, ReaderSource(cluster.nodes[5].store), stored=cluster.nodes[5].store
    )
    assert [each for step in steps for each in step.findings] == []
