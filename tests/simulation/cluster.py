"""A whole network on a virtual clock: nodes with their shells, disks, links and clocks.

A node's shell carries out effects in their order. What stands behind a `Persist` waits until it is
durable, but for executions that are due before: a flush takes a seeded while and makes durable
whatever had gathered. A crash loses what was not flushed, everything in memory, and all timers; a
restart has the disk's rows alone.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from random import Random

from consensus import silence, simplex, view
from consensus.config import Config, Keys, Limits, Timing
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
from consensus.inputs import Executed, Input, LinkDown, LinkUp, Now, Received, SealBatch, TimerFired
from consensus.messages import Batches, Message, decode_message, encode_message
from consensus.state import State
from ledger import signing
from ledger.batch import Submission
from ledger.block import Block
from ledger.encoding import decoder
from ledger.errors import Malformed, StoreDamaged
from ledger.genesis import FIRST_BOUNDS, Bounds, Genesis, chain_id
from ledger.membership import Validator
from ledger.rows import HeaderRow
from ledger.store import HEADER, Changes, MemoryStore
from tests.ledger.world import key_of
from tests.simulation.checkers import Checker, Stood, Violation, check
from tests.simulation.clock import Clock
from tests.simulation.disk import Seen
from tests.simulation.execution import Ledger, RealLedger, join, load, turn
from tests.simulation.network import Network, Weather
from tests.simulation.transcript import Recorder

CHAIN = sha256(b"a simulated network").digest()
ORIGIN = "standing.example/simulation"
WALL_MS = 1_700_000_000_000
QUIET_MS = 15_000
"""How long a settled network is watched: it must be silent by then."""
LARGE = 31
QUIET_LARGE_MS = 4_000
"""With liars no network falls silent (fetches may go on for ever), and beyond `LARGE` that costs
more than all before: it is watched for a little longer than the longest wait before sending again.
"""

Outgoing = Callable[["Node", int, Message], list[Message]]


@dataclass(frozen=True)
class CheapKey:
    """A keyed hash for a signature: quick, and no secret."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        return blake2b(message, key=self.public).digest()


def cheap_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    return blake2b(message, key=public).digest() == signature


def make_keys(n: int, *, real: bool) -> tuple[list[Keys], tuple[Validator, ...]]:
    made = [make_member(number, real=real) for number in range(1, n + 1)]
    return [keys for keys, _ in made], tuple(validator for _, validator in made)


def make_member(number: int, generation: int = 0, *, real: bool = False) -> tuple[Keys, Validator]:
    """A platform's keys, of the first or a later generation."""
    name = f"{number} {generation}" if generation else f"{number}"
    seeds = [sha256(f"{name} {purpose}".encode()).digest() for purpose in range(6)]
    make = signing.SigningKey.from_seed if real else CheapKey
    lane, vote, cosigner = (make(seed) for seed in seeds[:3])
    publics = [seeds[3], lane.public, vote.public, cosigner.public, seeds[4]]
    return Keys(lane, vote, cosigner), Validator(number, f"p{number}", *publics, seeds[5])


class Node:
    def __init__(self, cluster: "Cluster", config: Config, skew_ms: int) -> None:
        self.cluster = cluster
        self.config = config
        self.number = config.me
        self.skew_ms = skew_ms
        self.store = MemoryStore()
        self.history: list[Changes] = []
        """All groups of rows that were ever durable, in order."""
        self.up = False
        self.honest = True
        self.outgoing: Outgoing | None = None
        self.life = 0
        self.paused_until_us = 0
        self.waiting: list[Input] = []
        self.state: State
        self.ledger: Ledger | RealLedger
        self.outbox: deque[Effect] = deque()
        self.flushing = False
        self.timers: dict[str, int] = {}
        self.fsync_us = 1_500
        self.disk_full = False
        """The next write fails: the node stops."""
        self.damaged: set[bytes] = set()
        """Keys of rows that a checksum gives away to whoever reads them."""
        self.twist = b""
        """Not empty: execution goes wrong here, in this way."""
        self.actor = ""
        self.erase_lag_us: int | None = 20_000
        """How long after a block its erasing happens here, or None for not at all."""

    # --- life ---

    def start(self) -> None:
        self.life += 1
        self.up = True
        self.outbox.clear()
        self.waiting = []
        self.timers.clear()
        self.flushing = False
        self.ledger = self.cluster.load_ledger(self.store)
        head = self.ledger.head
        if self.honest:
            self.cluster.checker.restarted(self.number, head.height, dict(head.cut))
        reader = Seen(self.store, self.damaged, self.outbox)
        try:
            self.state, effects = simplex.restore(self.config, reader, head, self.now())
        except StoreDamaged:
            self.up = False
            raise
        self._speak_if_byzantine()
        self.carry_out(effects)
        self._plan_erasing()

    def crash(self, *, keep: int = 0) -> None:
        """Lose everything that is not durable; of the writes under way, the first `keep` remain."""
        for effect in [each for each in self.outbox if isinstance(each, Persist)][:keep]:
            self._write(effect)
        self.up = False
        self.life += 1
        self.outbox.clear()

    def is_asking(self) -> bool:
        """Whether it is a member that may not sign yet."""
        return self.state.keys is not None and self.state.silence is not None

    def executed_height(self) -> int:
        return self.ledger.head.height

    def now(self) -> Now:
        ms = self.cluster.clock.now_us // 1_000
        return Now(ms, WALL_MS + ms + self.skew_ms)

    # --- the pump ---

    def feed(self, given: Input) -> None:
        if not self.up:
            return
        wait = self.paused_until_us - self.cluster.clock.now_us
        if wait > 0 or self.waiting:
            if not self.waiting:
                self.cluster.clock.after(wait, self._same_life(self._resume))
            self.waiting.append(given)
            return
        self._handle(given)

    def _resume(self) -> None:
        """After a pause: whatever came meanwhile, in its order."""
        waiting, self.waiting = self.waiting, []
        for given in waiting:
            self._handle(given)

    def _handle(self, given: Input) -> None:
        if not self.up:
            return
        state = self.state
        was_silent = state.silence is not None
        certified, executed = state.checkpoints.certified, state.executed_height
        stood = Stood(state.epoch, state.final_view, state.view, certified, executed)
        try:
            self.state, effects = simplex.handle(self.state, given, self.now())
        except StoreDamaged:
            if not self.damaged:
                raise
            self.cluster.crash(self.number)
            return
        self._speak_if_byzantine()
        if self.honest:
            if was_silent:
                self.cluster.checker.silent(self.number, self.state, effects)
            if isinstance(given, Received) and not self.cluster.nodes[given.peer].honest:
                self.cluster.checker.heard(self, given.peer, given.message, stood)
            self._look_at_siblings(given)
        self.carry_out(effects)
        if isinstance(self.ledger, RealLedger) and self.honest:
            self.cluster.checker.holds(self.number, self.state.lanes)

    def _look_at_siblings(self, given: Input) -> None:
        """Whoever shows a liar's batch: another may be held already."""
        if isinstance(given, Received) and isinstance(given.message, Batches):
            for lane in {batch.header.lane for batch in given.message.batches}:
                owner = self.cluster.nodes.get(lane)
                if owner is not None and not owner.honest:
                    self.cluster.checker.siblings(self, lane)

    def _speak_if_byzantine(self) -> None:
        """Whoever breaks rules does not stop for having forgotten what he signed."""
        if not self.honest:
            self.state.silence = None

    def carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(timer, at):
                    self._set_timer(timer, at)
                case CancelTimer(timer):
                    self.timers.pop(timer, None)
                case _ if self.up and is_due(effect, self.outbox):
                    self._do(effect)
                case _:
                    self.outbox.append(effect)
        self._drain()

    def _drain(self) -> None:
        if self.flushing:
            return
        while self.outbox and not isinstance(self.outbox[0], Persist):
            self._do(self.outbox.popleft())
            if self.flushing or not self.up:
                return
        if self.outbox:
            self.flushing = True
            gathered = len(self.outbox)
            delay = self.cluster.random.randrange(self.fsync_us // 2, self.fsync_us * 2)
            self.cluster.clock.after(delay, self._same_life(lambda: self._flushed(gathered)))

    def _flushed(self, gathered: int) -> None:
        if self.disk_full:
            self.cluster.crash(self.number)
            return
        ready = [self.outbox.popleft() for _ in range(gathered)]
        for effect in ready:
            if isinstance(effect, Persist):
                self._write(effect)
        self.flushing = False
        rest = [effect for effect in ready if not isinstance(effect, Persist)]
        self.outbox.extendleft(reversed(rest))
        self._drain()

    def _write(self, effect: Persist) -> None:
        self.store.write(effect.changes)
        self.history.append(effect.changes)
        self.damaged.difference_update(effect.changes)
        if self.honest:
            self.cluster.checker.persisted(self.number, effect.changes)
        if self.cluster.recorder is not None:
            self.cluster.recorder.wrote(self, effect.changes)

    def _do(self, effect: Effect) -> None:
        cluster = self.cluster
        match effect:
            case Send(peer, message):
                self._send(peer, message)
            case Broadcast(message):
                for peer in cluster.nodes:
                    if peer != self.number:
                        self._send(peer, message)
            case Execute():
                self._execute(effect)
            case BatchSealed() | BatchVoid() | BatchResealed() | Unsealed():
                self._tell_intake(effect)
            case Certified():
                cluster.note("certified", self.number, effect.row.height)
                if self.honest:
                    cluster.checker.certified_row(self.number, effect)
            case Refuse(peer, reason):
                cluster.refused(self, peer, reason)
            case Forgotten(reason):
                if self.honest:
                    cluster.checker.forgot(self.number, reason)
            case Halt():
                if self.honest:
                    cluster.checker.halted(self.number, effect)
                cluster.crash(self.number)
            case _:
                raise AssertionError(effect)

    def _tell_intake(self, effect: Effect) -> None:
        checker = self.cluster.checker
        match effect:
            case BatchSealed():
                row = self.store.get(HEADER + effect.hash)
                if row is not None:  # else it was void, and gone, before anyone was told
                    root = decoder(HeaderRow).decode(row).header.root
                    checker.sealed(self.number, effect, root)
            case BatchVoid():
                checker.void(effect)
            case _:
                pass

    def _execute(self, effect: Execute) -> None:
        if self.honest:
            nodes = self.cluster.nodes.values()
            stores = {node.number: node.store for node in nodes if node.honest}
            self.cluster.checker.executed(self.number, effect, stores, self.config.bounds)
        changes, validators = self.ledger.apply(effect)
        if validators is not None and self.honest:
            self.cluster.checker.seated(effect.block.epoch + 1, validators)
        if self.twist:
            head = self.ledger.head
            self.ledger.head = replace(head, root=sha256(head.root + self.twist).digest())
        head = self.ledger.head
        self.cluster.note("executed", self.number, head.height)
        if self.cluster.recorder is not None:
            self.cluster.recorder.executed(self, effect)
        self.outbox.append(Persist(changes))
        result = Executed(
            head.height, head.size, head.root, head.is_erasing, head.is_changing, validators
        )
        self.cluster.clock.after(200, self._same_life(lambda: self.feed(result)))
        self._plan_erasing()

    def _plan_erasing(self) -> None:
        if self.ledger.has_left and self.erase_lag_us is not None:
            self.cluster.clock.after(self.erase_lag_us, self._same_life(self._erase))

    def _erase(self) -> None:
        if isinstance(self.ledger, RealLedger) and self.ledger.has_left:
            changes = self.ledger.erase(self.store)
            if changes:
                self.outbox.append(Persist(changes))
                self._drain()
            self._plan_erasing()

    def _send(self, peer: int, message: Message) -> None:
        messages = [message] if self.outgoing is None else self.outgoing(self, peer, message)
        cluster = self.cluster
        for each in messages:
            if self.honest:
                cluster.checker.sent(self.number, each, self.config.chain, self.state.silence)
            cluster.note(type(each).__name__, self.number, peer)
            if cluster.recorder is not None:
                cluster.recorder.sent(self, peer, each)
            on_wire = cluster.coded(self, each) if cluster.has_codec else each
            if on_wire is not None:
                cluster.network.send(self.number, peer, on_wire)

    def set_timing(self, timing: Timing) -> None:
        """Other waits, before the start."""
        self.config = replace(self.config, timing=timing)

    def _set_timer(self, timer: str, at: int) -> None:
        self.timers[timer] = at
        wait = at * 1_000 - self.cluster.clock.now_us
        self.cluster.clock.after(wait, self._same_life(lambda: self._fire(timer, at)))

    def _fire(self, timer: str, at: int) -> None:
        if self.timers.get(timer) == at:
            del self.timers[timer]
            self.feed(TimerFired(timer))

    def _same_life(self, action: Callable[[], None]) -> Callable[[], None]:
        life = self.life

        def guarded() -> None:
            if self.life == life:
                action()

        return guarded


class Cluster:
    def __init__(
        self,
        n: int = 4,
        seed: int = 0,
        *,
        weather: Weather | None = None,
        bounds: Bounds = FIRST_BOUNDS,
        timing: Timing | None = None,
        limits: Limits | None = None,
        real_signatures: bool = False,
        skew_ms: int = 20,
        genesis: Genesis | None = None,
    ) -> None:
        """`genesis`: run the real ledger with its bounds, keys (tests.ledger.world) and chain."""
        self.random = Random(seed)
        self.clock = Clock()
        self.network = Network(self.clock, self.random, weather or Weather())
        self.network.deliver = self._deliver
        self.trace = sha256()
        self.refusals: dict[tuple[int, int, str], int] = {}
        self.unexpected: list[str] = []
        self.faults = 0
        self.real_signatures = real_signatures
        self.recorder: Recorder | None = None
        self.has_codec = False
        """Whether every message is encoded, and decoded by who gets it."""
        self._coded: tuple[Message, Message | None] | None = None
        self.doubles: dict[tuple[int, int], Block] = {}
        keys, validators = make_keys(n, real=real_signatures)
        chain, origin = CHAIN, ORIGIN
        self.load_ledger: Callable[[MemoryStore], Ledger | RealLedger]
        self.load_ledger = lambda store: load(store, CHAIN, bounds.epoch_blocks, validators)
        if genesis is not None:
            foundation, real_signatures = genesis.foundation, True
            chain, origin = chain_id(foundation), foundation.origin
            validators, bounds = foundation.validators, foundation.bounds
            keys = [
                Keys(*(key_of(number, purpose) for purpose in ("lane", "vote", "cosigner")))
                for number in range(1, n + 1)
            ]
            self.load_ledger = lambda store: RealLedger(store, genesis)
        verify = signing.verify if real_signatures else cheap_verify
        self.checker = Checker(validators, bounds.epoch_blocks, chain, origin, verify)
        self.nodes: dict[int, Node] = {}
        for number in range(1, n + 1):
            config = Config(
                chain,
                origin,
                number,
                validators,
                keys[number - 1],
                verify,
                bounds,
                timing or Timing(),
                limits or Limits(),
            )
            skew = self.random.randrange(-skew_ms, skew_ms + 1)
            self.nodes[number] = Node(self, config, skew)
        self._linked: set[tuple[int, int]] = set()
        self._records = 0

    # --- running ---

    def start(self) -> "Cluster":
        for node in self.nodes.values():
            node.start()
        self.link_all()
        return self.hear_answers()

    def hear_answers(self, limit_ms: int = 2_000) -> "Cluster":
        """Run until the nodes may sign, or for so long."""
        until = self.clock.now_us + limit_ms * 1_000
        while any(node.is_asking() for node in self.honest()) and self.clock.now_us < until:
            self.run_ms(1)
        return self

    def run_ms(self, duration_ms: int) -> None:
        """Run for so long."""
        until = self.clock.now_us + duration_ms * 1_000
        while (at := self.clock.next_us()) is not None and at <= until:
            self.clock.step()
        self.clock.now_us = until

    def run_until(self, condition: Callable[[], bool], limit_ms: int, what: str) -> int:
        """Run until a condition holds; how long that took, in ms."""
        start = self.clock.now_us
        while not condition():
            if self.clock.next_us() is None or self.clock.now_us > start + limit_ms * 1_000:
                raise Violation(f"no progress in {limit_ms} ms: {what}\n{self.picture()}")
            self.run_ms(5)
        return (self.clock.now_us - start) // 1_000

    def note(self, *what: object) -> None:
        """Take something into the trace."""
        self.trace.update(f"{self.clock.now_us} {what}".encode())

    def happens(self, what: str) -> None:
        """Tell the recorder, if there is one, what is done to the network."""
        if self.recorder is not None:
            self.recorder.happens(self.clock.now_us, what)

    def coded(self, node: Node, message: Message) -> Message | None:
        """What comes out of a message's bytes; nothing, if they are no message (a liar's)."""
        if self._coded is None or self._coded[0] is not message:
            try:
                came: Message | None = decode_message(encode_message(message))
            except Malformed as error:
                check(not node.honest, f"{node.number} sent what nobody can read: {error}")
                came = None
            check(came in (None, message), f"another message came out of the wire: {came}")
            self._coded = (message, came)
        return self._coded[1]

    def refused(self, node: Node, peer: int, reason: str) -> None:
        key = (node.number, peer, reason)
        self.refusals[key] = self.refusals.get(key, 0) + 1
        if self.recorder is not None:
            self.recorder.refused(node, peer, reason)
        if self.nodes[peer].honest and node.honest:
            self.unexpected.append(f"{node.number} refused {reason} of {peer}")

    def picture(self) -> str:
        """Where everybody stands, for a person."""
        lines = [f"at {self.clock.now_us // 1_000} ms"]
        for node in self.nodes.values():
            about = view.describe(node.state)
            lines.append(
                f"  {node.number} {'up' if node.up else 'down'} epoch {about.epoch} view "
                f"{about.view} (leader {about.leader}) final {about.final_height} executed "
                f"{about.executed_height} certified {about.certified_height} tips "
                f"{[t.height for t in about.tips]} final {[t.height for t in about.final_tips]} "
                f"waits {about.waits} timers {sorted(node.timers)} up {about.peers_up}"
            )
        return "\n".join(lines)

    # --- links ---

    def _deliver(self, source: int, target: int, message: Message) -> None:
        pair = (min(source, target), max(source, target))
        if pair in self._linked:
            if self.recorder is not None:
                self.recorder.received(self.clock.now_us, source, target, message)
            self.nodes[target].feed(Received(source, message))

    def link(self, a: int, b: int) -> None:
        pair = (min(a, b), max(a, b))
        if pair in self._linked or not (self.nodes[a].up and self.nodes[b].up):
            return
        if {(a, b), (b, a)} & self.network.blocked:
            return
        self._linked.add(pair)
        self.nodes[a].feed(LinkUp(b, self.nodes[b].state.keys is None))
        self.nodes[b].feed(LinkUp(a, self.nodes[a].state.keys is None))

    def unlink(self, a: int, b: int) -> None:
        pair = (min(a, b), max(a, b))
        if pair in self._linked:
            self._linked.discard(pair)
            self.nodes[a].feed(LinkDown(b))
            self.nodes[b].feed(LinkDown(a))

    def link_all(self) -> None:
        for a in self.nodes:
            for b in self.nodes:
                if a < b:
                    self.link(a, b)

    def partition(self, *groups: tuple[int, ...]) -> None:
        """Cut all links between groups."""
        self.faults += 1
        side = {number: at for at, group in enumerate(groups) for number in group}
        for a in self.nodes:
            for b in self.nodes:
                if a != b and side.get(a) != side.get(b):
                    self.network.blocked.add((a, b))
                    self.unlink(a, b)

    def block(self, source: int, target: int) -> None:
        """Lose everything in one direction, without anybody's notice."""
        self.faults += 1
        self.network.blocked.add((source, target))

    def heal(self) -> None:
        """End all cuts; links that lost anything are made anew."""
        for a, b in sorted(self.network.blocked):
            self.unlink(a, b)
        self.network.blocked.clear()
        self.link_all()

    def relink(self) -> None:
        """Break and remake every link (what a transport does after losses)."""
        for a, b in sorted(self._linked):
            self.unlink(a, b)
        self.link_all()

    # --- faults ---

    def crash(self, number: int, *, keep: int = 0) -> None:
        self.faults += 1
        node = self.nodes[number]
        if not node.up:
            return
        for other in self.nodes:
            if other != number:
                pair = (min(number, other), max(number, other))
                if pair in self._linked:
                    self._linked.discard(pair)
                    self.nodes[other].feed(LinkDown(number))
        node.crash(keep=keep)

    def lose_store(self, number: int) -> None:
        """Crash, and find a new, empty disk at the next start."""
        store = MemoryStore()
        store.write(silence.mark_new())
        self.set_back(number, store)
        self.checker.written[number].clear()

    def set_back(self, number: int, store: MemoryStore) -> None:
        """Crash, and find an older store at the next start."""
        self.crash(number)
        self.checker.certified[number] = 0
        self.checker.may_forget.add(number)
        # On its way through the epochs it may learn that of each of its keys.
        self.checker.losses[number] += 1 + len(self.nodes[number].config.further_keys)
        others = [node.store for node in self.nodes.values() if node.number != number]
        for hash_, owner in list(self.checker.acknowledged.items()):
            if owner == number and not any(store.get(HEADER + hash_) for store in others):
                del self.checker.acknowledged[hash_]  # nobody else has ever had it
        self.nodes[number].store = store
        self.nodes[number].damaged.clear()
        self.nodes[number].history = [dict(store.scan(b"", b"\xff"))]

    def restart(self, number: int) -> None:
        if self.nodes[number].up:
            return
        self.nodes[number].start()
        for other in self.nodes:
            if other != number:
                self.link(number, other)

    # --- members ---

    def add_node(self, number: int, keys: Keys | None = None) -> Node:
        """A further platform's node, from an empty store; it follows until a set names it."""
        keys = keys or make_member(number, real=self.real_signatures)[0]
        config = replace(self.nodes[min(self.nodes)].config, me=number, keys=keys, further_keys=())
        node = self.nodes[number] = Node(self, config, self.random.randrange(-20, 21))
        node.store.write(silence.mark_new())
        self.restart(number)
        return node

    def record(self, by: int, record: bytes) -> None:
        """Have a platform seal one record: `join`, `turn` or `leave`."""
        self._records += 1
        salt = sha256(self._records.to_bytes(8)).digest()[:16]
        self.seal(by, (Submission(salt, record, b""),))

    def admit(self, number: int, by: int) -> None:
        """Have a platform join, whose node follows already or not."""
        self.record(by, join(make_member(number, real=self.real_signatures)[1]))

    def rotate(self, number: int, by: int, generation: int = 1) -> None:
        """Give a platform's node new keys, and have the network take them."""
        keys, validator = make_member(number, generation, real=self.real_signatures)
        node = self.nodes[number]
        node.config = replace(node.config, further_keys=(*node.config.further_keys, keys))
        node.state.config = node.config
        self.record(by, turn(validator))

    def members(self) -> tuple[int, ...]:
        """Who votes in the newest epoch that any honest node is in."""
        nodes = self.honest() or list(self.nodes.values())
        return max((node.state for node in nodes), key=lambda state: state.epoch).seats.numbers

    def make_byzantine(self, number: int, outgoing: Outgoing | None = None) -> Node:
        node = self.nodes[number]
        node.honest, node.outgoing = False, outgoing
        return node

    # --- work ---

    def submissions(self, count: int) -> tuple[Submission, ...]:
        made = []
        for _ in range(count):
            self._records += 1
            record = self._records.to_bytes(8) * 4
            made.append(Submission(sha256(record).digest()[:16], record, b""))
        return tuple(made)

    def submit(self, number: int, count: int = 3) -> None:
        self.seal(number, self.submissions(count))

    def seal(self, number: int, submissions: tuple[Submission, ...]) -> None:
        """Offer records to a node; one that may not sign yet takes none (as intake does)."""
        node = self.nodes[number]
        if not node.up or silence.may_seal(node.state):
            node.feed(SealBatch(submissions))

    # --- conditions ---

    def honest(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.honest and node.up]

    def settled(self) -> bool:
        """All honest nodes stand at one certified height, and every acknowledged batch is final."""
        nodes = self.honest()
        heads = {node.ledger.head.hash for node in nodes}
        if len(heads) != 1:
            return False
        for node in nodes:
            state = node.state
            height = state.final.block.height
            if state.checkpoints.certified != height or state.queue or state.is_changing:
                return False
            if node.outbox:
                return False
        members = self.members()
        for hash_, owner in self.checker.acknowledged.items():
            bound = self.nodes[owner].honest and owner in members
            if bound and self.checker.root_of[hash_] not in self.checker.final_roots:
                return False
        return all(
            node.store.get(HEADER + hash_) is not None
            for node in nodes
            for hash_ in self.checker.final
        )

    def hostile(self) -> bool:
        """Whether anybody is Byzantine: then offers and fetches may go on for ever."""
        return any(not node.honest for node in self.nodes.values())

    def settle(self, limit_ms: int = 60_000) -> int:
        """Run until everything is final everywhere, then until all is silent; how long, in ms.

        Then look at all that must hold after a run (`FAULTS`, *after every run*)."""
        took = self.run_until(self.settled, limit_ms, "not settled")
        is_large = len(self.nodes) > LARGE and self.hostile()
        self.run_ms(QUIET_LARGE_MS if is_large else QUIET_MS)
        for node in self.honest():
            about = view.describe(node.state)
            false_hints = self.hostile() and about.waits == (view.TIPS_WAIT,)
            check(
                not about.waits or false_hints,
                f"{node.number} still waits: {about.waits}\n{self.picture()}",
            )
            check(
                not node.timers or self.hostile(),
                f"{node.number} is not silent: {node.timers}\n{self.picture()}",
            )
        self.check_evidence()
        self.checker.whole({node.number: node for node in self.honest()})
        return took

    def check_evidence(self) -> None:
        """No honest node is ever accused."""
        for node in self.honest():
            for each in node.state.evidence.values():
                check(
                    not self.nodes[each.number].honest or each.number in self.checker.excused,
                    f"{node.number} accuses honest {each.number} of {each.kind}",
                )
            for lane in node.state.lanes.lanes:
                self.checker.siblings(node, lane)
        check(not self.unexpected, f"honest nodes refused each other: {self.unexpected[:5]}")


def quick_bounds(epoch_blocks: int) -> Bounds:
    """The first bounds with short epochs."""
    return Bounds(
        **{
            **{name: getattr(FIRST_BOUNDS, name) for name in FIRST_BOUNDS.__struct_fields__},
            "epoch_blocks": epoch_blocks,
        }
    )


__all__ = ["Cluster", "Node", "Weather", "quick_bounds", "replace"]
