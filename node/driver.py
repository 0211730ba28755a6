"""The pump: feeds consensus with what happens, and does what it asks for, in the order it asks.

    input → handle → effects → rows to the writer → (fsync) → sends, execution, answers

The one rule that makes it safe: an effect is done only when every `Persist` before it is on disk.
Meanwhile inputs go on being handled, their rows gather, and one fsync serves them all. Timers,
counted refusals and executions that are due (`is_due`) are done at once.

`Execute` is done block by block, each in short turns of the event loop, by this one thread only:
between them inputs, links and readers have theirs, and see the ledger as it was before the block.
Its rows join the same queue of writes, so that they are durable behind all that made the block
final, and whatever consensus persists afterwards only after them.

A failing disk, a damaged row, a `Halt` or our own bug stops the pump for good: `stopped` says why.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from consensus import simplex
from consensus.config import Keys
from consensus.effects import (
    BatchResealed,
    BatchSealed,
    BatchVoid,
    Broadcast,
    CancelTimer,
    Certified,
    Effect,
    Execute,
    Forgotten,
    Halt,
    Persist,
    Refuse,
    Send,
    SetTimer,
    Unsealed,
    is_due,
)
from consensus.inputs import (
    Executed,
    Input,
    LinkDown,
    LinkUp,
    Received,
    SealBatch,
    TimerFired,
)
from consensus.messages import encode_message
from consensus.silence import may_seal
from consensus.state import State as ConsensusState
from consensus.view import follows
from ledger.batch import Submission
from ledger.errors import StandingError
from ledger.position import Applied, State
from ledger.state import apply_in_turns
from ledger.store import Changes
from node.bounds import Bounds
from node.hearing import BULK, Unheard, read_message
from node.joined import joined
from node.links.inbox import Inbox
from node.links.peers import Peers
from node.links.tls import GUEST
from node.metrics import Metrics
from node.storage.leveldb import LevelStore
from node.timers import Timers, now
from node.watching import Watcher

log = logging.getLogger(__name__)

DISK_WAIT_S: Final = 0.005

NEVER_SIGNS: Final = (
    "These keys never sign again: the node follows the others as an observer, serves reads and "
    "takes no records. Keep this store, restore no other copy of it, and use these keys nowhere "
    "else. The platform comes back under new keys, by a rotation signed with its root key."
)

Turns = Generator[None, None, tuple[State, Applied]]
"""A block's execution, turn by turn."""


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class Own:
    """An input of this node's: `rows` are written with what it yields, `then` is called behind."""

    event: Input
    rows: Changes | None
    then: Callable[[], None]


class Driver:
    """One node's pump. It is the `Listener` of the links."""

    def __init__(
        self,
        *,
        consensus: ConsensusState,
        ledger: State,
        store: LevelStore,
        peers: Peers,
        bounds: Bounds,
        metrics: Metrics,
    ) -> None:
        self.consensus, self.ledger = consensus, ledger
        self._store, self._peers, self._bounds, self.metrics = store, peers, bounds, metrics
        self._loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[str] = self._loop.create_future()
        self._watchers: list[Watcher] = []
        self._inbox: Inbox[Own | Input | bytes] = Inbox(turn_s=bounds.turn_s)
        self._held: deque[tuple[int, Effect]] = deque()
        self._tickets = self._durable = 0
        self._blocks: deque[Execute] = deque()
        self._timers = Timers(
            self._loop, lambda: now().steady_ms, lambda timer: self.feed(TimerFired(timer))
        )
        self._scheduled = False
        self._over = self._followed = False
        metrics.watch("standing_leader", "Who leads the current view", self._leader)
        store.on_failure = self._disk_failed

    def _leader(self) -> int:
        return self.consensus.leader(self.consensus.view)

    # --- life ---

    def may_seal(self) -> bool:
        """Whether own records may be sealed: the node is a member, and its keys may sign."""
        return may_seal(self.consensus)

    @property
    def keys(self) -> Keys | None:
        """What this node signs with in the current epoch; None for an observer."""
        return self.consensus.keys

    def hold(self, further: Keys) -> None:
        """Hold these, too: they sign from the epoch on whose set names them."""
        held = self.consensus.config
        self.consensus.config = replace(held, further_keys=(*held.further_keys, further))

    def hold_only(self, keys: Keys | None) -> None:
        """Hold these and no others any more: those are destroyed. None: no keys at all, whatever
        the set of the epoch says that consensus stands in."""
        held = self.consensus.config
        if keys is None:
            self.consensus.keys = None
        # The very value that signs now, if it is held: another would be taken for other keys.
        known = (each for each in (held.keys, *held.further_keys) if each == keys)
        self.consensus.config = replace(held, keys=next(known, keys), further_keys=())

    def follows(self) -> bool:
        """Whether this node has certified what honest peers have final."""
        return follows(self.consensus)

    @property
    def forgotten(self) -> str:
        """Why this node's keys never sign again (consensus/silence.py), or nothing."""
        return self.consensus.silence.reason if self.consensus.silence else ""

    def knows_log(self) -> bool:
        """Whether this node's log line goes back no more: its store is no new one, as far as it
        knows; else it has caught up with its peers once since the start."""
        silence = self.consensus.silence
        self._followed = self._followed or follows(self.consensus)
        return silence is None or self._followed or not (silence.new or silence.reason)

    def watch(self, watcher: Watcher) -> None:
        """Tell this one too."""
        self._watchers.append(watcher)

    def start(self, effects: Sequence[Effect]) -> None:
        """Begin with the effects that restoring consensus has yielded."""
        self._guarded(partial(self._do_all, effects))
        self._schedule()

    def stop(self) -> None:
        """Do nothing more. What was submitted to the store is still written when it closes."""
        self._over = True
        self._timers.cancel_all()

    def halt(self, reason: str) -> None:
        """Stop for good, and say why."""
        self.stop()
        if not self.stopped.done():
            self.stopped.set_result(reason)

    def _disk_failed(self, error: BaseException) -> None:
        self.halt(f"the disk failed while writing: {error}")

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a piece of work; whatever it raises stops the node, with the reason."""
        if self._over:
            return
        try:
            work()
        except StandingError as error:
            self.halt(str(error))
        except Exception as error:
            self._loop.call_exception_handler({"message": "the pump failed", "exception": error})
            self.halt(f"a fault of this program: {type(error).__name__}: {error}")

    # --- what happens ---

    def feed(
        self, event: Input, *, rows: Changes | None = None, then: Callable[[], None] = _nothing
    ) -> None:
        """Queue an input; `then` is called when it has been handled."""
        self._inbox.add(Own(event, rows, then))
        self._schedule()

    def seal(self, submissions: tuple[Submission, ...], rows: Changes) -> None:
        """Seal own submissions; `rows` are written in one atomic write with the batch."""
        self.feed(SealBatch(submissions), rows=rows)

    def link_up(self, peer: int) -> None:
        """A link stands."""
        self.metrics.links.inc()
        members = {each.number for each in self.ledger.validators}
        candidates = {each.number for each in self.ledger.candidates}
        self._queue(peer, LinkUp(peer, peer >= GUEST or peer in candidates - members))

    def link_down(self, peer: int) -> None:
        """A link is gone."""
        self.metrics.links.dec()
        self._queue(peer, LinkDown(peer))

    def received(self, peer: int, message: bytes) -> None:
        """A peer's message, to be read and handled in its turn."""
        self.metrics.received_bytes.inc(len(message))
        self._queue(peer, message)

    def _queue(self, peer: int, waiting: Input | bytes) -> None:
        self._inbox.add(waiting, peer)
        self._schedule()

    def refused(self, peer: int, reason: str) -> None:
        """A peer, or a stranger (0), was refused."""
        self.metrics.peer_refusals.labels(str(peer), reason).inc()

    def blame(self, peer: int, reason: str) -> None:
        """A peer was refused what no honest one sends: it counts against it."""
        self.refused(peer, reason)
        self._peers.blame(peer)

    def _schedule(self) -> None:
        if not self._scheduled and not self._over:
            self._scheduled = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        self._guarded(self._handle_some)

    def _handle_some(self) -> None:
        bounds = self._bounds
        begun_s = time.perf_counter()
        for _ in range(bounds.inputs_per_tick_max):
            if not self._inbox:
                return
            if self._store.queued_rows > bounds.queued_rows_max:
                self._loop.call_later(DISK_WAIT_S, self._schedule)
                return
            peer, waiting = self._inbox.take()
            since_s = time.perf_counter()
            self._handle(peer, waiting)
            now_s = time.perf_counter()
            self._inbox.spent(peer, now_s - since_s)
            if now_s - begun_s > bounds.tick_s:
                break
        self._schedule()

    def _handle(self, peer: int, waiting: "Own | Input | bytes") -> None:
        if isinstance(waiting, Own):
            effects = self._feed(waiting.event)
            self._do_all(effects if waiting.rows is None else joined(effects, waiting.rows))
            waiting.then()
            return
        if not isinstance(waiting, bytes):
            self._do_all(self._feed(waiting))
            return
        self._peers.handled(peer, len(waiting))
        if self._peers.conduct.cut_s(peer):
            return
        event = read_message(peer, waiting, is_clogged=self._peers.is_clogged(peer))
        if isinstance(event, Received):
            self._do_all(self._feed(event))
        elif event is Unheard.CLOGGED:
            self.refused(peer, "unread")
        else:
            self.blame(peer, "malformed")

    def _feed(self, event: Input) -> Sequence[Effect]:
        self.consensus, effects = simplex.handle(self.consensus, event, now())
        return effects

    # --- what is asked for ---

    def _do_all(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Persist(changes):
                    self._persist(changes)
                case SetTimer(timer, at_steady_ms):
                    self._timers.set(timer, at_steady_ms)
                case CancelTimer(timer):
                    self._timers.cancel(timer)
                case Refuse(peer, reason):
                    self.blame(peer, reason)
                case _ if self._durable == self._tickets:
                    self._do(effect)
                case _ if is_due(effect, (each for _, each in self._held)):
                    self._do(effect)
                case _:
                    self._held.append((self._tickets, effect))

    def _persist(self, changes: Changes) -> None:
        self._tickets += 1
        self._store.submit(changes, partial(self._is_durable, self._tickets, time.perf_counter()))

    def _is_durable(self, ticket: int, since_s: float) -> None:
        self._durable = ticket
        self.metrics.durable_seconds.observe(time.perf_counter() - since_s)
        self._guarded(self._do_held)

    def _do_held(self) -> None:
        while self._held and self._held[0][0] <= self._durable:
            self._do(self._held.popleft()[1])

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send(peer, message):
                self._peers.send(peer, encode_message(message), bulk=isinstance(message, BULK))
            case Broadcast(message):
                self._peers.broadcast(encode_message(message), bulk=isinstance(message, BULK))
            case Execute():
                self._blocks.append(effect)
                if len(self._blocks) == 1:
                    self._loop.call_soon(self._guarded, self._execute_next)
            case BatchSealed():
                for watcher in self._watchers:
                    watcher.sealed(effect)
            case BatchVoid() | BatchResealed() | Unsealed():
                for watcher in self._watchers:
                    watcher.moved(effect)
            case Certified(row):
                self.metrics.certified_height.set(row.height)
                self.metrics.certified_size.set(row.size)
                for watcher in self._watchers:
                    watcher.certified(row)
            case Halt(reason):
                self.halt(reason)
            case Forgotten(reason):
                log.error("%s. %s", reason, NEVER_SIGNS)
            case _:
                raise AssertionError(f"{type(effect).__name__} is done at once")

    def _execute_next(self) -> None:
        block = self._blocks[0]
        turns = apply_in_turns(self.ledger, self._store, block.block, block.hash, block.batches)
        self._go_on(block, turns, 0.0)

    def _go_on(self, block: Execute, turns: Turns, spent_s: float) -> None:
        """One turn of a block's execution."""
        begun_s = time.perf_counter()
        try:
            next(turns)
        except StopIteration as end:
            self.ledger, applied = end.value
            self._has_executed(block, applied)
            self.metrics.count_block(applied, spent_s + time.perf_counter() - begun_s)
        else:
            spent_s += time.perf_counter() - begun_s
            self._loop.call_soon(self._guarded, partial(self._go_on, block, turns, spent_s))

    def _has_executed(self, block: Execute, applied: Applied) -> None:
        for watcher in self._watchers:
            watcher.executed(block, applied)
        self._store.submit(applied.changes)
        self.feed(
            Executed(
                block.block.height,
                applied.size,
                applied.root,
                self.ledger.erasing,
                self.ledger.change_waits,
                validators=applied.seal.validators,
            )
        )
        self._blocks.popleft()
        if self._blocks:
            self._loop.call_soon(self._guarded, self._execute_next)
