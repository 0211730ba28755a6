"""Samples of comparable subjects: bounded, drawn by the checkpoint, and what they say."""

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from ledger.bureau.answer import Question
from ledger.bureau.basis import Basis
from ledger.bureau.reading import answer
from node.api import peers
from node.api.peers import Samples, standing_among, take_sample
from tests.ledger.world import DAY, START, World, genesis_of, handle

WORKERS = 24


@dataclass(frozen=True)
class Certified:
    """A checkpoint as the bureau reads it."""

    height: int
    size: int
    root: bytes
    time: int
    note: bytes = b""


def certified(world: World) -> Certified:
    state = world.state
    return Certified(state.height, state.log.size, state.log.root(), state.time)


@pytest.fixture(scope="module")
def world() -> World:
    """24 workers of whom the n-th has failed n times in 30, one with two files, some others."""
    made = World(genesis_of(platforms=2))
    names = [f"w{at}" for at in range(WORKERS)]
    made.run(
        *(made.register(each, key=True) for each in (*names, "second", "idle")),
        *(made.register(f"c{at}", assurance="document") for at in range(30)),
        time=START + DAY,
    )
    made.run(made.link((1, "w0"), (1, "second")))
    for at, name in enumerate(names):
        made.run(*(made.open(f"{name}-{n}", worker=name, client=f"c{n}") for n in range(30)))
        late = {"status": "late", "fault": "worker", "lateness_band": 1}
        made.time += DAY
        made.run(*(made.outcome(f"{name}-{n}", **(late if n < at else {})) for n in range(30)))
    made.run(
        *(made.open(f"s{n}", worker="second", client=f"c{n}") for n in range(3)),
        made.open("off", worker="idle", client="c0", domains=("care",)),
    )
    made.time += DAY
    made.run(*(made.outcome(f"s{n}") for n in range(3)), made.outcome("off"))
    return made


def question(world: World, name: str = "w0", domain: str = "") -> Question:
    return Question(1, handle(name), "worker", domain, world.state.time)


def basis(world: World) -> Basis:
    return Basis(world.store, certified(world))


def test_everybody_is_in_it_once(world: World) -> None:
    sample = take_sample(world.store, basis(world), question(world))
    assert len(sample.probabilities) == WORKERS
    assert list(sample.probabilities) == sorted(sample.probabilities)
    assert sample.read == WORKERS + 1  # the thin one; no clients, and one file of whom has two
    assert (sample.size, sample.time) == (world.state.log.size, world.state.time)
    assert sample == take_sample(world.store, basis(world), question(world, "w7"))


def test_with_a_domain_evidence_on_it_is_needed(world: World) -> None:
    care = take_sample(world.store, basis(world), question(world, domain="care"))
    assert len(care.probabilities) == 0
    web = take_sample(world.store, basis(world), question(world, domain="software.web"))
    assert len(web.probabilities) == WORKERS


def test_it_is_bounded_and_another_at_another_checkpoint(world: World, monkeypatch) -> None:
    monkeypatch.setattr(peers, "WORKERS_MAX", 10)
    first = take_sample(world.store, basis(world), question(world))
    assert len(first.probabilities) == 10
    drawn = {first.probabilities}
    for _ in range(6):
        world.run()
        drawn.add(take_sample(world.store, basis(world), question(world)).probabilities)
    assert len(drawn) > 1
    monkeypatch.setattr(peers, "LEAVES_MAX", 100)
    assert take_sample(world.store, basis(world), question(world)).read <= 3
    monkeypatch.setattr(peers, "ROWS_MAX", 3)
    assert take_sample(world.store, basis(world), question(world)).read <= 3
    monkeypatch.setattr(peers, "FILE_LEAVES_MAX", 40)
    monkeypatch.setattr(peers, "ROWS_MAX", 1_000)
    found = take_sample(world.store, basis(world), question(world))
    assert found.too_long == WORKERS
    assert found.probabilities == ()
    clients = take_sample(world.store, basis(world), replace(question(world), role="client"))
    assert clients.too_long == WORKERS + 30


def test_the_best_stands_high_and_the_worst_low(world: World) -> None:
    sample = take_sample(world.store, basis(world), question(world))
    shown = {}
    for name in ("w0", "w12", "w23", "idle"):
        found = answer(world.store, certified(world), question(world, name))
        shown[name] = standing_among(sample, found, certified(world))
    assert shown["w0"].percentile == 97  # 23.5 of 24
    assert shown["w23"].percentile == 2
    assert 40 <= shown["w12"].percentile <= 60
    low, high = shown["w12"].percentiles
    assert low < shown["w12"].percentile < high
    assert list(shown["w0"].quartiles) == sorted(shown["w0"].quartiles)
    assert shown["idle"].percentile is None
    assert shown["idle"].quartiles is not None


def test_of_few_nothing_is_said(world: World, monkeypatch) -> None:
    monkeypatch.setattr(peers, "WORKERS_MAX", 19)
    sample = take_sample(world.store, basis(world), question(world))
    found = answer(world.store, certified(world), question(world))
    shown = standing_among(sample, found, certified(world))
    assert shown is not None
    assert (shown.sampled, shown.percentile, shown.quartiles) == (19, None, None)


def test_a_sample_is_kept_for_a_while_and_never_past_an_erasure(world: World, monkeypatch) -> None:
    taken = []
    monkeypatch.setattr(
        peers, "take_sample", lambda *given: taken.append(given) or take_sample(*given)
    )
    samples = Samples()

    def get(generation: int = 0, **other: str) -> peers.Sample:
        return samples.get(world.store, basis(world), question(world, **other), generation)

    first = get()
    assert get(name="w3") is first
    world.run(time=world.state.time + peers.FRESH_MS // 2)
    assert get() is first
    assert len(taken) == 1
    get(domain="software")
    assert len(taken) == 2
    assert get(1) is not first
    assert len(taken) == 3
    world.run(time=world.state.time + 2 * peers.FRESH_MS)
    get(1)
    assert len(taken) == 4
