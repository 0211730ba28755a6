"""The made-up market: seeded, believable, and within the ledger's rules."""

from collections import Counter

import pytest

from ledger.errors import Refused
from ledger.genesis import FIRST_BOUNDS
from ledger.hashing import ZERO_HASH, sha256
from ledger.records.engagement import EngagementOutcome
from ledger.rules import check_stateful, check_stateless, enact, read_record
from node.demo.feed import _registration, _steps
from node.demo.market import DAY_MS, PLATFORMS, Market, make_market
from node.importing.dry_run import _Registry
from node.importing.plan import Draft

NOW_MS = 1_800_000_000_000


@pytest.fixture(scope="module")
def market() -> Market:
    return make_market(7, NOW_MS)


def test_equal_seeds_make_equal_markets(market: Market) -> None:
    assert make_market(7, NOW_MS) == market
    assert make_market(8, NOW_MS) != market


@pytest.mark.parametrize("seed", [0, 1, 2026])
def test_it_has_what_the_demo_promises(seed: int) -> None:
    market = make_market(seed, NOW_MS)
    assert len(market.history) >= 4_000
    assert len(market.workers) >= 300
    assert sum(worker.is_linked for worker in market.workers) * 5 >= len(market.workers)
    assert sum(worker.is_newcomer for worker in market.workers) >= 20
    assert {job.platform for job in market.history} == {1, 2, 3, 4}
    statuses = Counter(job.status for job in market.history)
    wanted = ("completed", "late", "cancelled-by-worker", "cancelled-by-client", "no-show", "")
    assert all(statuses[each] for each in wanted)
    assert all(0 < worker.reliability < 1 for worker in market.workers)
    assert {job.worker for job in market.history} <= {
        account.reference for worker in market.workers for account in worker.accounts
    }


def test_a_linked_worker_has_accounts_on_distinct_platforms_with_distinct_keys(
    market: Market,
) -> None:
    for worker in market.workers:
        numbers = [account.platform.number for account in worker.accounts]
        assert len(set(numbers)) == len(numbers) <= 3
    seeds = [account.seed for worker in market.workers for account in worker.accounts]
    assert len(set(seeds)) == len(seeds)


def test_strict_platforms_accept_less_of_the_same(market: Market) -> None:
    def good_share(code: str) -> float:
        number = next(each.number for each in PLATFORMS if each.code == code)
        closed = [job for job in market.history if job.platform == number and job.fault]
        return sum(
            job.acceptance == "accepted" and job.status == "completed" for job in closed
        ) / len(closed)

    assert good_share("byteworks") < good_share("atelier")


def test_reliable_workers_end_well_more_often(market: Market) -> None:
    truth = {
        account.reference: worker.reliability
        for worker in market.workers
        for account in worker.accounts
    }

    def good_share(low: float, high: float) -> float:
        jobs = [job for job in market.history if job.status and low <= truth[job.worker] < high]
        return sum(
            job.status == "completed" and job.acceptance == "accepted" for job in jobs
        ) / len(jobs)

    assert good_share(0.0, 0.6) < good_share(0.6, 0.85) < good_share(0.85, 1.0)


def test_every_record_keeps_the_ledgers_rules(market: Market) -> None:
    registry = _Registry()
    handles = {}

    def accept(draft: Draft, at_ms: int) -> None:
        for _, reference in draft.references:
            handles.setdefault(reference, sha256(reference.text.encode()))
        data = draft.build(handles)
        record = read_record(data, FIRST_BOUNDS)
        try:
            check_stateless(ZERO_HASH, record, b"")
            check_stateful(registry, record, record.platform, at_ms)
        except Refused as error:
            pytest.fail(f"{record}: {error}")
        enact(registry, record, 0, at_ms)

    for worker in market.workers:
        for account in worker.accounts:
            accept(_registration(account, has_key=worker.is_linked), NOW_MS)
    for client in market.clients:
        accept(_registration(client, has_key=False), NOW_MS)
    for job in market.history:
        for at_ms, draft in _steps(job):
            assert NOW_MS - 400 * DAY_MS < at_ms < NOW_MS
            accept(draft, NOW_MS)
    for job in market.live:
        accept(job.open(NOW_MS), NOW_MS)
        for draft in job.close(NOW_MS + 100):
            accept(draft, NOW_MS + 200)


def test_live_jobs_are_not_late(market: Market) -> None:
    assert market.live
    assert not any(job.status == "late" for job in market.live)
    closes = [draft for job in market.live for draft in job.close(NOW_MS)]
    assert any(draft.kind is EngagementOutcome for draft in closes)
