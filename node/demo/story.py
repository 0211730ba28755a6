"""The demo's story: create, start, feed, wait until all is final, look, verify, audit, compare.

Each step fills its part of the figures; the telling of it is `telling.py`'s. A check that does not
hold makes the demo end with 1, after the story was told.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger.policy import Policy
from node.client import Client
from node.demo.checks import audit, verify
from node.demo.feed import Feed
from node.demo.findings import (
    Agreement,
    Scored,
    agreement,
    all_scores,
    pick_sample,
    rank_correlation,
    retrospective,
)
from node.demo.market import PLATFORMS, Market, make_market
from node.demo.telling import Telling
from node.federation import Federation, create

SEED: Final = 2026
POLICY: Final = "policy"
ALIVE_POLL_S: Final = 1.0


@dataclass(slots=True)
class Figures:
    """What the demo found; `to_json` has the keys of the published figures."""

    market: Market
    records: int = 0
    import_seconds: float = 0.0
    total_seconds: float = 0.0
    agreed: Agreement | None = None
    sample: Scored | None = None
    scored_workers: int = 0
    rank_correlation: float = 0.0
    in_hindsight: int = 0
    in_foresight: int = 0
    verification: dict[str, Any] = field(default_factory=dict)
    tampered: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)

    @property
    def bundle_verified(self) -> bool:
        """The bundle is accepted as it is, says the same points, and is refused when changed."""
        is_valid = self.verification.get("valid") is True
        says = self.verification.get("points")
        is_same = self.sample is not None and says == self.sample.points
        return is_valid and is_same and self.tampered.get("valid") is False

    @property
    def records_final(self) -> int:
        """Records in the audited ledger."""
        return int(self.audit.get("records", 0))

    @property
    def is_good(self) -> bool:
        """Whether every check held."""
        return (
            self.agreed is not None
            and self.agreed.roots_equal
            and self.bundle_verified
            and self.audit.get("findings") == []
            and self.records_final == self.records
        )

    def to_json(self) -> dict[str, Any]:
        """The figures by their published names."""
        agreed, sample = self.agreed, self.sample
        assert agreed is not None, "the story was told to its end"
        assert sample is not None, "the story was told to its end"
        return {
            "nodes": len(PLATFORMS),
            "engagements": len(self.market.history) + len(self.market.live),
            "records_final": self.records_final,
            "checkpoint_size": agreed.size,
            "roots_equal": agreed.roots_equal,
            "cosignatures_min": agreed.cosignatures_min,
            "workers": len(self.market.workers),
            "linked_workers": sum(worker.is_linked for worker in self.market.workers),
            "rank_correlation": round(self.rank_correlation, 4),
            "scored_workers": self.scored_workers,
            "sample": {
                "subject": sample.subject,
                "points": sample.points,
                "probability": sample.answer["probability"],
                "interval": sample.answer["interval"],
                "reasons": sample.answer["reasons"],
            },
            "bundle_verified": self.bundle_verified,
            "audit_findings": len(self.audit["findings"]),
            "import_seconds": round(self.import_seconds, 3),
            "total_seconds": round(self.total_seconds, 3),
            "retrospective_engagements": self.in_hindsight,
            "live_engagements": self.in_foresight,
            "seed": self.market.seed,
        }


async def run_demo(
    folder: Path, *, seed: int, stay: bool, telling: Telling, on_figures: Callable[[Figures], None]
) -> bool:
    """Tell the story in `folder`; True if every check held. With `stay` it ends at Ctrl-C.

    Raises:
        StandingError: a node does not come up, or a step cannot be done.
    """
    started = time.monotonic()
    _end_at_sigterm()
    market = make_market(seed, time.time_ns() // 1_000_000)
    figures = Figures(market)
    await asyncio.to_thread(create, folder, [platform.code for platform in PLATFORMS])
    async with Federation.at(folder) as federation, AsyncExitStack() as stack:
        telling.nodes_up(federation, time.monotonic() - started)
        clients = [
            await stack.enter_async_context(Client(url, token))
            for url, token in zip(federation.urls, federation.tokens, strict=True)
        ]
        text = await clients[0].policy()
        (folder / POLICY).write_text(text, encoding="utf-8")
        policy = Policy.parse(text)
        feed = await _feed(market, clients, figures, telling)
        await _look(feed, clients, policy, figures, telling)
        await _check(federation, clients, figures, telling)
        figures.total_seconds = time.monotonic() - started
        telling.end(figures.total_seconds, is_good=figures.is_good)
        on_figures(figures)
        if stay:
            assert figures.sample is not None, "a sample was picked"
            links = [await client.sign_in_link() for client in clients]
            telling.staying(federation, links, folder, figures.sample)
            await _until_interrupted(federation)
    return figures.is_good


def _end_at_sigterm() -> None:
    """Let SIGTERM end the story as Ctrl-C does, so that no node outlives it."""
    task = asyncio.current_task()
    assert task is not None, "the story runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _feed(market: Market, clients: list[Client], figures: Figures, telling: Telling) -> Feed:
    started = time.monotonic()
    network = await clients[0].network()
    with telling.feeding(market) as bar:
        feed = Feed(market, clients, bytes.fromhex(network["chain"]), bar.advance)
        await feed.register()
        await feed.link()
        await feed.import_history()
        await feed.live()
        await feed.check_final()
    figures.records = feed.records
    figures.import_seconds = time.monotonic() - started
    telling.fed(market, feed.records, figures.import_seconds)
    return feed


async def _look(
    feed: Feed, clients: list[Client], policy: Policy, figures: Figures, telling: Telling
) -> None:
    figures.agreed = await agreement(clients, policy)
    telling.agreed(figures.agreed)
    with telling.scoring(figures.market) as bar:
        scored = await all_scores(
            figures.market.workers,
            clients,
            lambda worker: feed.subject(worker.accounts[0]),
            lambda: bar.advance(1),
        )
    figures.sample = pick_sample(scored)
    figures.rank_correlation, figures.scored_workers = rank_correlation(scored)
    figures.in_hindsight, figures.in_foresight = retrospective(scored)
    telling.honest(figures.in_hindsight, figures.in_foresight)
    telling.sample(figures.sample)


async def _check(
    federation: Federation, clients: list[Client], figures: Figures, telling: Telling
) -> None:
    folder, sample = federation.folder, figures.sample
    assert sample is not None, "a sample was picked"
    policy, whole = folder / POLICY, folder / "sample.bundle"
    data = await clients[0].bundle(sample.subject)
    whole.write_bytes(data)
    changed = folder / "sample-changed.bundle"
    middle = len(data) // 2
    changed.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    figures.verification, figures.tampered, figures.audit = await asyncio.gather(
        verify(whole, policy),
        verify(changed, policy),
        audit(federation.urls[0], federation.tokens[0], policy),
    )
    telling.verified(len(data), figures.verification, figures.tampered)
    telling.audited(figures.audit, figures.records)
    telling.ranked(figures.rank_correlation, figures.scored_workers, len(figures.market.workers))


async def _until_interrupted(federation: Federation) -> None:
    """Stay until SIGINT or SIGTERM, or until a node ends by itself."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        federation.check_alive()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), ALIVE_POLL_S)
