"""Residues: with any records erased, the ledger is executed to the same rows and roots."""

import random

import pytest
from msgspec.structs import replace

from ledger.batch import Submission
from ledger.encoding import decode, encode
from ledger.erasing import residue_of
from ledger.errors import StoreDamaged
from ledger.genesis import FIRST_BOUNDS
from ledger.record_rows import record_key
from ledger.records import decode_record, encode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.replay import Finding, ReaderSource, replay
from ledger.residue import Remains, Residue
from ledger.rows import LeafRow, leaf_key, need_row, residue_key, submission_key
from ledger.store import LANE, RESIDUE, SUBMISSION, MemoryStore, after
from tests.ledger.world import DAY, World, genesis_of, handle, key_of, reference

ERASURE = 9_999
Place = tuple[int, int, int]


def market(seed: int) -> World:
    """A random ledger: people on two platforms, engagements of all kinds, refused records too."""
    drawn = random.Random(seed)
    world = World(genesis_of(bounds=replace(FIRST_BOUNDS, epoch_blocks=3)))
    people = [f"w{n}" for n in range(4)] + [f"c{n}" for n in range(3)]
    assurances = ("none", "contact", "document", "in-person")
    world.put(
        1, [world.register(name, key=True, assurance=drawn.choice(assurances)) for name in people]
    )
    world.put(2, [world.register("v", 2, key=True)])
    world.block()
    world.run(world.link((1, "w0"), (2, "v")), lane=2)
    opened: list[tuple[str, str, str]] = []
    for step in range(12):
        world.time += drawn.choice((1, DAY, 9 * DAY, 40 * DAY))
        said: list[Submission] = []
        for _ in range(drawn.randrange(1, 4)):
            name, worker, client = f"e{len(opened)}", *drawn.sample(people, 2)
            back = drawn.choice((0, 0, 3 * DAY, 30 * DAY))
            opened.append((name, worker, client))
            said.append(world.submit(world.open(name, worker, client, at=world.time - back)))
        for name, worker, client in drawn.sample(opened, min(len(opened), 5)):
            said += _what_follows(world, drawn, name, worker, client)
        if step % 3 == 0:
            said += [said[0], world.submit(b"no record"), world.submit(world.outcome("nothing"))]
        world.run(*said)
    return world


def _what_follows(
    world: World, drawn: random.Random, name: str, worker: str, client: str
) -> list[Submission]:
    said = [
        {"status": "completed", "acceptance": drawn.choice(("accepted", "rejected", "partial"))},
        {"status": "late", "lateness_band": 3, "fault": drawn.choice(("none", "client"))},
        {"status": "no-show", "acceptance": "unknown", "fault": "worker"},
        {"status": "force-majeure", "acceptance": "unknown"},
    ]
    basis = drawn.choice(("platform", "counterparty"))
    outcome = world.outcome(name, basis=basis, **drawn.choice(said))
    of_worker = world.rating(name, client, value=drawn.randrange(1, 6))
    key = key_of("subject", worker)
    of_client = world.rating(
        name, worker, direction="of-client", value=drawn.randrange(1, 6), rater_key=key.public
    )
    return [world.submit(outcome), world.submit(of_worker), world.submit(of_client, key)]


def places(world: World) -> dict[bytes, Place]:
    """Submission row key → the record's place."""
    found = {}
    for key, name in world.store.scan(LANE, after(LANE)):
        lane, height = int.from_bytes(key[1:5]), int.from_bytes(key[5:13])
        prefix = SUBMISSION + name
        for row, _ in world.store.scan(prefix, after(prefix)):
            found[row] = (lane, height, int.from_bytes(row[33:]))
    return found


def erase(world: World, store: MemoryStore, keys: list[bytes]) -> None:
    """Put residues in the place of openings, one after the other, as erasures would."""
    vocabulary = world.state.vocabulary
    at = places(world)
    for key in keys:
        residue = residue_of(store, vocabulary, at[key], ERASURE)
        assert residue == decode(Residue, encode(residue), bytes_max=8_192, what="residue")
        store.write({key: None, residue_key(key[1:33], at[key][2]): encode(residue)})


def findings(world: World, store: MemoryStore) -> list[Finding]:
    """What a replay finds, but for what says that no erasure justifies these residues: rows of
    refused records under the erasure that is none, instead of under their subjects."""
    steps = list(replay(world.genesis, ReaderSource(store), stored=store))
    found = [finding for step in steps for finding in step.findings]
    return [each for each in found if each.kind != "residue" and "refused-record" not in each.where]


@pytest.mark.parametrize("seed", range(6))
def test_any_erased_records_leave_the_same_ledger(seed: int) -> None:
    world, drawn = market(seed), random.Random(seed)
    keys = sorted(places(world))
    assert findings(world, world.store) == []
    for share in (0.1, 0.5, 1.0):
        store = world.store.copy()
        count = int(share * len(keys))
        erase(world, store, drawn.sample(keys, count))
        assert findings(world, store) == []
        steps = replay(world.genesis, ReaderSource(store))
        assert sum(step.erased for step in steps) == count


def test_open_then_erased_then_outcome_replays_alike() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"))
    world.run(world.open("a"), world.open("b"))
    erase(world, world.store, [key for key, place in places(world).items() if place[1] == 2])
    world.run(world.outcome("a"), world.rating("a"), world.open("a"))
    assert findings(world, world.store) == []
    world.run(world.rating("b", value=1), world.outcome("b", status="late", lateness_band=1))
    assert findings(world, world.store) == []


def _residues(world: World) -> dict[Place, Residue]:
    at = places(world)
    store = world.store.copy()
    erase(world, store, list(at))
    found = {}
    for key, place in at.items():
        found[place] = need_row(store, Residue, residue_key(key[1:33], place[2]))
    return found


def test_a_stand_in_says_no_more_than_it_must() -> None:
    world = World()
    world.run(*(world.register(name) for name in ("w", "c")))
    opened = world.open("a", format="contest", domains=("software.web",), value_band=9)
    world.run(opened)
    world.run(world.outcome("a", status="no-show", acceptance="unknown", fault="worker"))
    rated = world.rating("a", value=4, dimensions=(("quality", 2),))
    world.run(rated)
    world.run(world.rating("a", "w", direction="of-client", value=3))
    left = {
        place[1]: decode_record(each.stand_in)
        for place, each in _residues(world).items()
        if place[1] > 1
    }
    first = left[2]
    assert isinstance(first, EngagementOpen)
    assert (first.format, first.role, first.value_band) == ("freelance", "lead", 0)
    assert (first.reference, first.worker, first.client) == (
        reference("a"), handle("w"), handle("c"),
    )  # fmt: skip
    outcome = left[3]
    assert isinstance(outcome, EngagementOutcome)
    assert (outcome.status, outcome.fault) == ("late", "none"), "a newcomer's bad one is tallied"
    assert isinstance(left[4], Rating)
    assert (left[4].value, left[4].dimensions) == (5, ())
    assert isinstance(left[5], Rating)
    assert left[5].value == 3


def test_the_stand_in_of_a_link_is_dated_as_its_batch() -> None:
    """Its own date is gone; that of its batch is as late, and known from the header anyway."""
    world = World()
    world.run(world.register("w", key=True), world.register("c", key=True))
    link = world.link((1, "w"), (1, "c"))
    world.time += DAY
    world.put(1, [link], time=world.time)
    world.block()
    left = decode_record(_residues(world)[1, 2, 0].stand_in)
    assert left == replace(decode_record(link.record), at=world.lane_times[1])  # type: ignore[type-var]


def test_an_outcome_says_good_bad_or_nothing_and_on_whose_word() -> None:
    world = World()
    world.run(world.register("w"), world.register("c"))
    world.run(*map(world.open, ("good", "bad", "nothing")))
    world.run(
        world.outcome("good", basis="counterparty"),
        world.outcome("bad", status="no-show", fault="worker", acceptance="unknown"),
        world.outcome("nothing", status="force-majeure", acceptance="unknown"),
    )
    said = [
        (record.status, record.basis)
        for each in _residues(world).values()
        if isinstance(record := decode_record(each.stand_in), EngagementOutcome)
    ]
    assert said == [
        ("completed", "counterparty"),
        ("late", "platform"),
        ("unresolved", "platform"),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_false_residue_is_found(seed: int) -> None:
    world, drawn = market(seed), random.Random(seed)
    keys = sorted(places(world))
    store = world.store.copy()
    erase(world, store, drawn.sample(keys, len(keys) // 2))
    rows = list(store.scan(RESIDUE, after(RESIDUE)))
    for key, data in drawn.sample(rows, 12):
        true = decode(Residue, data, bytes_max=8_192, what="residue")
        for false in _false(true):
            wrong = store.copy()
            wrong.write({key: encode(false)})
            assert findings(world, wrong) != [], (true, false)


def _false(true: Residue) -> list[Residue]:
    false = [
        replace(true, commitment=bytes(32)),
        replace(true, hash=bytes(32)),
        replace(true, rule="malformed" if true.rule != "malformed" else "unknown-scale"),
    ]
    if true.rule == "malformed":
        return false  # a stand-in that is no record is refused by the very same rule
    if true.rule:
        return [*false, replace(true, rule="")]
    record = decode_record(true.stand_in)
    false.append(replace(true, stand_in=b"no record"))
    if isinstance(record, EngagementOpen):
        others = [
            replace(record, worker=handle("w9")),
            replace(record, at=record.at - 1),
            replace(record, due_until=record.due_until + DAY),
        ]
        false += [replace(true, stand_in=encode_record(each)) for each in others]
    if isinstance(record, EngagementOutcome):
        false.append(
            replace(true, stand_in=encode_record(replace(record, reference=reference("e99"))))
        )
    return false


def test_what_is_not_there_has_no_residue() -> None:
    world = World()
    world.run(world.register("w"))
    [key] = places(world)
    vocabulary = world.state.vocabulary
    store = world.store.copy()
    erase(world, store, [key])
    with pytest.raises(StoreDamaged, match="no opening any more"):
        residue_of(store, vocabulary, (1, 1, 0), 5)
    store = world.store.copy()
    leaf = need_row(store, LeafRow, leaf_key(1))
    store.write({record_key(leaf.commitment): None})
    with pytest.raises(StoreDamaged):
        residue_of(store, vocabulary, (1, 1, 0), 5)
    store = world.store.copy()
    store.write({key: None})
    assert {each.kind for each in findings(world, store)} >= {"batch"}


def test_remains_read_like_a_batch() -> None:
    world = World()
    batch = world.put(1, [world.register("w"), world.register("c")])
    world.block()
    store = world.store.copy()
    name = world.tips[1].hash
    erase(world, store, [submission_key(name, 1)])
    remains = ReaderSource(store).batch(1, 1, name)
    assert isinstance(remains, Remains)
    assert remains.submissions[0] == batch.submissions[0]
    assert remains.commitments == batch.commitments
    assert remains.payload_root == batch.header.root


def test_a_record_whose_id_begins_like_a_later_ones_is_erased_all_the_same() -> None:
    """Whoever makes two such records must not stop every node with the erasure of the first."""
    world = market(3)
    leaves = [need_row(world.store, LeafRow, leaf_key(n)) for n in (1, 2, 3, 20, 21)]
    for leaf in leaves:
        place = leaf.lane, leaf.height, leaf.position
        made = residue_of(world.store, world.state.vocabulary, place, ERASURE)
        assert made.stand_in
        later = world.state.size - 2
        world.store.write({record_key(leaf.commitment): encode(later)})
        assert residue_of(world.store, world.state.vocabulary, place, ERASURE) == made
