"""A node that takes a snapshot from a simulated network, and the givers of it.

The network's nodes run as ever. Each keeps a copy of its ledger's rows at its two newest epochs'
ends and gives snapshots of them; a giver may be hostile (`lies`). The node that takes is not part
of the cluster meanwhile: it has a shell of its own here, with a disk that is written a little later
than it is read. When it is over it starts in the cluster, from the store that the taking has left.
"""

from collections.abc import Callable

from consensus.adopting import check_taken, last_rows
from consensus.effects import Persist, Refuse, Send, SetTimer
from consensus.inputs import LinkDown, LinkUp, Received, TimerFired
from consensus.messages import (
    ChunkMessage,
    End,
    Ends,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    ManifestMessage,
    Message,
    decode_message,
    encode_message,
)
from consensus.openings import Opened
from consensus.proofs import Unfit
from consensus.silence import mark_new
from consensus.snapshots import Taker
from consensus.steps import Complete, FallBack, Step, Terms, Wipe, is_unfinished
from ledger.encoding import encode
from ledger.genesis import Genesis
from ledger.snapshot import Manifest, make_manifest, manifest_digest, read_chunk
from ledger.store import Changes, MemoryStore
from tests.simulation.cluster import Cluster
from tests.simulation.execution import LEFT, RealLedger

Lie = Callable[[int, Message], list[Message]]
"""What a giver says to the taker instead: (giver, message) → messages."""
FLUSH_US = 3_000
QUICK = Terms(
    blocks_min=4, ask_ms=2_000, offers_ms=4_000, again_ms=200, retry_ms=800, stall_ms=6_000
)


class Pinning(RealLedger):
    """A ledger that keeps its rows of the two newest epochs' ends."""

    def __init__(self, durable: MemoryStore, genesis: Genesis) -> None:
        super().__init__(durable, genesis)
        self.epoch_blocks = genesis.foundation.bounds.epoch_blocks
        self.pins: dict[int, MemoryStore] = {}
        self.manifests: dict[int, Manifest] = {}

    def apply(self, effect):  # type: ignore[no-untyped-def]
        done = super().apply(effect)
        height = self.state.height
        if height % self.epoch_blocks == 0:
            self.pins[height] = self.rows.copy()
            for old in sorted(self.pins)[:-2]:
                del self.pins[old]
                self.manifests.pop(old, None)
            head = self.head
            *_, self.manifests[height] = _run(
                make_manifest(self.pins[height], self.state.chain, height, head.size, head.root)
            )
        return done

    def answer(self, message: Message) -> list[Message]:
        match message:
            case FetchEnds():
                ends = [End(at, manifest_digest(self.manifests[at])) for at in sorted(self.pins)]
                return [Ends(tuple(ends))]
            case FetchManifest(height) if height in self.pins:
                return [ManifestMessage(self.manifests[height])]
            case FetchChunk(height, index) if height in self.pins:
                data = read_chunk(self.pins[height], self.manifests[height], index)
                return [ChunkMessage(height, index, data)]
            case _:
                return []


def _run(turns):  # type: ignore[no-untyped-def]
    while True:
        try:
            next(turns)
        except StopIteration as end:
            return [end.value]


def pin(cluster: Cluster, genesis: Genesis) -> None:
    """Let all nodes that start from now on keep what they can give."""
    cluster.load_ledger = lambda store: Pinning(store, genesis)


class Taking:
    """One node of a cluster, down there, that takes a snapshot from the others."""

    def __init__(
        self,
        cluster: Cluster,
        genesis: Genesis,
        number: int,
        terms: Terms = QUICK,
        members: tuple[int, ...] | None = None,
    ) -> None:
        self.cluster, self.genesis, self.number, self.terms = cluster, genesis, number, terms
        self.node = cluster.nodes[number]
        self.members = members or tuple(each.number for each in genesis.foundation.validators)
        self.disk, self.store = MemoryStore(), MemoryStore()
        self.lies: dict[int, Lie] = {}
        self.silent: set[int] = set()
        """Peers that know none of these messages."""
        self.asked: list[tuple[int, Message]] = []
        self.refused: list[tuple[int, str]] = []
        self.ending: Complete | FallBack | None = None
        self.result = ""
        """In the end: "snapshot", or "replay: " and why."""
        self.links: set[int] = set()
        self.wipes = 0
        self.life = 0
        self._unflushed: list[Changes] = []
        cluster.network.deliver = self._deliver

    # --- life ---

    def start(self) -> "Taking":
        self.life += 1
        self.store, self._unflushed = self.disk.copy(), []
        self.taker = Taker(self.node.config, self.store, self.members, self.terms, self.node.now())
        self._do(self.taker.begin(self.node.now()))
        if not self.ending:
            for peer in self.cluster.nodes:
                self.link(peer)
        return self

    def crash(self, *, keep: int = 0) -> None:
        """Lose what is not on disk yet, but for the first `keep` writes."""
        for changes in self._unflushed[:keep]:
            self.disk.write(changes)
        self.life += 1
        self.ending = None
        for peer in list(self.links):
            self.unlink(peer)

    def link(self, peer: int) -> None:
        if peer != self.number and self.cluster.nodes[peer].up and peer not in self.links:
            self.links.add(peer)
            self.cluster.nodes[peer].feed(LinkUp(self.number))
            self._feed(LinkUp(peer))

    def unlink(self, peer: int) -> None:
        if peer in self.links:
            self.links.discard(peer)
            self.cluster.nodes[peer].feed(LinkDown(self.number))
            if self.ending is None and self.life == self._fed_life:
                self._feed(LinkDown(peer))

    def vanish(self, peer: int) -> None:
        """A peer dies."""
        self.unlink(peer)
        self.cluster.crash(peer)

    def run(self, limit_ms: int = 60_000) -> str:
        """Until it is over; then the node starts in the cluster."""
        self.cluster.run_until(lambda: self.ending is not None, limit_ms, "the taking ends")
        return self.finish()

    def finish(self) -> str:
        for peer in list(self.links):
            self.unlink(peer)
        self.cluster.network.deliver = self.cluster._deliver
        match self.ending:
            case FallBack(reason):
                self._wipe()
                self.result = f"replay: {reason}"
            case Complete():
                self._check()
        assert not is_unfinished(self.store)
        if self.result != "snapshot":
            assert next(iter(self.store.scan(b"", b"\xff")), None) is None, "a clean empty store"
            self.store.write(mark_new())
        self.cluster.lose_store(self.number)
        self.node.store = self.store
        self.node.history = [dict(self.store.scan(b"", b"\xff"))]
        self.cluster.checker.persisted(self.number, dict(self.store.scan(b"", b"\xff")))
        self.cluster.restart(self.number)
        return self.result

    def _check(self) -> None:
        try:
            for _ in check_taken(self.store, self.genesis, self.node.config):
                pass
        except Unfit as error:
            self._wipe()
            self.result = f"replay: {error}"
            return
        self.store.write(last_rows(self.store, self.genesis))
        self.result = "snapshot"

    def _wipe(self) -> None:
        self.wipes += 1
        for store in (self.store, self.disk):
            store.write({key: None for key, _ in list(store.scan(b"", b"\xff"))})
        self._unflushed.clear()

    # --- the pump ---

    _fed_life = 0

    def _feed(self, event) -> None:  # type: ignore[no-untyped-def]
        self._fed_life = self.life
        if self.ending is None:
            self._do(self.taker.handle(event, self.node.now()))

    def _do(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Persist(changes):
                    self._write(changes)
                case Opened(_, changes, _, erased):
                    left = {LEFT + encode(each): b"" for each in erased}
                    self._write({**changes, **left})
                case Send(peer, message):
                    self.asked.append((peer, message))
                    if peer in self.links:
                        self.cluster.network.send(self.number, peer, _coded(message))
                case SetTimer(timer, at):
                    self._set_timer(timer, at)
                case Refuse(peer, reason):
                    self.refused.append((peer, reason))
                case Wipe():
                    self._wipe()
                case Complete() | FallBack():
                    self.ending = step
                case _:
                    raise AssertionError(step)

    def _set_timer(self, timer: str, at: int) -> None:
        wait_us, life = at * 1_000 - self.cluster.clock.now_us, self.life
        self.cluster.clock.after(
            wait_us, lambda: self.life == life and self._feed(TimerFired(timer))
        )

    def _write(self, changes: Changes) -> None:
        self.store.write(changes)
        self._unflushed.append(dict(changes))
        life = self.life
        self.cluster.clock.after(FLUSH_US, lambda: self.life == life and self._flush())

    def _flush(self) -> None:
        if self._unflushed:
            self.disk.write(self._unflushed.pop(0))

    # --- the network ---

    def _deliver(self, source: int, target: int, message: Message) -> None:
        if target == self.number:
            if source in self.links:
                self._feed(Received(source, message))
        elif source != self.number:
            self.cluster._deliver(source, target, message)
        elif target in self.links:
            self._ask(target, message)

    def _ask(self, giver: int, message: Message) -> None:
        if isinstance(message, FetchEnds | FetchManifest | FetchChunk):
            ledger = self.cluster.nodes[giver].ledger
            if giver in self.silent or not isinstance(ledger, Pinning):
                return
            for answer in ledger.answer(message):
                self._give(giver, answer)
        else:
            self.cluster.nodes[giver].feed(Received(self.number, message))

    def _give(self, giver: int, answer: Message) -> None:
        lie = self.lies.get(giver)
        for each in [answer] if lie is None else lie(giver, answer):
            self.cluster.network.send(giver, self.number, _coded(each))

    def count(self, kind: type) -> int:
        return sum(isinstance(message, kind) for _, message in self.asked)


def _coded(message: Message) -> Message:
    came = decode_message(encode_message(message))
    assert came == message
    return came
