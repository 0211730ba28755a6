"""The composition root: builds one whole node from its configuration, in dependency order.

    configuration, genesis, keys → store → ledger state → consensus → links, pump → intake → faces

Nothing starts before all of it is built, and nothing is filled in later.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from consensus import simplex
from consensus.config import Config as ConsensusConfig
from consensus.config import Head, Keys
from consensus.effects import Effect
from consensus.silence import mark_new
from ledger import signing
from ledger.errors import Misconfigured
from ledger.genesis import Genesis, chain_id
from ledger.membership import Validator
from ledger.position import State
from ledger.rows import GENESIS_KEY, HEAD_KEY, need_row
from ledger.state import found, load
from ledger.store import Reader
from node.aliases import Aliases
from node.api.app import make_app
from node.bounds import BOUNDS, Bounds
from node.config import Config
from node.driver import NEVER_SIGNS, Driver, now
from node.eraser import Eraser
from node.events import Events
from node.foresight import Foresight
from node.intake import Intake, Offer, Result
from node.keystore import Keystore
from node.links.peers import Peers
from node.links.tls import certificate_key
from node.listening import BoundedSite
from node.metrics import Metrics
from node.network import load_genesis
from node.outside import Outside
from node.publiclog import PublicLog
from node.storage.leveldb import LevelStore
from node.tracking import RecordStatus, Tracking
from node.view import Certificate, Notary, policy_of
from node.witness import Witness, load_witness

log = logging.getLogger(__name__)

API_STOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of."""

    config: Config
    bounds: Bounds
    genesis: Genesis
    own: Validator
    store: LevelStore
    peers: Peers
    driver: Driver
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
        self.number: int = parts.own.number
        self.validators: tuple[Validator, ...] = foundation.validators
        self.policy_text: str = policy_of(foundation.origin, foundation.validators).format()
        self.events: Events = parts.events
        self.metrics: CollectorRegistry = parts.metrics.registry
        self.witness: Witness | None = parts.witness
        bounds = foundation.bounds
        public = PublicLog(parts.store, self.origin, bounds.epoch_blocks)
        self._outside = Outside(parts.config.witnesses, public, lambda: self.certified, parts.store)
        self._serving = False
        self._api = web.AppRunner(make_app(self), access_log=None, shutdown_timeout=API_STOP_S)

    # --- life ---

    async def start(self) -> None:
        """Start the pump, open the links, then the API.

        Raises:
            Misconfigured: an address cannot be listened on.
        """
        self._parts.driver.start(self._parts.first_effects)
        self._parts.eraser.start()
        await self._parts.peers.start(self._parts.driver)
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
        log.info("platform %s serves http://%s:%d", self._parts.own.code, *self.api_address)

    @property
    def ready(self) -> bool:
        """Whether the node serves, and may sign (consensus/silence.py)."""
        return self._serving and self._parts.driver.may_sign()

    @property
    def api_address(self) -> tuple[str, int]:
        """Host and port of the HTTP API (where the configuration said port 0, the one given)."""
        host, port, *_ = self._api.addresses[0]
        return str(host), int(port)

    async def stop(self) -> None:
        """Stop in order: API, pump, links, store. What was accepted is on disk afterwards."""
        self._serving = False
        await self._outside.stop()
        await self._api.cleanup()
        await self._parts.eraser.stop()
        self._parts.driver.stop()
        await self._parts.peers.stop()
        await asyncio.to_thread(self._parts.store.close)

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
    def certified(self) -> Certificate | None:
        """The newest certified checkpoint; None before the first, and while a node does not know
        how far it had come: its log line must not go back."""
        return self._parts.tracking.certificate if self._parts.driver.knows_log() else None

    @property
    def forgotten(self) -> str:
        """Why this node's keys never sign again, and what to do; or nothing."""
        reason = self._parts.driver.forgotten
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

    async def submit(self, offers: Sequence[Offer]) -> list[Result]:
        """Take offers into this platform's lane; returns when what was accepted is on disk."""
        results = await self._parts.intake.submit(offers)
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


async def build(config: Config, bounds: Bounds = BOUNDS) -> Node:
    """Read everything, check it, and build a node that is ready to start.

    Raises:
        Misconfigured, InvalidInput: the configuration, genesis or keys cannot be used.
        StoreDamaged: the store contradicts itself: says what, and how to recover.
    """
    genesis = load_genesis(config.genesis)
    keys = Keystore.load(config.keys)
    own = find_own(genesis, keys)
    loop = asyncio.get_running_loop()
    store = LevelStore(config.data, bounds, loop.call_soon_threadsafe)
    try:
        return _assemble(config, bounds, genesis, keys=keys, own=own, store=store)
    except BaseException:
        store.close()
        raise


def _assemble(
    config: Config,
    bounds: Bounds,
    genesis: Genesis,
    *,
    keys: Keystore,
    own: Validator,
    store: LevelStore,
) -> Node:
    foundation, metrics, events = genesis.foundation, Metrics(), Events(bounds.events_queued_max)
    ledger = open_ledger(store, genesis, config)
    consensus_config = ConsensusConfig(
        chain=ledger.chain,
        origin=foundation.origin,
        me=own.number,
        validators=foundation.validators,
        keys=Keys(lane=keys.lane, vote=keys.vote, cosigner=keys.cosigner),
        verify=signing.verify,
        bounds=foundation.bounds,
    )
    consensus, effects = simplex.restore(consensus_config, store, head_of(ledger), now())
    peers = Peers(
        own=own,
        validators=foundation.validators,
        chain=ledger.chain,
        link_seed=keys.link_seed,
        listen=config.peers_listen,
        addresses=config.peer_addresses,
        bounds=bounds,
        sent_bytes=metrics.sent_bytes,
    )
    driver = Driver(
        consensus=consensus, ledger=ledger, store=store, peers=peers, bounds=bounds, metrics=metrics
    )
    intake = _make_intake(driver, store, bounds)
    notary = Notary(foundation.origin, keys.log, store)
    tracking = Tracking(
        reader=store, intake=intake, notary=notary, events=events, number=own.number
    )
    aliases = Aliases(store, bounds)
    eraser = _make_eraser(driver, intake, aliases, store, bounds)
    driver.watch(tracking)
    driver.watch(eraser)
    _watch(metrics, intake, store)
    return Node(
        Parts(
            config=config,
            bounds=bounds,
            genesis=genesis,
            own=own,
            store=store,
            peers=peers,
            driver=driver,
            intake=intake,
            tracking=tracking,
            aliases=aliases,
            eraser=eraser,
            events=events,
            metrics=metrics,
            witness=load_witness(config, keys, f"{foundation.origin}/{own.code}/witness", store),
            first_effects=effects,
        )
    )


def _watch(metrics: Metrics, intake: Intake, store: LevelStore) -> None:
    """Gauges that are read when somebody asks."""
    metrics.watch("standing_pending_records", "Own records not executed", lambda: intake.pending)
    metrics.watch("standing_queued_rows", "Rows not on disk yet", lambda: store.queued_rows)
    metrics.watch(
        "standing_store_syncs", "Groups of rows written and synced", lambda: store.groups_written
    )


def _make_intake(driver: Driver, store: LevelStore, bounds: Bounds) -> Intake:
    """The intake, going on with own batches that are durable and not executed."""
    ledger, consensus = driver.ledger, driver.consensus
    number = consensus.config.me
    intake = Intake(
        chain=ledger.chain,
        reader=store,
        foresight=Foresight(store, ledger.vocabulary, number, lambda: driver.ledger.footing),
        bounds=bounds,
        wall_ms=lambda: now().wall_ms,
        seal=driver.seal,
        accepting=driver.may_sign,
    )
    lanes = consensus.lanes
    own = sorted(lanes.lanes[number].branch.items())
    intake.resume([lanes.held[hash_].batch for _, hash_ in own])
    return intake


def _make_eraser(
    driver: Driver, intake: Intake, aliases: Aliases, store: LevelStore, bounds: Bounds
) -> Eraser:
    """The eraser, going on with what is not destroyed yet."""
    return Eraser(
        store=store,
        aliases=aliases,
        vocabulary=lambda: driver.ledger.vocabulary,
        number=driver.consensus.config.me,
        submit=intake.submit,
        wall_ms=lambda: now().wall_ms,
        bounds=bounds,
        metrics=driver.metrics,
        halt=driver.halt,
    )


def find_own(genesis: Genesis, keys: Keystore) -> Validator:
    """The validator whose keys these are.

    Raises:
        Misconfigured: no member's, or not all of them.
    """
    for validator in genesis.foundation.validators:
        if validator.lane_key != keys.lane.public:
            continue
        for purpose in ("vote", "cosigner", "log"):
            if validator.key(purpose) != getattr(keys, purpose).public:
                raise Misconfigured(
                    f"the {purpose} key is not the one that genesis names for {validator.code}"
                )
        if (
            certificate_key(validator.certificate)
            != signing.SigningKey.from_seed(keys.link_seed).public
        ):
            raise Misconfigured(f"the link key is not that of {validator.code}'s certificate")
        return validator
    raise Misconfigured("the lane key belongs to no platform of this genesis; check node.keys")


def open_ledger(store: LevelStore, genesis: Genesis, config: Config) -> State:
    """The ledger's state from the store; a new store is founded.

    Raises:
        Misconfigured: the store holds another network's ledger.
        StoreDamaged: rows are missing or contradict each other.
    """
    if store.get(GENESIS_KEY) is None and store.get(HEAD_KEY) is None:
        state, changes = found(genesis, config.window_blocks)
        store.submit({**changes, **mark_new()})
        return state
    stored = need_row(store, Genesis, GENESIS_KEY)
    if chain_id(stored.foundation) != chain_id(genesis.foundation):
        raise Misconfigured(
            f"the store {config.data} holds the ledger of another network "
            f"({chain_id(stored.foundation).hex()}); point node.data to another folder"
        )
    return load(store, config.window_blocks)


def head_of(state: State) -> Head:
    """What consensus is told of the executed ledger."""
    return Head(
        height=state.height,
        hash=state.block_hash,
        time=state.time,
        size=state.size,
        root=state.log.root(),
        cut=state.cut,
        is_erasing=state.erasing,
    )
