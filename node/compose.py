"""The composition root: builds one whole node from its configuration, in dependency order.

    configuration, genesis, keys → store → ledger state → consensus → links, pump → intake → faces

Nothing starts before all of it is built, and nothing is filled in later.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from consensus import simplex
from consensus.config import Config as ConsensusConfig
from consensus.effects import Effect
from ledger import signing
from ledger.epochs import EpochEnd, Trusted
from ledger.genesis import Genesis, chain_id
from node.accusing import Accuser
from node.aliases import Aliases
from node.bounds import BOUNDS, Bounds
from node.config import Config
from node.driver import Driver
from node.eraser import Eraser
from node.events import Events
from node.following import Following, load_guests
from node.foresight import Foresight
from node.intake import Intake
from node.keyring import Keyring
from node.links.farewell import Farewell
from node.links.peers import Peers
from node.links.tls import Guest
from node.loglines import LogLines
from node.membership import Membership, members_linked
from node.metrics import Metrics
from node.network import load_genesis
from node.opening import head_of, load_known, open_ledger
from node.platforms import Platforms
from node.publiclog import PublicLog
from node.relaying import Relay
from node.running import Node, Parts
from node.seat import Seat
from node.snapshot.pins import Pins
from node.snapshot.serving import Serving
from node.storage.leveldb import LevelStore
from node.timers import now
from node.tracking import Tracking
from node.view import Notary
from node.whereabouts import AddressBook, Whereabouts
from node.witness import load_witness


async def build(
    config: Config, bounds: Bounds = BOUNDS, *, store: LevelStore | None = None
) -> Node:
    """Read everything, check it, and build a node that is ready to start. `store`: the configured
    one, if it is open already (node/starting.py); the node closes it.

    Raises:
        Misconfigured, InvalidInput: the configuration, genesis or keys cannot be used.
        StoreDamaged: the store contradicts itself: says what, and how to recover.
    """
    genesis = load_genesis(config.genesis)
    keyring = Keyring(config.keys, genesis.foundation, is_observer=config.is_observer)
    guests = load_guests(config)
    known = load_known(config, genesis.foundation)
    config = replace(config, peer_addresses=AddressBook(config.peer_addresses))
    if store is None:
        loop = asyncio.get_running_loop()
        store = LevelStore(config.data, bounds, loop.call_soon_threadsafe)
    try:
        return _assemble(
            config, bounds, genesis, keyring=keyring, guests=guests, known=known, store=store
        )
    except BaseException:
        store.close()
        raise


def _assemble(
    config: Config,
    bounds: Bounds,
    genesis: Genesis,
    *,
    keyring: Keyring,
    guests: Sequence[Guest],
    known: Trusted | None,
    store: LevelStore,
) -> Node:
    number, keys = keyring.number, keyring.held.keys if keyring.held else None
    foundation, events = genesis.foundation, Events(bounds.events_queued_max)
    driver, peers, effects = _make_driver(config, bounds, genesis, keyring, store)
    metrics = driver.metrics
    seat = Seat(driver, store, number, lambda: keyring.ended)
    intake = _make_intake(driver, seat, store, bounds)
    notary = Notary(foundation.origin, keys.log if keys else None, store)
    tracking = Tracking(reader=store, intake=intake, notary=notary, events=events, number=number)
    lines = _make_lines(driver, peers, notary, tracking, store)
    serving = _make_serving(driver, peers, store, bounds)
    relay = _make_relay(serving, peers, intake, lines, _whereabouts(driver, peers, config, keyring))
    aliases = Aliases(store, bounds)
    eraser = _make_eraser(driver, intake, aliases, store, bounds, number=number)
    platforms = Platforms(store, foundation.validators, bounds.former_max)
    membership = Membership(
        driver=driver,
        store=store,
        peers=peers,
        keyring=keyring,
        intake=intake,
        relay=relay,
        notary=notary,
        platforms=platforms,
        guests=guests,
        known=known,
        wall_ms=lambda: now().wall_ms,
    )
    accuser = Accuser(driver, store, number, intake.submit)
    witness = load_witness(config, keys, f"{foundation.origin}/{keyring.code}/witness", store)
    follower, pins = Following(driver, peers), serving.pins
    for each in (tracking, eraser, platforms, membership, accuser, lines, follower, pins):
        driver.watch(each)
    _watch(metrics, intake, store)
    return Node(
        Parts(
            config=config,
            bounds=bounds,
            genesis=genesis,
            keyring=keyring,
            store=store,
            peers=peers,
            driver=driver,
            seat=seat,
            membership=membership,
            relay=relay,
            farewell=_make_farewell(driver, membership, keyring, tracking, store, bounds=bounds),
            serving=serving,
            lines=lines,
            accuser=accuser,
            platforms=platforms,
            intake=intake,
            tracking=tracking,
            aliases=aliases,
            eraser=eraser,
            events=events,
            metrics=metrics,
            witness=witness,
            first_effects=effects,
        )
    )


def _make_driver(
    config: Config, bounds: Bounds, genesis: Genesis, keyring: Keyring, store: LevelStore
) -> tuple[Driver, Peers, Sequence[Effect]]:
    """The pump over ledger, consensus and links, and the effects that it begins with."""
    metrics = Metrics()
    ledger = open_ledger(store, genesis, config)
    given = _consensus_config(genesis, keyring)
    consensus, effects = simplex.restore(given, store, head_of(ledger), now())
    peers = _make_peers(config, bounds, genesis, keyring, metrics)
    driver = Driver(
        consensus=consensus, ledger=ledger, store=store, peers=peers, bounds=bounds, metrics=metrics
    )
    return driver, peers, effects


def _consensus_config(genesis: Genesis, keyring: Keyring) -> ConsensusConfig:
    foundation, held, further = genesis.foundation, keyring.held, keyring.further
    return ConsensusConfig(
        chain=chain_id(foundation),
        origin=foundation.origin,
        me=keyring.me,
        validators=foundation.validators,
        keys=held.signers if held is not None else None,
        further_keys=(further.signers,) if further is not None else (),
        verify=signing.verify,
        bounds=foundation.bounds,
    )


def _make_peers(
    config: Config, bounds: Bounds, genesis: Genesis, keyring: Keyring, metrics: Metrics
) -> Peers:
    """The links, with genesis's members until the ledger says with whom else."""
    own, link_seed = keyring.shown
    return Peers(
        own=own,
        validators=genesis.foundation.validators,
        chain=chain_id(genesis.foundation),
        link_seed=link_seed,
        listen=config.peers_listen,
        addresses=config.peer_addresses,
        bounds=bounds,
        sent_bytes=metrics.sent_bytes,
    )


def _make_lines(
    driver: Driver, peers: Peers, notary: Notary, tracking: Tracking, store: LevelStore
) -> LogLines:
    return LogLines(
        notary=notary,
        store=store,
        links=peers,
        members=lambda: members_linked(driver, peers),
        refused=driver.blame,
        found=tracking.certified,
    )


def _make_relay(
    serving: Serving, peers: Peers, intake: Intake, lines: LogLines, whereabouts: Whereabouts
) -> Relay:
    return Relay(
        pump=serving, links=peers, submit=intake.submit, lines=lines, whereabouts=whereabouts
    )


def _whereabouts(driver: Driver, peers: Peers, config: Config, keyring: Keyring) -> Whereabouts:
    book = config.peer_addresses
    assert isinstance(book, AddressBook), "the links look addresses up in it, too"
    return Whereabouts(
        own=keyring.code,
        listen=config.peers_listen,
        book=book,
        links=peers,
        members=lambda: {each.number: each.code for each in driver.ledger.validators},
        candidates=lambda: {each.number: each.validator.code for each in driver.ledger.candidates},
        refused=driver.blame,
    )


def _make_serving(driver: Driver, peers: Peers, store: LevelStore, bounds: Bounds) -> Serving:
    """What gives snapshots to others, between the links and the pump."""
    ledger = driver.ledger
    epoch_blocks = ledger.foundation.bounds.epoch_blocks
    return Serving(
        pump=driver,
        links=peers,
        pins=Pins(store, bounds, epoch_blocks, time.monotonic),
        chain=ledger.chain,
        bounds=bounds,
        metrics=driver.metrics,
        halt=driver.halt,
    )


def _make_farewell(
    driver: Driver,
    membership: Membership,
    keyring: Keyring,
    tracking: Tracking,
    store: LevelStore,
    *,
    bounds: Bounds,
) -> Farewell:
    """What tells former members that they are, and hears it where this platform is one."""
    foundation = driver.ledger.foundation
    public = PublicLog(store, foundation.origin, foundation.bounds.epoch_blocks)

    def proof(first: int) -> list[EpochEnd]:
        certified = tracking.certificate
        return public.leading(certified, first) if certified is not None else []

    return Farewell(
        own=lambda: keyring.own_validators,
        since=membership.since,
        proof=proof,
        ended=membership.dismissed,
        bounds=bounds,
    )


def _watch(metrics: Metrics, intake: Intake, store: LevelStore) -> None:
    """Gauges that are read when somebody asks."""
    metrics.watch("standing_pending_records", "Own records not executed", lambda: intake.pending)
    metrics.watch("standing_queued_rows", "Rows not on disk yet", lambda: store.queued_rows)
    metrics.watch(
        "standing_store_syncs", "Groups of rows written and synced", lambda: store.groups_written
    )


def _make_intake(driver: Driver, seat: Seat, store: LevelStore, bounds: Bounds) -> Intake:
    """The intake, going on with own batches that are durable and not executed."""
    ledger, consensus = driver.ledger, driver.consensus
    number = consensus.config.me
    intake = Intake(
        chain=ledger.chain,
        reader=store,
        foresight=Foresight(
            store,
            lambda: driver.ledger.vocabulary,
            number,
            lambda: driver.ledger.footing,
        ),
        bounds=bounds,
        wall_ms=lambda: now().wall_ms,
        seal=driver.seal,
        accepting=driver.may_seal,
        closed=lambda: seat.closed,
    )
    lanes, lane = consensus.lanes, consensus.lanes.get(number)
    void = [(held.hash, held.batch) for held in consensus.void]
    own = sorted(lane.branch.items()) if lane is not None else []
    under_way = [(hash_, lanes.held[hash_].batch) for _, hash_ in own]
    intake.resume([*void, *under_way], [hash_ for hash_, _ in void])
    return intake


def _make_eraser(
    driver: Driver,
    intake: Intake,
    aliases: Aliases,
    store: LevelStore,
    bounds: Bounds,
    *,
    number: int,
) -> Eraser:
    """The eraser, going on with what is not destroyed yet."""
    return Eraser(
        store=store,
        aliases=aliases,
        vocabulary=lambda: driver.ledger.vocabulary,
        number=number,
        submit=intake.submit,
        wall_ms=lambda: now().wall_ms,
        bounds=bounds,
        metrics=driver.metrics,
        halt=driver.halt,
    )
