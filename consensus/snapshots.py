"""Taking a snapshot: how a node with an empty store comes by the ledger's state without executing.

It happens before consensus begins, over the same links; consensus then starts from the store as
from any other. `Taker` is a state machine like consensus: (input, now) → effects.

1. *Ends.* Upon a link: ask which epochs' ends the peer can give (`fetch ends`). The newest end that
   f + 1 members offer, of at least `blocks_min` blocks, is chosen once all linked peers have said
   what they offer, or `settle_ms` after the first offer. If q − 1 members offer nothing, or nobody
   has answered within `ask_ms`, or too few offer the same within `offers_ms`: **fall back**. For a
   node that is no member itself `ask_ms` begins with its first link: it may have to be approved.
2. *Manifest.* Ask all who offer that end for it, again every `again_ms` (it is made slowly, when it
   is first asked for), for `manifest_ms` at most. Once f + 1 members have given one of the same
   digest it is kept, before any state row. Whoever gave another has lied.
3. *Chunks*, from all who gave that manifest, two at a time of each. A chunk is known by its hash:
   whoever gives another has lied, and another is asked. Each is written in one write with a mark.
   The `M` head row is held back.
4. *History*: what proves the blocks (consensus/proofs.py), and the batches (consensus/openings.py).
5. `Complete`: the store's keeper checks everything (consensus/adopting.py), writes the head row and
   removes the rows of the taking in one write; or wipes the store.

**Falling back** means: wipe the store, begin at genesis, replay. So it is done whenever nothing has
moved for `stall_ms`, and when the state contradicts itself (`Unfit`). Until `Complete` nothing
reads the store as a ledger: it has no head row. After a crash or a stop in between: with all chunks
there, go on with 4; else go on where f + 1 members still give the same digest, or else wipe and
begin anew.

Members are those that the node trusts before it knows the ledger: genesis's, or the set that its
file of epoch ends leads to. f is theirs. With n ≤ 3 one peer's word is enough.

Rows while it lasts: `Nt` "m" the manifest · "c" ‖ index (u32) empty: this chunk is there · "h" the
head row · "p", "o" up to which height (u64) proofs and openings are there · "w" all is being
removed. The first of them is written before all else, the last is removed behind all else.

Who asks this node for a snapshot is told that it has none."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from consensus.agreement import Agreement
from consensus.asking import Asking
from consensus.config import Config
from consensus.effects import Persist, Refuse, Send, SetTimer
from consensus.inputs import Input, LinkDown, LinkUp, Now, Received, TimerFired
from consensus.messages import (
    Batches,
    Blocks,
    ChunkMessage,
    Ends,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    ManifestMessage,
    Message,
    RemainsMessage,
)
from consensus.openings import Openings
from consensus.proofs import Proofs, Unfit
from consensus.steps import (
    CHUNK,
    HELD_HEAD,
    MANIFEST,
    OPENED,
    PROVEN,
    TICK,
    TICK_MS,
    Complete,
    FallBack,
    Phase,
    Step,
    Terms,
    Wipe,
    chunk_key,
    read_manifest,
)
from ledger.encoding import encode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.rows import HEAD_KEY, HeadRow, decode_row
from ledger.snapshot import Manifest, check_manifest, decode_chunk, manifest_digest
from ledger.store import Reader, after


class Taker:
    """One taking. `config.me` is this node; its keys are not used.

    The rows of what `begin` and `handle` have returned must be readable before the next call.
    """

    def __init__(
        self, config: Config, reader: Reader, members: Sequence[int], terms: Terms, now: Now
    ) -> None:
        """`reader`: an empty store, or one with an unfinished snapshot.

        Raises:
            StoreDamaged: a row of an earlier run cannot be read.
        """
        self._config, self._reader, self._terms = config, reader, terms
        self._agreement = Agreement(members)
        self._asking = Asking(terms.retry_ms, terms.at_once_max)
        self.phase = Phase.ENDS
        self._now_ms = self._moved_ms = self._chosen_ms = self._again_ms = now.steady_ms
        self._first_offer_ms: int | None = None
        self._asked_ms = now.steady_ms if config.me in self._agreement.members else None
        self._height = 0
        self._manifest: Manifest | None = None
        self._digest = b""
        self._missing: dict[int, None] = {}  # chunks, in order
        self._proofs: Proofs | None = None
        self._openings: Openings | None = None
        self._kept = self._read_kept()
        self._ticks = False  # whether the timer is set

    def _read_kept(self) -> int:
        """What an earlier run has left: the height of its snapshot, or 0."""
        if (manifest := read_manifest(self._reader)) is None:
            return 0
        there = {int.from_bytes(key[-4:]) for key, _ in self._reader.scan(CHUNK, after(CHUNK))}
        left = (at for at in range(len(manifest.chunks)) if at not in there)
        self._manifest, self._digest = manifest, manifest_digest(manifest)
        self._missing = dict.fromkeys(left)
        return manifest.height

    # --- inputs ---

    def begin(self, now: Now) -> list[Step]:
        """The first effects."""
        return self._run(now, self._begin())

    def handle(self, event: Input, now: Now) -> list[Step]:
        """What follows from an input."""
        return self._run(now, self._handle(event))

    def _run(self, now: Now, steps: Iterator[Step]) -> list[Step]:
        self._now_ms = now.steady_ms
        done: list[Step] = []
        if self.is_over:
            return done
        try:
            if self.phase is Phase.CHUNKS and not self._missing:
                self._begin_history()
            done.extend(chain(steps, self._go_on()))
        except (Unfit, StoreDamaged) as error:
            done = [*self._fall_back(str(error))]
        if not (self.is_over or self._ticks):
            self._ticks = True
            done.append(SetTimer(TICK, self._now_ms + TICK_MS))
        return done

    def _begin(self) -> Iterator[Step]:
        if self._manifest is not None and not self._missing:
            self._begin_history()
        elif self._agreement.members <= {self._config.me}:
            yield from self._fall_back("there is nobody to ask")

    def _handle(self, event: Input) -> Iterator[Step]:
        match event:
            case LinkUp(peer):
                self._asking.up.add(peer)
                self._asked_ms = self._asked_ms or self._now_ms
                yield Send(peer, FetchEnds())
            case LinkDown(peer):
                self._asking.up.discard(peer)
                self._asking.drop(peer)
            case Received(peer, message):
                yield from self._receive(peer, message)
            case TimerFired():
                self._ticks = False
                self._asking.expire(self._now_ms)
                yield from self._tick()
            case _:
                raise AssertionError("the rest comes later")

    def _receive(self, peer: int, message: Message) -> Iterator[Step]:
        if isinstance(message, FetchEnds):
            yield Send(peer, Ends(()))
        if peer in self._asking.refused:
            return
        match message:
            case Ends() if peer in self._agreement.members:
                self._take_ends(peer, message)
            case ManifestMessage(manifest) if peer in self._agreement.members:
                yield from self._take_manifest(peer, manifest)
            case ChunkMessage():
                yield from self._take_chunk(peer, message)
            case Blocks() if self._proofs is not None:
                yield from self._take_blocks(self._proofs, peer, message)
            case Batches() | RemainsMessage() if self._openings is not None:
                yield from self._openings.take(peer, message)
            case _:  # said to a node that takes part in consensus
                pass

    def _refuse(self, peer: int) -> Iterator[Step]:
        self._asking.refuse(peer)
        self._agreement.forget(peer)
        yield Refuse(peer, "snapshot")

    def _fall_back(self, reason: str) -> Iterator[Step]:
        self.phase = Phase.OVER
        yield FallBack(reason)

    # --- time ---

    def _tick(self) -> Iterator[Step]:
        now_ms, terms = self._now_ms, self._terms
        if self.phase in {Phase.ENDS, Phase.MANIFEST} and now_ms >= self._again_ms:
            self._again_ms = now_ms + terms.again_ms
            for peer in sorted(self._asking.peers()):
                yield Send(peer, FetchEnds())
            if self.phase is Phase.MANIFEST:
                yield from self._ask_manifest()
        is_late = self.phase is Phase.MANIFEST and now_ms >= self._chosen_ms + terms.manifest_ms
        if self.phase is not Phase.ENDS and (is_late or now_ms >= self._moved_ms + terms.stall_ms):
            yield from self._fall_back(f"{self.phase.value}: nothing has come for a while")

    def _go_on(self) -> Iterator[Step]:
        """Whatever can be done now."""
        match self.phase:
            case Phase.ENDS:
                yield from self._choose()
            case Phase.CHUNKS:
                yield from self._ask_chunks()
            case Phase.HISTORY:
                yield from self._go_on_history()
            case _:
                pass

    @property
    def is_over(self) -> bool:
        """Whether nothing will be done any more."""
        return self.phase is Phase.OVER

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        match self.phase, self._manifest:
            case Phase.CHUNKS, Manifest(chunks=chunks):
                return f"{len(chunks) - len(self._missing)} of {len(chunks)} chunks"
            case Phase.HISTORY, Manifest(height=height) if self._openings is not None:
                return f"batches of {self._openings.opened} of {height} blocks"
            case _:
                return self.phase.value

    # --- ends ---

    def _take_ends(self, peer: int, message: Ends) -> None:
        epoch_blocks = self._config.bounds.epoch_blocks
        offered = {
            end.height: end.digest
            for end in message.ends
            if end.height >= self._terms.blocks_min and end.height % epoch_blocks == 0
        }
        self._agreement.offer(peer, offered)
        if offered and self._first_offer_ms is None:
            self._first_offer_ms = self._now_ms
        is_asked = self._height in offered and peer not in self._agreement.given
        if self.phase is Phase.MANIFEST and is_asked and self._agreement.may_be_had(self._height):
            self._moved_ms = self._now_ms  # it is still being made
        if self.phase is Phase.CHUNKS and offered.get(self._height) == self._digest:
            self._agreement.given[peer] = self._digest

    def _choose(self) -> Iterator[Step]:
        terms, now_ms, first_ms = self._terms, self._now_ms, self._first_offer_ms
        height = self._agreement.common(self._kept)
        if first_ms is None:
            if self._agreement.is_in_vain:
                yield from self._fall_back("the others have no snapshot")
            elif self._asked_ms is not None and now_ms >= self._asked_ms + terms.ask_ms:
                yield from self._fall_back("nobody has offered a snapshot in time")
        elif height and (
            now_ms >= first_ms + terms.settle_ms
            or self._agreement.have_all_offered(self._asking.peers())
        ):
            yield from self._begin_manifest(height)
        elif now_ms >= first_ms + terms.offers_ms:
            yield from self._fall_back("too few members offer the same snapshot")

    # --- manifest ---

    def _begin_manifest(self, height: int) -> Iterator[Step]:
        if self._manifest is not None and height != self._kept:
            yield from self._forget_kept()
        self.phase, self._height = Phase.MANIFEST, height
        self._chosen_ms = self._moved_ms = self._now_ms
        self._again_ms = self._now_ms + self._terms.again_ms
        yield from self._ask_manifest()

    def _ask_manifest(self) -> Iterator[Step]:
        for peer in sorted(self._asking.peers() - self._agreement.given.keys()):
            if self._agreement.offers(peer, self._height):
                yield Send(peer, FetchManifest(self._height))

    def _forget_kept(self) -> Iterator[Step]:
        self._manifest, self._digest, self._missing, self._kept = None, b"", {}, 0
        yield Wipe()

    def _take_manifest(self, peer: int, manifest: Manifest) -> Iterator[Step]:
        if self.phase not in {Phase.MANIFEST, Phase.CHUNKS} or manifest.height != self._height:
            return
        try:
            size, root = manifest.size, manifest.root
            check_manifest(manifest, self._config.chain, self._height, size, root)
        except InvalidInput:
            yield from self._refuse(peer)
            return
        digest = self._agreement.give(peer, manifest)
        if self.phase is Phase.MANIFEST and self._agreement.agrees(digest):
            yield from self._begin_chunks(digest)
        elif self.phase is Phase.CHUNKS and digest != self._digest:
            yield from self._refuse(peer)

    def _begin_chunks(self, digest: bytes) -> Iterator[Step]:
        manifest, liars = self._agreement.settle(digest)
        if self._manifest is not None and digest != self._digest:
            yield from self._forget_kept()
        if self._manifest is None:
            self._missing = dict.fromkeys(range(len(manifest.chunks)))
            yield Persist({MANIFEST: encode(manifest)})
        self.phase, self._moved_ms = Phase.CHUNKS, self._now_ms
        self._manifest, self._digest = manifest, digest
        for peer in liars:
            yield from self._refuse(peer)

    # --- chunks ---

    def _ask_chunks(self) -> Iterator[Step]:
        givers = self._agreement.givers(self._digest)
        for index in islice(self._missing, 2 * self._terms.at_once_max * len(givers)):
            peer = self._asking.choose(("chunk", index), givers, self._now_ms)
            if peer:
                yield Send(peer, FetchChunk(self._height, index))

    def _take_chunk(self, peer: int, message: ChunkMessage) -> Iterator[Step]:
        manifest, index = self._manifest, message.index
        is_awaited = self.phase is Phase.CHUNKS and message.height == self._height
        if not is_awaited or manifest is None or index not in self._missing:
            return
        try:
            rows = decode_chunk(manifest, index, message.data)
        except InvalidInput:
            yield from self._refuse(peer)
            return
        self._asking.came(("chunk", index))
        del self._missing[index]
        self._moved_ms = self._now_ms
        changes = {HELD_HEAD if key == HEAD_KEY else key: value for key, value in rows}
        yield Persist({**changes, chunk_key(index): b""})

    # --- history ---

    def _begin_history(self) -> None:
        """All chunks are there.

        Raises:
            Unfit, StoreDamaged: they lack what they must have.
        """
        manifest, data = self._manifest, self._reader.get(HELD_HEAD)
        assert manifest is not None, "chunks are of a manifest"
        if data is None:
            raise Unfit("there is no head row")
        head = decode_row(HeadRow, HEAD_KEY, data)
        if (head.height, head.size) != (manifest.height, manifest.size):
            raise Unfit("the state is of another height than its manifest")
        self.phase, self._moved_ms, self._height = Phase.HISTORY, self._now_ms, manifest.height
        given = self._config, self._reader, self._asking
        self._proofs = Proofs(*given, height=manifest.height, proven=self._number(PROVEN))
        self._openings = Openings(
            *given,
            height=manifest.height,
            cut=head.cut,
            opened=self._number(OPENED),
            members=self._agreement.members,
            witnesses=self._agreement.needed,
            lane_bytes_max=self._terms.lane_bytes_max,
            waiting_bytes_max=self._terms.waiting_bytes_max,
        )

    def _number(self, key: bytes) -> int:
        return int.from_bytes(self._reader.get(key) or b"")

    def _take_blocks(self, proofs: Proofs, peer: int, message: Blocks) -> Iterator[Step]:
        for each in proofs.take(peer, message):
            if isinstance(each, Persist):
                self._moved_ms = self._now_ms
                each.changes[PROVEN] = proofs.proven.to_bytes(8)
            yield each

    def _go_on_history(self) -> Iterator[Step]:
        proofs, openings = self._proofs, self._openings
        assert proofs is not None and openings is not None, "history has begun"  # noqa: PT018
        for each in openings.advance():
            self._moved_ms = self._now_ms
            each.changes[OPENED] = each.height.to_bytes(8)
            yield each
        if proofs.proven == openings.opened == self._height:
            self.phase = Phase.OVER
            yield Complete()
            return
        yield from chain(proofs.ask(self._now_ms), openings.ask(self._now_ms))
