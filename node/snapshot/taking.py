"""Taking a snapshot: what an empty store does first, before the node is built.

A pump of its own, over the same links: inputs go to `consensus.snapshots.Taker`, rows to the store.
Meanwhile the HTTP address answers 503 and says how far it is. When it is over the links are
closed, and the node starts as ever: from a ledger that was checked, or from an empty store.

Own rows that replay would have left are written with the batches: the names of own records
(idempotence), and what is to be erased here.

A failing disk ends it with an error, and the process: the next start goes on. Where the peers prove
that this platform's membership has ended nothing is taken: the node that is built hears it again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from aiohttp import web

from consensus.adopting import check_taken, last_rows
from consensus.config import Config
from consensus.effects import Persist, Refuse, Send, SetTimer
from consensus.inputs import Input, LinkDown, LinkUp, Now, Received, TimerFired
from consensus.messages import decode_message, encode_message
from consensus.openings import Opened
from consensus.proofs import Unfit
from consensus.snapshots import Taker
from consensus.steps import TAKING, WIPING, Complete, FallBack, Phase, Step, Terms, Wipe
from ledger.batch import Submission, commitment
from ledger.epochs import Trusted
from ledger.errors import Malformed, StoreDamaged
from ledger.genesis import Genesis
from ledger.hashing import sha256
from ledger.membership import Validator
from ledger.records import decode_record
from ledger.residue import AnyBatch
from ledger.rows import GENESIS_KEY, HEAD_KEY, place_bytes
from ledger.store import META, Changes
from node.api.problems import NotReady, problem_of, problem_response
from node.bounds import Bounds
from node.config import Address
from node.eraser import TO_ERASE
from node.links.farewell import Farewell
from node.links.peers import Peers
from node.listening import HANDLER_ARGS, BoundedSite
from node.naming import name_key
from node.storage.leveldb import FORMAT_KEY, SLOTS_KEY, LevelStore
from node.whereabouts import MARK as TOLD
from node.whereabouts import Whereabouts

log = logging.getLogger(__name__)

WIPED_AT_ONCE: Final = 20_000
DISK_WAIT_S: Final = 0.005
SAY_EVERY_S: Final = 10.0
STOP_S: Final = 1.0
_FIRST, _LAST = b"A", b"["
"""All rows' prefixes are capital letters."""


def now() -> Now:
    """The steady and the wall clock, in ms."""
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


def is_empty(store: LevelStore) -> bool:
    """Whether a store holds no ledger yet: at most an unfinished snapshot."""
    return store.get(HEAD_KEY) is None and store.get(GENESIS_KEY) is None


def keys_to_wipe(store: LevelStore) -> Iterator[bytes]:
    """All keys but those of the store itself; what tells of a snapshot stands last."""
    kept = (FORMAT_KEY, SLOTS_KEY)
    for key, _ in store.scan(_FIRST, _LAST):
        if not key.startswith(TAKING) and not (key[:1] == META and key in kept):
            yield key
    for key, _ in store.scan(TAKING, TAKING + b"\xff"):
        yield key


async def wipe(store: LevelStore) -> None:
    """Remove an unfinished snapshot. A crash in between leaves what says so.

    Raises:
        StoreDamaged: the disk fails.
    """
    await _durable(store, {WIPING: b""})
    keys = keys_to_wipe(store)
    while some := list(islice(keys, WIPED_AT_ONCE)):
        await _durable(store, dict.fromkeys(some))


async def _durable(store: LevelStore, changes: Changes) -> None:
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def settle(error: str) -> None:
        if not done.done():
            done.set_result(error)

    store.on_failure = lambda error: settle(f"the disk failed while writing: {error}")
    store.submit(changes, partial(settle, ""))
    error = await done
    if error:
        raise StoreDamaged("the store", error)


class Taking:
    """One taking of a snapshot into an empty store. It is the `Listener` of its links."""

    def __init__(
        self,
        *,
        config: Config,
        genesis: Genesis,
        members: Sequence[int],
        store: LevelStore,
        peers: Peers,
        whereabouts: Whereabouts,
        own: Sequence[Validator],
        known: Trusted,
        bounds: Bounds,
        terms: Terms,
    ) -> None:
        """`whereabouts`: who has one member's address learns the others' from it; `own`: whose keys
        are held; `known`: the newest set that is known."""
        self._config, self._genesis, self._members = config, genesis, members
        self._store, self._peers, self._bounds, self._terms = store, peers, bounds, terms
        self._whereabouts = whereabouts
        self._farewell = Farewell(
            own=lambda: own,
            since=lambda: known,
            proof=lambda _: [],
            ended=self._dismissed,
            bounds=bounds,
        )
        self._inputs: asyncio.Queue[tuple[Input | None, Callable[[], None]]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._failed, self._dismissal, self._gives_up = "", "", False
        self._timer: asyncio.TimerHandle | None = None
        self._ending: Complete | FallBack | None = None
        self._said_s, self._phase = 0.0, Phase.OVER
        self._begun_s = time.monotonic()
        self.progress = "begins"

    # --- life ---

    async def run(self) -> bool:
        """Take a snapshot if one can be had; True: the store has its ledger. False: it is empty.

        Raises:
            Misconfigured: the peers' address cannot be listened on.
            StoreDamaged: the disk fails.
        """
        if self._store.get(WIPING) is not None:
            await wipe(self._store)
        try:
            taker = Taker(self._config, self._store, self._members, self._terms, now())
        except StoreDamaged as error:
            log.warning("an unfinished snapshot cannot be used: %s", error)
            await wipe(self._store)
            taker = Taker(self._config, self._store, self._members, self._terms, now())
        self._store.on_failure = self._disk_failed
        await self._do(taker.begin(now()))
        if self._ending is None:
            await self._peers.start(self, self._farewell)
            try:
                await self._pump(taker)
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                self._whereabouts.stop()
                await self._peers.stop()
        if isinstance(self._ending, Complete) and await self._adopt():
            return True
        if isinstance(self._ending, FallBack):
            log.info("no snapshot: %s; the ledger is replayed", self._ending.reason)
        await wipe(self._store)
        return False

    async def _pump(self, taker: Taker) -> None:
        while self._ending is None:
            event, then = await self._inputs.get()
            await self._until_written()
            if self._dismissal:
                self._ending = FallBack(self._dismissal)
                return
            if self._failed or event is None:
                raise StoreDamaged("the store", self._failed)
            await self._do(self._handle(taker, event))
            then()
            self._say(taker)

    @staticmethod
    def _handle(taker: Taker, event: Input) -> list[Step]:
        try:
            return taker.handle(event, now())
        except Exception as error:  # rows of others' making; replay needs none of them
            log.exception("the taking failed")
            return [FallBack(f"a fault of this program: {type(error).__name__}: {error}")]

    async def _until_written(self) -> None:
        """Wait for the disk, as the pump of a node does."""
        while self._store.queued_rows > self._bounds.queued_rows_max and not self._failed:  # noqa: ASYNC110 - the writer is a thread
            await asyncio.sleep(DISK_WAIT_S)

    def _say(self, taker: Taker) -> None:
        """How far it is: upon each new phase, and every SAY_EVERY_S."""
        self.progress = taker.progress
        if taker.phase is not self._phase or time.monotonic() >= self._said_s + SAY_EVERY_S:
            self._phase, self._said_s = taker.phase, time.monotonic()
            log.info("taking a snapshot: %s", self.progress)

    async def _adopt(self) -> bool:
        """Check all that was taken; make it the node's ledger, or say that it is none."""
        self.progress = "checking"
        log.info("taking a snapshot: checking it")
        await _durable(self._store, {})
        checking = asyncio.ensure_future(asyncio.to_thread(self._check))
        try:
            await asyncio.shield(checking)
        except asyncio.CancelledError:
            self._gives_up = True  # the thread reads a store that is to be closed
            await asyncio.wait([checking])
            raise
        except Unfit as error:
            log.warning("the snapshot does not hold, and is thrown away: %s", error)
            return False
        except Exception:  # as above
            log.exception("the snapshot cannot be checked, and is thrown away")
            return False
        await _durable(self._store, last_rows(self._store, self._genesis))
        log.info("took a snapshot in %.1f s", time.monotonic() - self._begun_s)
        return True

    def _check(self) -> None:
        for _ in check_taken(self._store, self._genesis, self._config):
            if self._gives_up:
                raise Unfit("it was not checked to its end")

    def _disk_failed(self, error: BaseException) -> None:
        self._failed = f"the disk failed while writing: {error}"
        self._inputs.put_nowait((None, lambda: None))

    def _dismissed(self, epoch: int) -> None:
        """It is proven that the own membership ended with this epoch."""
        self._dismissal = f"this platform's membership has ended with epoch {epoch}"
        self._inputs.put_nowait((None, lambda: None))

    # --- what is asked for ---

    async def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Persist(changes):
                    self._store.submit(changes)
                case Opened(_, changes, batches, erased):
                    self._store.submit(changes | self._own_rows(batches, erased))
                case Send(peer, message):
                    self._peers.send(peer, encode_message(message), bulk=False)
                case SetTimer(_, at_steady_ms):
                    self._set_timer(at_steady_ms)
                case Refuse(peer, reason):
                    self.refused(peer, reason)
                case Wipe():
                    await wipe(self._store)
                    self._store.on_failure = self._disk_failed
                case Complete() | FallBack():
                    self._ending = step
                case _:
                    raise AssertionError(f"{type(step).__name__} is of consensus")

    def _own_rows(
        self, batches: Sequence[AnyBatch], erased: Sequence[tuple[int, int, int, int]]
    ) -> Changes:
        rows: Changes = {
            TO_ERASE + erasure.to_bytes(8) + place_bytes(lane, height, position): b""
            for lane, height, position, erasure in erased
        }
        for batch in batches:
            if batch.header.lane == self._config.me:
                rows.update(names_in(batch))
        return rows

    def _set_timer(self, at_steady_ms: int) -> None:
        delay_s = max(0, at_steady_ms - now().steady_ms) / 1_000
        fire = partial(self._feed, TimerFired("snapshot"))
        self._timer = self._loop.call_later(delay_s, fire)

    # --- the links' news ---

    def _feed(self, event: Input, then: Callable[[], None] = lambda: None) -> None:
        self._inputs.put_nowait((event, then))

    def link_up(self, peer: int) -> None:
        """A link stands."""
        self._feed(LinkUp(peer))
        self._whereabouts.link_up(peer)

    def link_down(self, peer: int) -> None:
        """A link is gone."""
        self._feed(LinkDown(peer))

    def received(self, peer: int, message: bytes) -> None:
        """A peer's message. What this program cannot read may be of a newer one."""
        handled = partial(self._peers.handled, peer, len(message))
        if message.startswith(TOLD):
            handled()
            self._whereabouts.received(peer, message)
            return
        try:
            decoded = decode_message(message)
        except Malformed:
            handled()
            return
        self._feed(Received(peer, decoded), handled)

    def refused(self, peer: int, reason: str) -> None:
        """A peer, or a stranger (0), was refused."""
        refused(peer, reason)


def refused(peer: int, reason: str) -> None:
    """Say that something of a peer's was refused; nobody counts it before there is a node."""
    log.warning("platform %d was refused: %s", peer, reason)


def names_in(batch: AnyBatch) -> Changes:
    """The name rows of an own batch (node/naming.py). What is erased is not named."""
    rows: Changes = {}
    for submission in batch.submissions:
        if isinstance(submission, Submission):
            with contextlib.suppress(Malformed):
                record = decode_record(submission.record)
                rows[name_key(record)] = sha256(submission.record) + commitment(submission)
    return rows


class Waiting:
    """The HTTP address while a snapshot is taken: 503 to everybody, with how far it is."""

    def __init__(self, address: Address, bounds: Bounds, progress: Callable[[], str]) -> None:
        self._progress, self._retry_s = progress, bounds.retry_after_s
        application = web.Application(handler_args=HANDLER_ARGS)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_S)
        self._address, self._bounds = address, bounds

    async def __aenter__(self) -> None:
        await self._runner.setup()
        with contextlib.suppress(OSError):  # the node will say so
            await BoundedSite(
                self._runner,
                self._address,
                connections_max=self._bounds.connections_max,
                handshake_s=self._bounds.handshake_s,
            ).start()

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        del request
        text = f"the node takes a snapshot of the ledger: {self._progress()}"
        return problem_response(problem_of(NotReady(text, self._retry_s)))
