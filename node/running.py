"""One running node: what the HTTP API, the pages and the audit ask, and how it starts and stops."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from consensus.effects import Effect
from ledger.errors import Misconfigured, StandingError
from ledger.genesis import Genesis, chain_id, epoch_of
from ledger.membership import Validator
from ledger.position import State
from ledger.rows import ValidatorsRow, need_row, validators_key
from ledger.store import Reader
from node.accusing import Accuser
from node.aliases import Aliases
from node.api.app import make_app
from node.bounds import Bounds
from node.config import Config
from node.driver import NEVER_SIGNS, Driver
from node.eraser import Eraser
from node.events import Events
from node.index_file import keep_index
from node.intake import Closed, Intake, Offer, Result, Sent
from node.keyring import Keyring
from node.links.farewell import Farewell
from node.links.peers import Peers
from node.listening import BoundedSite
from node.loglines import LogLines
from node.membership import Membership, members_linked
from node.metrics import Metrics
from node.outside import Outside
from node.platforms import Platforms
from node.publiclog import PublicLog
from node.relaying import Relay, may_be_carried
from node.seat import Role, Seat
from node.snapshot.serving import Serving
from node.storage.leveldb import LevelStore
from node.tracking import RecordStatus, Tracking
from node.view import Certificate, policy_of
from node.witness import Witness

log = logging.getLogger(__name__)

API_STOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of."""

    config: Config
    bounds: Bounds
    genesis: Genesis
    keyring: Keyring
    store: LevelStore
    peers: Peers
    driver: Driver
    seat: Seat
    membership: Membership
    relay: Relay
    farewell: Farewell
    serving: Serving
    lines: LogLines
    accuser: Accuser
    platforms: Platforms
    intake: Intake
    tracking: Tracking
    aliases: Aliases
    eraser: Eraser
    events: Events
    metrics: Metrics
    witness: Witness | None
    first_effects: Sequence[Effect]


class Node:
    """One running node: what the HTTP API, the pages and the audit ask."""

    def __init__(self, parts: Parts) -> None:
        foundation = parts.genesis.foundation
        self._parts = parts
        self.config: Config = parts.config
        self.genesis: Genesis = parts.genesis
        self.chain: bytes = chain_id(foundation)
        self.origin: str = foundation.origin
        self.number: int = parts.keyring.number
        self.code: str = parts.keyring.code
        self.events: Events = parts.events
        self.metrics: CollectorRegistry = parts.metrics.registry
        self.witness: Witness | None = parts.witness
        bounds = foundation.bounds
        public = PublicLog(parts.store, self.origin, bounds.epoch_blocks)
        self._outside = Outside(parts.config.witnesses, public, lambda: self.certified, parts.store)
        self._serving = False
        self._learning: asyncio.Task[None] | None = None
        self._api = web.AppRunner(make_app(self), access_log=None, shutdown_timeout=API_STOP_S)

    # --- life ---

    async def start(self) -> None:
        """Start the pump, open the links, then the API.

        Raises:
            Misconfigured: an address cannot be listened on.
        """
        self._parts.serving.start(self.state)
        self._parts.driver.start(self._parts.first_effects)
        self._parts.eraser.start()
        self._parts.membership.start()
        await self._parts.peers.start(self._parts.relay, self._parts.farewell)
        self._parts.accuser.start()
        self._parts.lines.start()
        self._learning = asyncio.create_task(self._learn_absent())
        listen = self.config.api_listen
        await self._api.setup()
        try:
            await BoundedSite(
                self._api,
                listen,
                connections_max=self._parts.bounds.connections_max,
                handshake_s=self._parts.bounds.handshake_s,
            ).start()
        except OSError as error:
            raise Misconfigured(f"api.listen: {listen}: {error.strerror}") from error
        self._serving = True
        self._outside.start()
        if self.forgotten:
            log.error("%s", self.forgotten)
        log.info("platform %s serves http://%s:%d", self.code, *self.api_address)

    @property
    def ready(self) -> bool:
        """Whether the node serves: a validator once it may sign (consensus/silence.py), an observer
        once it has caught up."""
        if not self._serving:
            return False
        if self.role == "observer":
            has_caught_up = self._parts.driver.knows_log() and bool(self.linked)
            return not self.forgotten and has_caught_up
        return self._parts.driver.may_seal()

    @property
    def role(self) -> Role:
        """Whether this node votes."""
        return self._parts.seat.role

    @property
    def api_address(self) -> tuple[str, int]:
        """Host and port of the HTTP API (where the configuration said port 0, the one given)."""
        host, port, *_ = self._api.addresses[0]
        return str(host), int(port)

    async def stop(self) -> None:
        """Stop in order: API, pump, links, index, store. What was accepted is on disk then."""
        self._serving = False
        await self._outside.stop()
        await self._api.cleanup()
        self._parts.lines.stop()
        await self._parts.accuser.stop()
        await self._parts.relay.stop()
        await self._parts.membership.stop()
        await self._parts.eraser.stop()
        self._parts.driver.stop()
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        await self._parts.peers.stop()
        await self._parts.serving.stop()
        await asyncio.to_thread(keep_index, self.config.data, self.state.index)
        await asyncio.to_thread(self._parts.store.close)

    async def _learn_absent(self) -> None:
        """Find out which rows there are not, while the node is at its other work."""
        try:
            with contextlib.closing(self._parts.store.learn()) as turns:
                for _ in turns:
                    await asyncio.sleep(self._parts.bounds.absent_pause_s)
        except StandingError as error:
            self._parts.driver.halt(str(error))

    async def failure(self) -> str:
        """Wait until the pump stops by itself; the reason."""
        return await asyncio.shield(self._parts.driver.stopped)

    # --- the ledger ---

    @property
    def reader(self) -> Reader:
        """The store's rows."""
        return self._parts.store

    @property
    def state(self) -> State:
        """The ledger after the last executed block."""
        return self._parts.driver.ledger

    @property
    def validators(self) -> tuple[Validator, ...]:
        """The set of the epoch that the next block belongs to."""
        return self.state.validators

    @property
    def codes(self) -> Mapping[int, str]:
        """The codes of all platforms that are or ever were members, by number."""
        return self._parts.platforms.codes

    @property
    def policy_text(self) -> str:
        """The policy of the set that the newest certified checkpoint's cosigners belong to."""
        certified = self.certified
        bounds = self.genesis.foundation.bounds
        epoch = epoch_of(certified.height, bounds.epoch_blocks) if certified else 1
        row = need_row(self.reader, ValidatorsRow, validators_key(max(1, epoch)))
        return policy_of(self.origin, row.validators).format()

    @property
    def certified(self) -> Certificate | None:
        """The newest certified checkpoint; None before the first, and while a node does not know
        how far it had come: its log line must not go back."""
        return self._parts.tracking.certificate if self._parts.driver.knows_log() else None

    @property
    def forgotten(self) -> str:
        """Why this node's keys never sign again, and what to do; or nothing. (A former member that
        a member lets follow is an observer like any.)"""
        reason, ended = self._parts.driver.forgotten, self._parts.keyring.ended
        if ended:
            return "" if self.linked else ended
        return f"{reason}. {NEVER_SIGNS}" if reason else ""

    def certificate(self, size: int) -> Certificate | None:
        """The certified checkpoint of this size, or None. Asked only where `certified` is known."""
        return self._parts.tracking.certificate_of(size)

    @property
    def witnessed(self) -> bytes | None:
        """The newest note that outside witnesses have cosigned, or None."""
        return self._outside.note

    @property
    def linked(self) -> tuple[int, ...]:
        """The numbers of the platforms whose links stand."""
        return self._parts.peers.linked()

    # --- records and handles ---

    async def submit(self, offers: Sequence[Offer], who: str = "") -> list[Result]:
        """Take offers into this platform's lane; returns when what was accepted is on disk. What
        may come through any lane is sent to a member where this node may not write its own."""
        results = await self._parts.intake.submit(offers, who)
        members = members_linked(self._parts.driver, self._parts.peers)
        for at, (offer, result) in enumerate(zip(offers, results, strict=True)):
            if isinstance(result, Closed) and may_be_carried(offer):
                sent = self._parts.relay.send(offer, members)
                results[at] = Sent() if sent else result
        self._parts.metrics.count_offers(results)
        return results

    def status(self, record_id: bytes) -> RecordStatus | None:
        """Where a record stands, or None if this node does not know it."""
        return self._parts.tracking.status(record_id)

    async def wait_final(self, record_ids: Sequence[bytes], timeout_s: float) -> list[RecordStatus]:
        """The records' states once all are settled, or the time is up (bounded)."""
        most = self._parts.bounds.wait_final_s_max
        return await self._parts.tracking.wait_final(record_ids, min(timeout_s, most))

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """The handles of this platform's own references, durable."""
        return await self._parts.aliases.handles(kind, references)

    def handle_of(self, reference: str) -> bytes | None:
        """The subject handle of one of this platform's own references, or None."""
        return self._parts.aliases.handle_of(reference)
