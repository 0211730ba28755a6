"""The market's records through the four nodes' HTTP APIs, as four platforms would send them.

In order: everyone is registered by their platform; people who work on several link their handles,
signed by the keys of both; then each platform imports its year of history, all four at once; last,
live jobs open, are final, and close.

History is imported in hindsight, and every node marks it retrospective; only the live jobs were
opened before their outcome was known. A record that is refused ends the demo: the market breaks
no rules.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ledger.errors import StandingError
from ledger.hashing import sha256
from ledger.records import encode_record
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.signing import SigningKey, signed_message
from node.client import Client
from node.demo.jobs import Job
from node.demo.market import PLATFORMS, Account, Market, Worker
from node.importing.node_target import NodeTarget
from node.importing.plan import Draft, Reference

CHUNK_RECORDS: Final = 1_000
HANDLES_AT_ONCE: Final = 4_000
EVERYWHERE_TIMEOUT_S: Final = 60.0
EVERYWHERE_POLL_S: Final = 0.05

T = TypeVar("T")
OnRecords = Callable[[int], None]


class FeedFailed(StandingError):
    """A node refused a record of the market, or the federation does not get it final."""


@dataclass(slots=True)
class Lane:
    """One platform's way into the ledger."""

    number: int
    client: Client
    target: NodeTarget
    ids: list[str] = field(default_factory=list)


class Feed:
    """Feeds one market. `records` counts what was accepted."""

    def __init__(
        self, market: Market, clients: Sequence[Client], chain: bytes, on_records: OnRecords
    ) -> None:
        self._market = market
        self._chain = chain
        self._on_records = on_records
        self._handles: dict[Reference, bytes] = {}
        self._lanes = {
            platform.number: Lane(platform.number, client, NodeTarget(client, platform.number))
            for platform, client in zip(PLATFORMS, clients, strict=True)
        }
        self.records = 0

    def subject(self, account: Account) -> str:
        """An account's subject, `platform code:handle`."""
        return f"{account.platform.code}:{self._handles[account.reference].hex()}"

    async def register(self) -> None:
        """Everyone's platform registers them; done when every node knows all."""
        drafts = _by_platform(
            (account.platform.number, _registration(account, has_key=worker.is_linked))
            for worker in self._market.workers
            for account in worker.accounts
        )
        clients = _by_platform(
            (account.platform.number, _registration(account, has_key=False))
            for account in self._market.clients
        )
        await self._each(
            lambda lane: self._send(lane, [*clients[lane.number], *drafts[lane.number]])
        )
        await self._settle()
        await self._everywhere()

    async def link(self) -> None:
        """People with several accounts link the first one with each other one."""
        links = _by_platform(
            (worker.accounts[0].platform.number, (worker, other))
            for worker in self._market.workers
            for other in worker.accounts[1:]
        )

        async def send(lane: Lane) -> None:
            await self._offer(lane, [self._link(*link) for link in links[lane.number]])

        await self._each(send)
        await self._settle()

    async def import_history(self) -> None:
        """Each platform's past jobs, in the order of their times."""
        steps = _by_platform(
            (job.platform, step) for job in self._market.history for step in _steps(job)
        )
        for each in steps.values():
            each.sort(key=lambda step: step[0])
        await self._each(lambda lane: self._send(lane, [draft for _, draft in steps[lane.number]]))
        await self._settle()

    async def live(self) -> None:
        """Jobs that open now, and close once their opens are final."""
        jobs = _by_platform((job.platform, job) for job in self._market.live)
        await self._each(
            lambda lane: self._send(lane, [job.open(_now_ms()) for job in jobs[lane.number]])
        )
        await self._settle()
        now_ms = _now_ms()
        await self._each(
            lambda lane: self._send(
                lane, [draft for job in jobs[lane.number] for draft in job.close(now_ms)]
            )
        )
        await self._settle()

    # -- sending --------------------------------------------------------------------------------

    async def _each(self, work: Callable[[Lane], Coroutine[Any, Any, None]]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for lane in self._lanes.values():
                    tasks.create_task(work(lane))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _send(self, lane: Lane, drafts: Sequence[Draft]) -> None:
        await self._name(lane, drafts)
        for start in range(0, len(drafts), CHUNK_RECORDS):
            chunk = [draft.build(self._handles) for draft in drafts[start : start + CHUNK_RECORDS]]
            await self._offer(lane, [(record, b"") for record in chunk])

    async def _name(self, lane: Lane, drafts: Sequence[Draft]) -> None:
        references = {reference for draft in drafts for _, reference in draft.references}
        missing = sorted(references - self._handles.keys())
        for start in range(0, len(missing), HANDLES_AT_ONCE):
            part = missing[start : start + HANDLES_AT_ONCE]
            self._handles.update(zip(part, await lane.target.handles(part), strict=True))

    async def _offer(self, lane: Lane, records: Sequence[tuple[bytes, bytes]]) -> None:
        for answer in await lane.client.submit_msgpack(records) if records else ():
            problem = answer.get("problem")
            if problem is not None:
                raise FeedFailed(f"{lane.client.url} refused a record: {problem}")
            lane.ids.append(answer["id"])
        self.records += len(records)
        self._on_records(len(records))

    async def _settle(self) -> None:
        """Wait until all that was sent is final."""

        async def settle(lane: Lane) -> None:
            refused = await lane.target.settle(lane.ids[-1:])
            if refused:
                raise FeedFailed(f"{lane.client.url}: {refused.popitem()}")

        await self._each(settle)

    async def _everywhere(self) -> None:
        """Wait until every node has executed the newest record of every lane."""
        ids = [lane.ids[-1] for lane in self._lanes.values() if lane.ids]
        deadline = time.monotonic() + EVERYWHERE_TIMEOUT_S
        for lane in self._lanes.values():
            while any(state != "final" for state, _ in await lane.client.states(ids)):
                if time.monotonic() > deadline:
                    raise FeedFailed(f"{lane.client.url} does not keep up with the others")
                await asyncio.sleep(EVERYWHERE_POLL_S)

    async def check_final(self) -> None:
        """Demand that every single record that was accepted is final.

        Raises:
            FeedFailed: one was refused at execution, or is not there.
        """

        async def check(lane: Lane) -> None:
            for record_id, (state, rule) in zip(
                lane.ids, await lane.client.states(lane.ids), strict=True
            ):
                if state != "final":
                    raise FeedFailed(f"{lane.client.url}: record {record_id} is {state} {rule}")

        await self._each(check)

    # -- links ----------------------------------------------------------------------------------

    def _link(self, worker: Worker, other: Account) -> tuple[bytes, bytes]:
        first, second = sorted(
            (worker.accounts[0], other), key=lambda account: account.platform.number
        )
        first_key, second_key = _key(first), _key(second)
        record = encode_record(
            SubjectLink(
                worker.accounts[0].platform.number,
                self._market.now_ms,
                first.platform.number,
                self._handles[first.reference],
                first_key.public,
                second.platform.number,
                self._handles[second.reference],
                second_key.public,
            )
        )
        message = signed_message("record", self._chain, sha256(record))
        return record, first_key.sign(message) + second_key.sign(message)


def _key(account: Account) -> SigningKey:
    return SigningKey.from_seed(account.seed)


def _registration(account: Account, *, has_key: bool) -> Draft:
    fields = {
        "platform": account.platform.number,
        "at": account.since_ms,
        "key": _key(account).public if has_key else b"",
        "assurance": "document" if has_key else "contact",
    }
    return Draft("subject.register", SubjectRegister, fields, (("handle", account.reference),))


def _steps(job: Job) -> list[tuple[int, Draft]]:
    return [(job.opened_ms, job.open()), *((job.closed_ms, draft) for draft in job.close())]


def _by_platform(pairs: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = {platform.number: [] for platform in PLATFORMS}
    for number, item in pairs:
        found[number].append(item)
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
