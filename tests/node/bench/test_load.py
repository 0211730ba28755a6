"""The load: seeded, skewed as it says, made of records that the ledger takes."""

from collections import Counter
from itertools import islice

import pytest

from ledger.batch import Submission
from ledger.records import decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from node.bench.load import PlatformLoad, Population
from tests.ledger.world import World, genesis_of

SMALL = Population(workers=200, clients=40)


def load(population: Population = SMALL, *, seed: int = 1, place: int = 0) -> PlatformLoad:
    return PlatformLoad(bytes(32), place + 1, (place, 4), population, seed)


def test_population_is_dealt_out_evenly() -> None:
    parts = [load(place=place) for place in range(4)]
    workers = {handle for part in parts for handle in part.workers}
    clients = {handle for part in parts for handle in part.clients}
    assert [len(part.workers) for part in parts] == [50] * 4
    assert (len(workers), len(clients)) == (200, 40)
    assert len(list(parts[0].registrations(1))) == 60


def test_equal_seeds_equal_loads() -> None:
    first, second, other = load(), load(), load(seed=2)
    drawn = first.engagements(500)
    assert drawn == second.engagements(500)
    assert drawn != other.engagements(500)
    assert first.open(drawn[0], 7) == second.open(drawn[0], 7)
    more = first.engagements(9_000)
    assert len({each.reference for each in (*drawn, *more)}) == 9_500


def test_work_follows_zipfs_law() -> None:
    counts = Counter(each.worker for each in load().engagements(40_000))
    # weight of the first of 50 is 1 / H(50), about 0.222; the second has half of it
    assert counts[0] / 40_000 == pytest.approx(0.222, abs=0.02)
    assert counts[1] / counts[0] == pytest.approx(0.5, abs=0.05)
    assert counts[49] > 0


@pytest.mark.parametrize("rater_signed", [False, True])
def test_the_ledger_takes_the_load(rater_signed: bool) -> None:
    world = World(genesis_of(platforms=1))
    population = Population(workers=30, clients=5, rater_signed=rater_signed)
    part = PlatformLoad(world.chain, 1, (0, 1), population, 1)

    def run(offers: list[tuple[bytes, bytes]]) -> list[str]:
        items = [world.submit(record) for record, _ in offers]
        signed = [
            Submission(item.salt, item.record, signatures)
            for item, (_, signatures) in zip(items, offers, strict=True)
        ]
        return world.rules(*signed)

    assert not any(run(list(part.registrations(world.time))))
    engagements = part.engagements(60)
    assert not any(run([part.open(each, world.time) for each in engagements]))
    closing = [offer for each in engagements for offer in part.close(each, world.time)]
    assert not any(run(closing))
    assert all(bool(signatures) == rater_signed for _, signatures in closing[1::2])


def test_records_are_the_three_of_an_engagement() -> None:
    part = load()
    (engagement,) = part.engagements(1)
    offers = [part.open(engagement, 5), *part.close(engagement, 6)]
    kinds = [type(decode_record(record)) for record, _ in offers]
    assert kinds == [EngagementOpen, EngagementOutcome, Rating]
    (first, _), *_ = islice(part.registrations(5), 1)
    assert isinstance(decode_record(first), SubjectRegister)
