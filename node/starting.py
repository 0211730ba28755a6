"""What comes before a node is built: its store, into which an empty one takes a snapshot first.

The links of that time are its own: they are closed before the node makes its links.
"""

import asyncio
import contextlib
import logging

from prometheus_client import Counter

from consensus.config import Config as ConsensusConfig
from consensus.steps import Terms, is_unfinished
from ledger import signing
from ledger.epochs import trust_genesis
from ledger.genesis import Genesis, chain_id
from node.bounds import BOUNDS, Bounds
from node.config import Config
from node.keyring import Keyring
from node.links.peers import Peers
from node.network import load_genesis
from node.opening import load_known
from node.snapshot.taking import Taking, Waiting, is_empty, refused, wipe
from node.storage.leveldb import LevelStore
from node.whereabouts import AddressBook, Whereabouts

log = logging.getLogger(__name__)


async def open_store(
    config: Config, told: asyncio.Event, bounds: Bounds = BOUNDS, terms: Terms | None = None
) -> LevelStore | None:
    """The node's store: with its ledger, with a snapshot that was just taken, or empty. None: the
    node was `told` to stop meanwhile; what was taken so far is kept.

    Raises:
        Misconfigured, InvalidInput: the configuration, genesis or keys cannot be used.
        StoreDamaged: the store cannot be read, or the disk fails.
    """
    genesis = load_genesis(config.genesis)
    store = LevelStore(config.data, bounds, asyncio.get_running_loop().call_soon_threadsafe)
    try:
        if await _prepare(store, genesis, config, told, bounds=bounds, terms=terms):
            return store
    except BaseException:
        store.close()
        raise
    store.close()
    return None


async def _prepare(
    store: LevelStore,
    genesis: Genesis,
    config: Config,
    told: asyncio.Event,
    *,
    bounds: Bounds,
    terms: Terms | None,
) -> bool:
    """Whether the node may start."""
    if not is_empty(store):
        return True
    if not config.takes_snapshot:
        if is_unfinished(store):
            log.info("an unfinished snapshot is wiped: the configuration wants none")
            await wipe(store)
        return True
    taking = _make_taking(store, genesis, config, bounds, terms)
    async with Waiting(config.api_listen, bounds, lambda: taking.progress):
        return await _until_told(taking, told)


async def _until_told(taking: Taking, told: asyncio.Event) -> bool:
    running, stopping = asyncio.ensure_future(taking.run()), asyncio.ensure_future(told.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
        return True
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return False


def _make_taking(
    store: LevelStore, genesis: Genesis, config: Config, bounds: Bounds, terms: Terms | None
) -> Taking:
    foundation = genesis.foundation
    keyring = Keyring(config.keys, foundation, is_observer=config.is_observer)
    known = load_known(config, foundation)
    members = known.validators if known is not None else foundation.validators
    trusted = tuple(dict.fromkeys([*members, *foundation.validators]))
    book = AddressBook(config.peer_addresses)
    own, link_seed = keyring.shown
    peers = Peers(
        own=own,
        validators=trusted,
        chain=chain_id(foundation),
        link_seed=link_seed,
        listen=config.peers_listen,
        addresses=book,
        bounds=bounds,
        sent_bytes=Counter("standing_taking_sent_bytes", "Bytes sent", registry=None),
    )
    whereabouts = Whereabouts(
        own=keyring.code,
        listen=config.peers_listen,
        book=book,
        links=peers,
        members=lambda: {each.number: each.code for each in trusted},
        candidates=dict,
        refused=refused,
    )
    consensus = ConsensusConfig(
        chain=chain_id(foundation),
        origin=foundation.origin,
        me=keyring.me,
        validators=foundation.validators,
        keys=None,
        verify=signing.verify,
        bounds=foundation.bounds,
    )
    return Taking(
        config=consensus,
        genesis=genesis,
        members=[each.number for each in members],
        store=store,
        peers=peers,
        whereabouts=whereabouts,
        own=keyring.own_validators,
        known=known or trust_genesis(foundation),
        bounds=bounds,
        terms=terms or Terms(blocks_min=config.snapshot_min_blocks),
    )
