"""Founding, executing and loading: what a block writes, and what a restart refuses."""

import pytest
from msgspec.structs import replace

from ledger import merkle
from ledger.block import encode_seal, refusals_hash, rule_hash
from ledger.bureau.standing import NEW_PLATFORM, Annotation, PlatformTally, RaterTally, standing
from ledger.encoding import decode, encode
from ledger.errors import StoreDamaged
from ledger.execution import TURN_RECORDS
from ledger.files import (
    closure,
    entry_at,
    file_head,
    file_value,
    index_key,
    read_file,
    read_subject,
    read_summary,
    summary_value,
)
from ledger.genesis import FIRST_BOUNDS, Genesis, genesis_seal
from ledger.hashing import sha256
from ledger.index import EMPTY_ROOT
from ledger.merkle import leaf_hash
from ledger.record_rows import RecordRow, find_record, log_index_of, record_key, refusal_key
from ledger.records import RECORD_TYPES, TAGS
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    BlockRow,
    HeadRow,
    LeafRow,
    PairRow,
    SubjectRow,
    block_key,
    leaf_key,
    need_row,
    pair_key,
    parameters_key,
    read_row,
    tile_key,
    validators_key,
)
from ledger.state import apply_block, apply_in_turns, batches_follow, load
from ledger.store import RATER, SUBJECT, MemoryStore, after, subject_key
from ledger.tiles import TileReader
from tests.ledger.world import DAY, START, World, genesis_of, handle, reference


def small_epochs(epoch_blocks: int = 2) -> Genesis:
    return genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=epoch_blocks))


def busy(world: World) -> None:
    """Two workers, two clients, engagements with outcomes and ratings, on two platforms."""
    world.put(1, [world.register("w", key=True), world.register("c", assurance="document")])
    world.put(2, [world.register("w2", 2, key=True), world.register("c2", 2)])
    world.block()
    world.run(world.open("a"), world.open("b"), world.link((1, "w"), (2, "w2")))
    world.put(2, [world.open("x", "w2", "c2", platform=2)])
    world.run(world.outcome("a"), world.rating("a"), world.rating("b", value=1))
    world.run(world.rating("a", "w", direction="of-client"))
    world.run(world.outcome("b", status="late", lateness_band=2), world.rating("b"))


@pytest.fixture
def world() -> World:
    made = World(small_epochs())
    busy(made)
    return made


def test_block_zero_is_genesis_seal() -> None:
    world = World()
    seal = genesis_seal(world.genesis.foundation)
    assert entry_at(world.store, 0) == encode_seal(seal)
    assert world.state.log.root() == leaf_hash(encode_seal(seal))
    row = need_row(world.store, BlockRow, block_key(0))
    assert (row.first, row.size, row.hash) == (0, 1, world.chain)
    assert world.state.index.root() == EMPTY_ROOT


def test_log_is_the_entries_and_the_seal_is_last(world: World) -> None:
    size = world.state.size
    entries = [entry_at(world.store, at) for at in range(size)]
    hashes = [leaf_hash(each) for each in entries]
    assert merkle.root(hashes) == world.state.log.root()
    for height in range(world.state.height + 1):
        row = need_row(world.store, BlockRow, block_key(height))
        assert entries[row.size - 1] == encode_seal(row.seal)
        assert merkle.root(hashes[: row.size]) == row.root
    tiles = TileReader(lambda level, index: world.store.get(tile_key(level, index)) or b"")
    proof = merkle.inclusion_proof(tiles.read_node, 3, size)
    merkle.verify_inclusion(hashes[3], 3, size, proof, world.state.log.root())


def test_index_holds_every_file_head(world: World) -> None:
    for platform, name in ((1, "w"), (1, "c"), (2, "w2"), (2, "c2")):
        items = read_file(world.store, platform, handle(name), world.state.size)
        head = file_head([item.leaf_bytes for item in items])
        key = index_key(0, platform, handle(name))
        assert world.state.index.get(key) == file_value(len(items), head)
        for item in items:
            assert item.submission is not None
            assert item.leaf.annotation_hash == sha256(item.submission.salt, item.annotation)


def test_file_has_each_record_about_its_subject(world: World) -> None:
    tags = [TAGS[kind] for kind in RECORD_TYPES]
    register, link, opened, outcome, rating, *_ = tags
    items = read_file(world.store, 1, handle("w"), world.state.size)
    assert [item.leaf.type for item in items] == [
        register, opened, opened, link, outcome, rating, rating, rating, outcome,
    ]  # fmt: skip
    client = read_file(world.store, 1, handle("c"), world.state.size)
    assert [item.leaf.type for item in client] == [
        register, opened, opened, outcome, rating, rating, rating, outcome,
    ]  # fmt: skip
    opens = {item.leaf.log_index for item in items if item.leaf.type == opened}
    targets = {item.leaf.target for item in items if item.leaf.type in {outcome, rating}}
    assert targets == opens
    earlier = read_file(world.store, 1, handle("w"), items[3].leaf.log_index)
    assert earlier == items[:3]


def test_second_rating_of_a_party_is_refused_with_a_salted_rule(world: World) -> None:
    again = world.submit(world.rating("b"))
    applied = world.run(again)
    (refusal,) = applied.refusals
    assert refusal.rule_hash == rule_hash(again.salt, "rating-exists")
    assert applied.seal.refusals == refusals_hash(applied.refusals)
    assert applied.records == ((refusal.commitment, None, "rating-exists"),)
    key = refusal_key(refusal.commitment, 1, refusal.height, refusal.position)
    row = need_row(world.store, RecordRow, key)
    assert (row.log_index, row.rule) == (None, "rating-exists")
    assert applied.size == applied.first + 1


def test_annotations_count_pairs_and_carry_the_standing_before() -> None:
    world = World()
    model = world.state.parameters.model
    world.run(world.register("w"), world.register("c", assurance="in-person"))
    world.run(world.open("a"), world.open("b"))
    world.time += 1_000
    world.run(
        world.outcome("a"),
        world.rating("a"),
        world.rating("b", "w", direction="of-client", value=1),
        world.rating("b", value=2),
        world.outcome("b"),
    )
    items = read_file(world.store, 1, handle("w"), world.state.size)[3:]
    seen = [decode(Annotation, item.annotation, bytes_max=64) for item in items]
    attested = standing(RaterTally(0, 0, attested=True), model)
    assert [each.pair_count for each in seen] == [1, 1, 1, 2, 2]
    assert [each.standing_q16 for each in seen[:2]] == [attested, attested]
    once_praised = standing(RaterTally(attested, 0, attested=False), model)
    assert seen[2].standing_q16 == once_praised
    assert 0 < once_praised < attested
    assert seen[3].standing_q16 == seen[4].standing_q16 < attested, "the client was rated badly"
    assert {each.retrospective for each in seen} == {0}


@pytest.mark.parametrize(
    ("opened_days_ago", "ended_days_ago", "expected"),
    [(0, -1, 0), (6, -1, 0), (7, -1, 0), (8, -1, 1), (3, 1, 1), (3, 0, 1)],
)
def test_retrospective(opened_days_ago: int, ended_days_ago: int, expected: int) -> None:
    world = World()
    world.run(world.register("w", at=START - 90 * DAY), world.register("c", at=START - 90 * DAY))
    known = world.time + 1
    world.run(world.open("a", at=known - opened_days_ago * DAY), time=known)
    world.run(world.outcome("a", at=known - ended_days_ago * DAY), time=known + 2 * DAY)
    item = read_file(world.store, 1, handle("w"), world.state.size)[-1]
    assert decode(Annotation, item.annotation, bytes_max=64).retrospective == expected


def test_pairs_are_counted_by_who_speaks_of_whom() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"))
    world.run(world.open("a"), world.open("b"), world.open("x", "c", "w"), world.open("y"))
    world.run(*(world.outcome(name) for name in "abxy"))
    world.run(
        *(world.rating(name) for name in "aby"),
        world.rating("x", "w"),
        world.rating("a", "w", direction="of-client"),
    )
    items = read_file(world.store, 1, handle("w"), world.state.size)[5:]
    counts = [decode(Annotation, item.annotation, bytes_max=64).pair_count for item in items]
    assert counts == [1, 2, 1, 3, 1, 2, 3, 1, 2]
    worker, client = (subject_key(1, handle(name)) for name in "wc")
    assert need_row(world.store, PairRow, pair_key(client, worker)) == PairRow(3, 3)
    assert need_row(world.store, PairRow, pair_key(worker, client)) == PairRow(1, 2)


def test_newcomers_are_counted_by_their_first_results() -> None:
    world = World()
    first = world.state.parameters.model.newcomer_results
    names = [f"e{i}" for i in range(first + 2)]
    world.run(world.register("w"), world.register("c"))
    world.run(*(world.open(name) for name in names))
    # Half in one block, half in the next: both live rows and stored ones have to count.
    world.run(*(world.outcome(name) for name in names[:2]))
    world.run(*(world.outcome(name) for name in names[2:]))
    tally = need_row(world.store, PlatformTally, b"Q" + (1).to_bytes(4))
    assert (tally.closed, tally.newcomers, tally.newcomers_good) == (first + 2, first, first)


def test_epoch_end_enters_summaries_and_names_the_next_set() -> None:
    world = World(small_epochs(3))
    world.run(world.register("w"), world.register("c", assurance="document"))
    applied = world.run(world.open("a"))
    assert applied.seal.validators is None
    key = index_key(2, 1)
    assert world.state.index.get(key) is None
    assert read_summary(world.store, 2, 1, b"", world.state.height) is None
    applied = world.run(world.outcome("a"), world.rating("a"))
    assert applied.seal.validators == world.genesis.foundation.validators
    tally = replace(NEW_PLATFORM, opened=1, closed=1, newcomers=1, newcomers_good=1)
    assert world.state.index.get(key) == summary_value(encode(tally))
    assert read_summary(world.store, 2, 1, b"", world.state.height) == encode(tally)
    assert world.state.index.get(index_key(1, 1, handle("w"))) is not None, "it was rated"
    assert world.state.index.get(index_key(1, 1, handle("c"))) is None, "it was only registered"
    assert not list(world.store.scan(b"D", b"E"))


def test_summary_of_the_epoch_before_is_still_read() -> None:
    world = World(small_epochs(2))
    world.run(world.register("w"), world.register("c"))
    world.run(world.open("a"))
    world.run(world.open("b"))
    world.run(world.open("c"))
    newest = read_summary(world.store, 2, 1, b"", 4)
    before = read_summary(world.store, 2, 1, b"", 3)
    assert newest is not None
    assert before is not None
    assert decode(PlatformTally, newest, bytes_max=99).opened == 3
    assert decode(PlatformTally, before, bytes_max=99).opened == 1
    assert world.state.index.get(index_key(2, 1), 3) == summary_value(before)


def overdue(world: World) -> int:
    row = read_row(world.store, PlatformTally, b"Q" + (1).to_bytes(4))
    return 0 if row is None else row.overdue


def test_open_engagements_become_overdue_with_time_and_close_again() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"))
    world.run(world.open("a"), world.open("b"), world.open("z", due_until=world.time + 90 * DAY))
    assert overdue(world) == 0
    world.run(world.register("d"), time=world.time + 40 * DAY)
    assert overdue(world) == 2
    world.run(world.outcome("a"))
    assert overdue(world) == 1
    old = world.time - 400 * DAY
    world.run(world.open("old", at=old), world.outcome("z"))
    assert overdue(world) == 2
    world.run(world.outcome("old", at=old), world.outcome("b"))
    assert overdue(world) == 0
    assert not list(world.store.scan(b"V", b"W"))


def test_links_join_files_at_a_size(world: World) -> None:
    size = world.state.size
    both = [(1, handle("w")), (2, handle("w2"))]
    assert closure(world.store, 1, handle("w"), size) == both
    assert closure(world.store, 2, handle("w2"), size) == both
    assert closure(world.store, 1, handle("w"), 4) == [(1, handle("w"))]
    row = read_subject(world.store, 2, handle("w2"))
    assert row is not None
    assert row.links == ((1).to_bytes(4) + handle("w"),)


def test_copied_submission_in_a_foreign_lane_harms_nobody() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"))
    original = world.submit(world.open("a"))
    world.put(1, [])
    assert world.run(original, lane=2).records[0][2] == "foreign-platform"
    applied = world.run(original)
    record_id, log_index, rule = applied.records[0]
    assert (log_index, rule) == (applied.first, "")
    world.run(original, lane=2)
    for lane in (0, 1, 2):
        row = find_record(world.store, record_id, lane)
        assert row is not None
        assert row.log_index == log_index, "the copy's refusal does not hide the original"


def test_refusal_of_a_copy_does_not_hide_why_the_original_was_refused() -> None:
    world = World()
    original = world.submit(world.open("a"))
    copied = world.run(original, lane=2).records
    record_id, _, rule = copied[0]
    assert rule == "foreign-platform"
    assert find_record(world.store, record_id, 1) == RecordRow(2, 1, 0, None, rule)
    world.run(original)
    world.run(original, lane=2)
    assert find_record(world.store, record_id, 1) == RecordRow(1, 1, 0, None, "unknown-subject")
    assert find_record(world.store, record_id, 2) == RecordRow(2, 2, 0, None, rule)
    assert find_record(world.store, bytes(32)) is None


def test_of_two_records_whose_ids_begin_alike_the_later_is_found() -> None:
    world = World()
    applied = world.run(world.register("w"), world.register("c"))
    earlier, later = (record_id for record_id, _, _ in applied.records)
    assert log_index_of(world.store, earlier) == 1
    key = record_key(earlier)
    world.store.write({key: encode(2)})  # as if the later one's id had been found to fit
    assert find_record(world.store, earlier) is None
    world.store.write({key: encode(9)})
    with pytest.raises(StoreDamaged, match="leaf row 9"):
        find_record(world.store, earlier)
    assert log_index_of(world.store, later) == 2


def test_a_subject_that_nobody_has_rated_has_no_rater_tally() -> None:
    world = World()
    world.run(world.register("w", assurance="document"), world.register("c"))
    world.run(world.open("a"))
    assert list(world.store.scan(RATER, after(RATER))) == []
    world.run(world.outcome("a"), world.rating("a"))
    [(key, data)] = world.store.scan(RATER, after(RATER))
    assert key == RATER + subject_key(1, handle("w"))
    assert decode(RaterTally, data, bytes_max=50).attested


def test_duplicate_record_in_two_lanes_is_entered_once() -> None:
    world = World()
    world.put(1, [world.register("w", key=True)])
    world.run(world.register("w2", 2, key=True), lane=2)
    link = world.link((1, "w"), (2, "w2"))
    world.put(1, [link])
    assert [rule for *_, rule in world.run(link, lane=2).records] == ["", "link-exists"]


def test_same_handle_on_two_platforms_is_two_subjects() -> None:
    world = World()
    world.put(1, [world.register("w")])
    assert [rule for *_, rule in world.run(world.register("w", 2), lane=2).records] == ["", ""]
    assert len(read_file(world.store, 1, handle("w"), world.state.size)) == 1


def test_execution_is_a_function_of_its_inputs(world: World) -> None:
    world.put(1, [world.register("n"), world.open("e")])
    block, name, batches = world.next_block()
    other = load(world.store.copy(), 4)
    _, one = apply_block(world.state, world.store, block, name, batches)
    _, two = apply_block(other, world.store.copy(), block, name, batches)
    assert one == two


def test_a_block_in_turns_changes_nothing_before_its_last_turn() -> None:
    """And is then the same block, whatever was read between the turns."""
    world = World()
    world.put(1, [world.register(f"w{nth}") for nth in range(2 * TURN_RECORDS + 1)])
    world.put(2, [world.register("c", 2)])
    block, name, batches = world.next_block()
    given_up = apply_in_turns(world.state, world.store, block, name, batches)
    next(given_up)
    given_up.close()
    index, rows = world.state.index, list(world.store.scan(b"", b"\xff"))
    turns, count = apply_in_turns(world.state, world.store, block, name, batches), 0
    while True:
        before = (index.root(), len(index), index.versions())
        try:
            next(turns)
        except StopIteration as end:
            _, applied = end.value
            break
        count += 1
        assert (index.root(), len(index), index.versions()) == before == (EMPTY_ROOT, 0, [0])
        assert list(world.store.scan(b"", b"\xff")) == rows
    assert count == 6, "three turns of one lane's records, one of the other's, two of the end"
    again = World()
    again.put(1, [again.register(f"w{nth}") for nth in range(2 * TURN_RECORDS + 1)])
    again.put(2, [again.register("c", 2)])
    assert again.block() == applied


def test_a_long_block_has_the_log_that_single_appends_yield() -> None:
    world = World()
    before = world.state.log
    names = [f"s{i}" for i in range(600)]
    applied = world.run(*(world.register(name) for name in names))
    entries = [entry_at(world.store, at) for at in range(before.size, applied.size)]
    for entry in entries:
        before = before.append(leaf_hash(entry))
    assert world.state.log == before
    assert load(world.store).log == before


def test_load_continues_where_it_stopped(world: World) -> None:
    state = load(world.store, 16)
    for name in ("height", "block_hash", "time", "epoch", "validators", "cut", "log", "chain"):
        assert getattr(state, name) == getattr(world.state, name), name
    assert state.index.root() == world.state.index.root()
    world.state = state
    assert world.rules(world.outcome("a"), world.register("new")) == ["outcome-exists", ""]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (HEAD_KEY, "meta row head"),
        (b"Mgenesis", "meta row genesis"),
        (block_key(5), "block row 5"),
        (tile_key(0, 0), "tile"),
    ],
)
@pytest.mark.parametrize("at", [0, 20, -1])
def test_load_refuses_a_damaged_store(world: World, key: bytes, named: str, at: int) -> None:
    assert world.state.height == 5
    row = bytearray(world.store.get(key) or b"")
    row[at] ^= 1
    world.store.write({key: bytes(row)})
    with pytest.raises(StoreDamaged, match="move the node's data folder away"):
        load(world.store)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: replace(row, length=row.length + 4),
        lambda row: replace(row, length=row.length + 1),
        lambda row: replace(row, frontier=bytes(32) + row.frontier[32:]),
        None,
    ],
)
def test_load_demands_the_heads_of_files_that_were_sealed(world: World, change) -> None:
    key = SUBJECT + subject_key(1, handle("w"))
    row = need_row(world.store, SubjectRow, key)
    world.store.write({key: None if change is None else encode(change(row))})
    with pytest.raises(StoreDamaged, match=r"(subject|undo) ro.*move the node's data folder away"):
        load(world.store)


@pytest.mark.parametrize("key", [HEAD_KEY, b"Mgenesis", block_key(5), leaf_key(18)])
def test_load_names_a_missing_row(world: World, key: bytes) -> None:
    assert world.state.size == 19
    world.store.write({key: None})
    with pytest.raises(StoreDamaged, match=key.hex()):
        load(world.store)


def test_load_refuses_another_validator_set_than_the_one_sealed(world: World) -> None:
    key = validators_key(3)
    row = bytearray(world.store.get(key) or b"")
    row[-1] ^= 1
    world.store.write({key: bytes(row)})
    with pytest.raises(StoreDamaged, match=key.hex()):
        load(world.store)


def test_load_refuses_rows_that_contradict_each_other(world: World) -> None:
    """Each row is whole by itself."""
    head = need_row(world.store, HeadRow, HEAD_KEY)
    newest = need_row(world.store, BlockRow, block_key(5))
    other = replace(world.state.parameters, rules_version=2)
    stranger = genesis_of(3, world.genesis.foundation.bounds)
    leaf = LeafRow(1, 1, 0, START, 1, bytes(32), None, bytes(32), b"\x90", (), None)
    lies: list[tuple[bytes, object]] = [
        (HEAD_KEY, replace(head, epoch=2)),
        (HEAD_KEY, replace(head, cut=head.cut[1:])),
        (block_key(5), replace(newest, root=bytes(32))),
        (b"Mgenesis", stranger),
        (parameters_key(head.parameters), other),
        (leaf_key(18), leaf),
    ]
    for key, lie in lies:
        store = world.store.copy()
        store.write({key: encode(lie)})
        with pytest.raises(StoreDamaged):
            load(store)
    load(world.store)


def test_a_damaged_subject_row_is_named_by_execution(world: World) -> None:
    key = SUBJECT + subject_key(1, handle("w"))
    row = need_row(world.store, SubjectRow, key)
    row.frontier = row.frontier[:-1]
    world.store.write({key: encode(row)})
    with pytest.raises(StoreDamaged, match=key.hex()):
        world.run(world.open("n"))


def test_load_refuses_another_genesis_than_the_one_founded() -> None:
    world = World()
    load(world.store)
    world.store.write({GENESIS_KEY: encode(genesis_of(3))})
    with pytest.raises(StoreDamaged, match="genesis of the stored blocks"):
        load(world.store)


def test_an_unfounded_store_has_no_genesis() -> None:
    with pytest.raises(StoreDamaged, match="genesis"):
        load(MemoryStore())


def test_block_that_does_not_follow_is_our_own_bug(world: World) -> None:
    world.put(1, [])
    block, name, batches = world.next_block()
    with pytest.raises(AssertionError):
        apply_block(world.state, world.store, block, name, batches + batches)
    with pytest.raises(AssertionError):
        apply_block(world.state, world.store, block, name, [])


def test_batches_that_do_not_lead_from_cut_to_cut(world: World) -> None:
    world.put(1, [])
    world.put(2, [])
    block, _, batches = world.next_block()
    cut, tips = world.state.cut, block.tips
    assert batches_follow(cut, tips, batches)
    assert not batches_follow(cut, tips, batches[:1])
    assert not batches_follow(cut, tips, batches[::-1])
    assert not batches_follow(cut, tips[::-1], batches[::-1])
    assert not batches_follow(cut, (replace(tips[0], hash=bytes(32)), tips[1]), batches)
    assert not batches_follow({1: tips[0]}, tips, batches)


def test_engagement_references_are_per_platform(world: World) -> None:
    world.put(1, [world.register("k")])
    assert world.rules(world.open("a", "w2", "c2", platform=2), lane=2) == ["", ""]
    assert reference("a") == reference("a")
