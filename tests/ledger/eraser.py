"""A node that destroys what its ledger erases, and random ledgers with erasures in them."""

import random

from msgspec.structs import replace

from ledger.batch import Submission, commitment
from ledger.encoding import encode
from ledger.erasing import residues_of
from ledger.genesis import FIRST_BOUNDS
from ledger.records import TAGS
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.replay import Finding, ReaderSource, replay
from ledger.rows import (
    lane_key,
    residue_key,
    submission_key,
)
from ledger.state import Applied
from ledger.store import (
    MemoryStore,
    subject_key,
)
from tests.ledger.world import DAY, World, genesis_of, handle, key_of

WINDOW = 16
"""Blocks that the index of a `World` keeps."""
PEOPLE = tuple(f"w{n}" for n in range(4)) + tuple(f"c{n}" for n in range(3))
ERASABLE = frozenset(
    TAGS[kind] for kind in (SubjectRegister, SubjectLink, EngagementOpen, EngagementOutcome, Rating)
)


def key(name: str) -> bytes:
    return subject_key(1, handle(name))


class Eraser:
    """Executes like any node, and puts residues in the place of openings as it is told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: list[tuple[int, int, int, int]] = []
        self.erased: list[tuple[int, int, int, int]] = []

    def block(self) -> Applied:
        applied = self.world.block()
        self.waiting.extend(applied.erased)
        return applied

    def run(self, *said: object, lane: int = 1) -> Applied:
        self.world.put(lane, list(said))  # type: ignore[arg-type]
        return self.block()

    def destroy(self, count: int | None = None) -> None:
        """Destroy the openings that wait, or the first `count` of them."""
        taken = self.waiting[:count]
        del self.waiting[: len(taken)]
        self.erased.extend(taken)
        store = self.world.store
        residues = list(residues_of(store, self.world.state.vocabulary, taken))
        for (lane, height, position, _), residue in zip(taken, residues, strict=True):
            name = store.get(lane_key(lane, height))
            assert name is not None
            rows = {
                residue_key(name, position): encode(residue),
                submission_key(name, position): None,
            }
            store.write(rows)


def findings(world: World, store: MemoryStore | None = None) -> list[Finding]:
    held = store or world.store
    steps = list(replay(world.genesis, ReaderSource(held), stored=held))
    return [finding for step in steps for finding in step.findings]


# --- random ledgers ---


def market(seed: int, *, platforms: int = 2) -> tuple[Eraser, dict[bytes, bytes]]:
    """A random ledger with erasures in it: of one platform's file or the whole, by several people,
    again and again; records about them before, between and after; refused ones; links. Openings
    are destroyed now and then. Besides: the openings by commitment, as they were."""
    drawn = random.Random(seed)
    world = World(genesis_of(platforms, bounds=replace(FIRST_BOUNDS, epoch_blocks=3)))
    node = Eraser(world)
    assurances = ("none", "contact", "document", "in-person")
    people = [world.register(each, key=True, assurance=drawn.choice(assurances)) for each in PEOPLE]
    first = [world.submit(each) for each in people]
    others = [world.submit(world.register(each, 2, key=True)) for each in "vx"]
    world.put(1, first)
    world.put(2, others)
    node.block()
    opened: list[tuple[str, str, str]] = []
    asked: list[bytes] = []
    openings = {commitment(each): encode(each) for each in (*first, *others)}
    for _ in range(16):
        world.time += drawn.choice((1, DAY, 9 * DAY, 40 * DAY))
        said: list[Submission] = []
        for _ in range(drawn.randrange(1, 4)):
            name, worker, client = f"e{len(opened)}", *drawn.sample(PEOPLE, 2)
            back = drawn.choice((0, 0, 3 * DAY, 30 * DAY))
            opened.append((name, worker, client))
            said.append(world.submit(world.open(name, worker, client, at=world.time - back)))
        for engagement in drawn.sample(opened, min(len(opened), 4)):
            said += _follows(world, drawn, *engagement)
        said += [world.submit(world.outcome("nothing")), world.submit(b"no record")]
        said.append(drawn.choice(said))
        said.append(world.submit(world.register(drawn.choice(PEOPLE), key=True)))
        said.append(world.submit(world.rating(drawn.choice(opened)[0], "stranger")))
        if drawn.random() < 0.5:
            said.append(_link(world, drawn))
        if drawn.random() < 0.5:
            scope = drawn.choice(("platform", "whole"))
            said.append(world.erasure(drawn.choice(PEOPLE), scope=scope))
        if drawn.random() < 0.2:
            said.append(world.erasure(drawn.choice("vx"), 2, scope="whole"))
        said += [world.submit(world.ack(each)) for each in asked[-2:]]
        drawn.shuffle(said)
        openings.update({commitment(each): encode(each) for each in said})
        asked += [commitment(each) for each in said if _is_erasure(each)]
        lane = drawn.choice((1, 1, 1, 2))
        node.run(*said, lane=lane)
        if drawn.random() < 0.4:
            node.destroy(drawn.randrange(1 + len(node.waiting)))
    return node, openings


def _is_erasure(item: Submission) -> bool:
    return item.record[:2] == bytes([0x96, TAGS[Erasure]])


def _link(world: World, drawn: random.Random) -> Submission:
    one = (1, drawn.choice(PEOPLE))
    other = drawn.choice(((2, "v"), (2, "x"), (1, drawn.choice(PEOPLE))))
    return world.link(one, other) if one != other else world.submit(b"")


def _follows(
    world: World, drawn: random.Random, name: str, worker: str, client: str
) -> list[Submission]:
    said = [
        {"status": "completed", "acceptance": drawn.choice(("accepted", "rejected", "partial"))},
        {"status": "late", "lateness_band": 3, "fault": drawn.choice(("none", "client"))},
        {"status": "no-show", "acceptance": "unknown", "fault": "worker"},
    ]
    basis = drawn.choice(("platform", "counterparty"))
    outcome = world.outcome(name, basis=basis, **drawn.choice(said))
    of_worker = world.rating(name, client, value=drawn.randrange(1, 6))
    signing = key_of("subject", worker)
    of_client = world.rating(
        name, worker, direction="of-client", value=drawn.randrange(1, 6), rater_key=signing.public
    )
    return [world.submit(outcome), world.submit(of_worker), world.submit(of_client, signing)]


def linked() -> World:
    """w and c on platform 1, v on platform 2, each with a key; w and v are linked; a is open."""
    made = World()
    made.put(1, [made.register(name, key=True) for name in ("w", "c")])
    made.put(2, [made.register("v", 2, key=True)])
    made.block()
    made.run(made.link((1, "w"), (2, "v")), made.open("a"), made.outcome("a"))
    return made
