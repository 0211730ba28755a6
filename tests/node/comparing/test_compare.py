"""Comparing models: a ledger executed twice, and the figures against answers asked one by one."""

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from ledger.batch import Submission
from ledger.bureau.answer import Question
from ledger.bureau.model import FIRST_MODEL, Model
from ledger.bureau.reading import answer, ask
from ledger.errors import StandingError
from ledger.genesis import FIRST_BOUNDS, Genesis
from ledger.parameters import parameters_hash
from ledger.records import Record
from ledger.source import ReaderSource
from ledger.store import SUBJECT, MemoryStore, Reader, after
from node.comparing.outcomes import Outcomes, calibration
from node.comparing.run import Plan, compare
from node.comparing.subjects import Compared, drawn, moves
from node.comparing.twins import Place, Twins, score_at
from tests.ledger.certify import certify
from tests.ledger.eraser import Eraser, market
from tests.ledger.members import Members, party
from tests.ledger.test_activating import SLOW, STERN
from tests.ledger.world import DAY, World, genesis_of, handle

SAME = replace(FIRST_MODEL, id="same")


@dataclass
class Held:
    """A world as a comparison reads a ledger: with its rows, or without."""

    world: World
    stored: Reader | None

    @property
    def source(self) -> ReaderSource:
        return ReaderSource(self.world.store)

    def genesis(self) -> Genesis:
        return self.world.genesis

    def size(self) -> int:
        return self.world.state.size


def compared(world: World, model: Model, *, remote: bool = False, **other: int):  # type: ignore[no-untyped-def]
    plan = Plan(model, **{"events_max": 1_000, "subjects_max": 1_000, "seed": 0, **other})
    ledger = Held(world, None if remote else world.store)
    return compare(ledger, plan, world.state.parameters)


@pytest.fixture(scope="module")
def eraser() -> Eraser:
    """Some work on one platform; one of three workers is erased, openings and all."""
    node = Eraser(busy())
    node.run(node.world.erasure("w3"))
    while node.world.state.erasing:
        node.block()
    node.destroy()
    return node


@pytest.mark.parametrize("seed", [3, 5])
def test_refusals_links_and_erasures_are_executed_alike_in_both(seed: int) -> None:
    node, _ = market(seed)
    while node.world.state.erasing:
        node.block()
    node.destroy()
    figures = compared(node.world, STERN)
    assert figures["outcomes"]["of"] >= figures["outcomes"]["predicted"]
    assert figures["subjects"]["of"] == 9


def test_the_same_numbers_move_nobody(eraser: Eraser) -> None:
    figures = compared(eraser.world, SAME)
    for view in ("on_the_day", "replayed"):
        told = figures[view]
        assert told["moved"] == told["no_longer_thin"] == told["newly_thin"] == 0
        assert told["absolute"]["max"] in {0, None}
    measured = figures["calibration"]
    assert measured["before"] == measured["on_the_day"] == measured["replayed"]
    assert measured["events"] > 5
    assert figures["numbers"] == [{"name": "id", "before": FIRST_MODEL.id, "after": "same"}]
    assert figures["most_moved"] == []


def test_openings_that_are_fetched_are_as_good_as_stored_ones(eraser: Eraser) -> None:
    assert compared(eraser.world, STERN, remote=True) == compared(eraser.world, STERN)


def busy(genesis: Genesis | None = None) -> World:
    """One platform: three workers and two clients, one of whom rates badly; standing matters."""
    world = World(genesis or genesis_of(2, bounds=replace(FIRST_BOUNDS, epoch_blocks=4)))
    people = [world.register(name, assurance="document") for name in ("w1", "w2", "c1")]
    people.append(world.register("w3", key=True, assurance="document"))
    world.run(*people, world.register("c2"), world.register("idle"))
    for n in range(18):
        worker, client = f"w{n % 3 + 1}", "c1" if n % 4 else "c2"
        world.run(world.open(f"e{n}", worker, client))
        world.time += 2 * DAY
        is_bad = n % 3 == 1
        said = {"status": "late", "lateness_band": 2, "fault": "worker"} if is_bad else {}
        basis = "counterparty" if n % 2 else "platform"
        outcome = world.outcome(f"e{n}", basis=basis, **said)
        world.run(outcome, world.rating(f"e{n}", client, value=1 if is_bad else 5))
        world.time += 9 * DAY
    return world


def answered(world: World, name: str, model: Model | None = None) -> int | None:
    """Points at the ledger's end; by another model from the same rows."""
    place = Place(world.state.height, world.state.size)
    question = Question(1, handle(name), "worker", "", world.state.time)
    parameters = world.state.parameters
    if model is not None:
        parameters = replace(parameters, model=model)
    return score_at(world.store, place, question, parameters).points


def test_who_moves_is_told_by_the_answers_of_either_model() -> None:
    world = busy()
    # The same history on a ledger whose genesis has the other model.
    first = world.genesis.foundation
    parameters = replace(first.parameters, model=STERN)
    otherwise = busy(genesis_of(2, first.bounds, parameters))
    twins = Twins(
        world.genesis,
        ReaderSource(world.store),
        STERN,
        rows=MemoryStore(),
        other_rows=MemoryStore(),
        stored=world.store,
    )
    for _ in twins.blocks():
        pass
    place = twins.place
    assert (place.height, place.size) == (world.state.height, world.state.size)
    certified = certify(world)
    moved = 0
    for name in ("w1", "w2", "w3"):
        question = ask(world.store, certified, 1, handle(name))
        as_it_is = score_at(twins.as_it_was, place, question, twins.now)
        assert as_it_is == answer(world.store, certified, question)
        replayed = score_at(twins.otherwise, place, question, twins.proposed)
        assert replayed == answer(otherwise.store, certify(otherwise), question)
        on_the_day = score_at(twins.as_it_was, place, question, twins.proposed)
        assert on_the_day.points == answered(world, name, STERN)
        moved += as_it_is.points != replayed.points
    assert moved
    figures = compared(world, STERN)
    assert figures["replayed"]["moved"] + figures["replayed"]["no_longer_thin"] >= moved
    assert figures["subjects"] == {"of": 6, "drawn": 6, "compared": 5}, "one has no engagement"
    assert figures["before"]["parameters"] == parameters_hash(world.state.parameters).hex()
    assert figures["after"]["parameters"] == parameters_hash(parameters).hex()
    assert set(figures["by"]["role"]) == {"worker", "client"}
    assert figures["by"]["platform"]["1 p1"]["replayed"] == figures["replayed"]


def test_each_outcome_is_predicted_from_what_was_known_before_it() -> None:
    """Of the block before the outcome's, and so of as many results as the worker had then."""
    world = busy()
    twins = Twins(
        world.genesis,
        ReaderSource(world.store),
        STERN,
        rows=MemoryStore(),
        other_rows=MemoryStore(),
        stored=world.store,
    )
    found = Outcomes(twins, world.state.parameters, 1_000, 0)
    seen = 0
    for block in twins.blocks():
        found.note(block)
        new = found.predicted[seen:]
        seen = len(found.predicted)
        if new:
            assert block.before.height == twins.place.height - 1
    assert found.total == len(found.predicted) == 18
    assert [each.before.good for each in found.predicted] == [n % 3 != 1 for n in range(18)]
    assert [each.before.earlier for each in found.predicted] == [n // 3 for n in range(18)]


def test_within_one_block_too_only_what_stands_before_is_known() -> None:
    """A history that is imported comes in few blocks."""
    world = World(genesis_of(2, bounds=replace(FIRST_BOUNDS, epoch_blocks=4)))
    said: list[Submission | Record] = [world.register("w"), world.register("c")]
    for n in range(5):
        said += [world.open(f"e{n}"), world.outcome(f"e{n}")]
    world.run(*said)
    twins = Twins(
        world.genesis,
        ReaderSource(world.store),
        SAME,
        rows=MemoryStore(),
        other_rows=MemoryStore(),
        stored=world.store,
    )
    found = Outcomes(twins, world.state.parameters, 1_000, 0)
    for block in twins.blocks():
        found.note(block)
    assert [each.before.earlier for each in found.predicted] == [0, 1, 2, 3, 4]


def test_of_many_outcomes_a_sample_is_drawn_alike_by_everybody(eraser: Eraser) -> None:
    whole = compared(eraser.world, STERN)["outcomes"]
    some, again = (compared(eraser.world, STERN, events_max=4) for _ in range(2))
    assert some == again
    assert 0 < some["outcomes"]["predicted"] <= 4 < whole["predicted"]
    assert some["outcomes"]["of"] == whole["of"]
    other = compared(eraser.world, STERN, events_max=4, seed=1)
    assert other["calibration"] != some["calibration"]
    none = compared(eraser.world, STERN, events_max=0)["calibration"]
    assert (none["events"], none["before"]["log_loss"]) == (0, None)


def test_of_many_subjects_a_sample_is_drawn_alike_by_everybody(eraser: Eraser) -> None:
    store = eraser.world.store
    everybody = [key[1:] for key, _ in store.scan(SUBJECT, after(SUBJECT))]
    assert drawn(store, 100, 0) == (len(everybody), everybody)
    total, some = drawn(store, 3, 0)
    assert (total, len(some)) == (len(everybody), 3)
    assert set(some) < set(everybody)
    assert drawn(store, 3, 0)[1] == some != drawn(store, 3, 5)[1]


def test_a_ledger_whose_model_changed_is_compared_with_the_one_in_force() -> None:
    """Members that joined, and a model that bound, stand in both runs alike."""
    world = busy(genesis_of(4, bounds=replace(FIRST_BOUNDS, epoch_blocks=8)))
    members = Members(world)
    fifth = party(5)
    change = members.ask(1, members.propose(1, fifth))
    members.agree(change, 2, 3)
    members.say(2, members.ready(fifth, change))
    assert 5 in members.end()
    change = members.ask(1, members.activate(1, SLOW))
    members.agree(change, 2, 3, 4)
    members.end()
    world.block()
    figures = compared(world, FIRST_MODEL)
    assert (figures["before"]["id"], figures["after"]["id"]) == ("slow", FIRST_MODEL.id)
    back = compared(world, replace(SLOW, id="slower"))
    assert back["on_the_day"]["moved"] == 0
    plan = Plan(STERN, 10, 10, 0)
    with pytest.raises(StandingError, match="another model has come into force"):
        compare(Held(world, world.store), plan, world.genesis.foundation.parameters)


def test_a_ledger_that_is_not_right_is_not_compared() -> None:
    world = busy()
    last = world.waiting or None
    assert last is None
    key = next(key for key, _ in world.store.scan(b"S", b"T"))
    held = world.store.get(key)
    assert held is not None
    world.store.write({key: held[:-1] + bytes([held[-1] ^ 1])})
    with pytest.raises(StandingError, match="standing audit"):
        compared(world, STERN)


def test_figures_of_moves() -> None:
    def one(before: int | None, after_: int | None) -> Compared:
        return Compared(1, bytes(32), "worker", "gig", "work", before, after_, before)

    told = moves(
        [one(500, 510), one(600, 570), one(None, 400), one(700, None), one(1, 1)], "on_the_day"
    )
    assert (told["subjects"], told["scored_before"], told["scored"]) == (5, 4, 4)
    assert (told["moved"], told["up"], told["down"]) == (2, 1, 1)
    assert (told["no_longer_thin"], told["newly_thin"]) == (1, 1)
    assert told["points"] == {"p05": -30, "p25": -30, "p50": 0, "p75": 0, "p95": 0}
    assert told["absolute"] == {"p50": 10, "p90": 10, "p99": 10, "max": 30}
    nobody = moves([], "replayed")
    assert (nobody["subjects"], nobody["absolute"]["max"], nobody["points"]["p50"]) == (
        0,
        None,
        None,
    )
    assert calibration([])["before"] == {"auc": None, "log_loss": None, "brier": None, "ece": None}
