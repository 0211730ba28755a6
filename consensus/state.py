"""The state of a node's consensus, and the small pieces that every rule reads.

The caller hands the state over with each input: `simplex.handle` changes it in place and gives it
back. Effects gather in `out`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Certificate,
    Seats,
)
from consensus.changing import Changing
from consensus.claims import Claims
from consensus.config import Config, Keys
from consensus.effects import CancelTimer, Effect, Persist, Refuse, SetTimer
from consensus.epochs import Sets, epoch_at
from consensus.evidence import Evidence
from consensus.inputs import Now
from consensus.lane import Held
from consensus.lanes import Lanes
from consensus.leader import leader
from consensus.messages import CertificateMessage, Cosignature, Message, Proposal, Vote
from consensus.votes import Tally
from ledger.block import Block, Tip
from ledger.rows import CheckpointRow
from ledger.store import Changes, Reader


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block whose ancestors down to the last final block are known; `cut`: lane → tip."""

    block: Block
    hash: bytes
    cut: Mapping[int, Tip]


@dataclass(slots=True)
class Round:
    """What is known of one view. `own` are this node's votes by kind."""

    view: int
    proposal: Proposal | None = None
    hash: bytes | None = None
    invalid: bool = False
    hashes: list[bytes] = field(default_factory=list)
    own: dict[int, Vote] = field(default_factory=dict)
    tallies: dict[int, Tally] = field(
        default_factory=lambda: {NOTARIZE: Tally(), NULLIFY: Tally(), FINALIZE: Tally()}
    )
    certificates: dict[int, Certificate] = field(default_factory=dict)

    @property
    def notarized(self) -> bytes | None:
        """The hash of the view's notarized block (a finalization shows it as well)."""
        found = self.certificates.get(NOTARIZE) or self.certificates.get(FINALIZE)
        return found.hash if found else None

    @property
    def nullified(self) -> bool:
        """Whether q validators nullified the view."""
        return NULLIFY in self.certificates


@dataclass(slots=True)
class Peer:
    """What a node remembers of a peer, besides its hints."""

    up: bool = False
    observes: bool = False
    """Let in as a candidate: its word on residues counts for nothing."""
    final_height: int = 0
    answered_at: int = -(10**9)
    next_epoch: list[Message] = field(default_factory=list)
    missed_epoch: int = 0
    """The newest epoch of which it said something that came too early to be kept."""
    served_second: int = 0
    served_bytes: int = 0
    patience: int = 1
    """How many `fetch_retry_ms` its answers are waited for: more after one that came late."""
    overdue: int = 0
    """Batches' fetches that it has not answered in time, and may answer still."""


@dataclass(slots=True)
class Served:
    """What was read for peers in one second (of the steady clock), in bytes as estimated."""

    second: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """Something asked of a peer; `until` is when (steady ms) another is asked. Of batches, `tip` is
    the last and `above` the height above which they were asked for; of views, `above` is the last.
    """

    peer: int
    until: int
    above: int = 0
    tip: Tip | None = None
    for_block: bool = False
    """A block needs it; else it was only hinted, and gives way."""


@dataclass(slots=True)
class Final:
    """A final block that is not executed, and the cut that it moves. `is_told`: others have told
    its finalization whole, or it is durable here."""

    candidate: Candidate
    before: Mapping[int, Tip]
    is_told: bool = False


@dataclass(slots=True)
class Checkpoints:
    """Execution's results and cosignatures above the last certified checkpoint."""

    certified: int = 0
    row: CheckpointRow | None = None
    results: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    own: dict[int, Cosignature] = field(default_factory=dict)
    unchecked: dict[int, dict[int, Cosignature]] = field(default_factory=dict)
    checked: dict[int, dict[int, Cosignature]] = field(default_factory=dict)
    ahead: dict[int, CheckpointRow] = field(default_factory=dict)
    """Peer → the highest row it sent of a block that is final here and not executed."""


@dataclass(slots=True)
class Waits:
    """Timers and what they count."""

    armed: dict[str, int] = field(default_factory=dict)
    view_timeout_ms: int = 0
    view_waited: int = 0
    """The view whose time is running, or 0."""
    view_ends: int = 0
    """When (steady ms) that time is over, unless it is cut short."""
    entered_at: int = 0
    proposed_at: int = -(10**9)
    """When the newest proposal was made or came."""
    hinted_at: int = -(10**9)
    resend_ms: int = 0
    fetch_due: int = 0
    """When (steady ms) a fetch is over or a pull due, while neither changes."""
    missed_asks: int = 0
    """How often those whose messages came too early are still asked."""
    progress: tuple[int, ...] = ()


@dataclass(slots=True)
class Silence:
    """A node that may not sign (consensus.silence). `new`: its store has never signed; `reason`:
    why it never signs again, or nothing while it asks."""

    new: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """Where a peer stood when it answered, and in which epoch this node took the answer in."""

    epoch: int
    final_view: int
    final_height: int
    taken_in: int


@dataclass(slots=True)
class Memory:
    """What the store knew at the start, and what the peers said of it (consensus.recall).

    `floor`: (epoch, final view), `cosigned`: the executed or certified height, `votes`: (kind,
    epoch, view, hash) of own votes and proposals, all at the start. `signs_above`, `cosigns_above`:
    what this life signs lies above these; None while it has signed nothing.
    """

    start: int
    floor: tuple[int, int]
    cosigned: int
    votes: set[tuple[int, int, int, bytes]]
    signs_above: tuple[int, int] | None = None
    cosigns_above: int | None = None
    answered: dict[int, Answered] = field(default_factory=dict)
    shown: dict[bytes, tuple[int, Tip]] = field(default_factory=dict)
    """Own batches that answers named: hash → (by whom, tip)."""
    later: list[tuple[int, Vote | Proposal]] = field(default_factory=list)
    """What was shown of an epoch that has not begun here, and by whom (f = 0)."""
    until: int | None = None
    """When (steady ms) a new store waits no longer for peers that do not answer."""
    ask_at: int | None = None


@dataclass(slots=True)
class State:
    """All of a node's consensus."""

    config: Config
    reader: Reader
    now: Now
    epoch: int
    view: int
    sets: Sets
    seats: Seats
    keys: Keys | None
    """What this node signs with in this epoch; None while its set does not name it with keys that
    it holds: then it only follows (an *observer*)."""
    passed: frozenset[int]
    """Who is passed over as a leader in this epoch (consensus/leader.py)."""
    final: Candidate
    final_view: int
    executed_height: int
    lanes: Lanes
    claims: Claims
    is_erasing: bool = False
    """Whether erasing was under way after the last executed block."""
    is_changing: bool = False
    """Whether, after the last executed block, a change of membership could bind at the end of the
    epoch that the next one belongs to."""
    void: list[Held] = field(default_factory=list)
    """Own batches under a rotated key, to be sealed again (consensus.seating)."""
    finalization: CertificateMessage | None = None
    rounds: dict[int, Round] = field(default_factory=dict)
    blocks: dict[bytes, Block] = field(default_factory=dict)
    candidates: dict[bytes, Candidate] = field(default_factory=dict)
    queue: deque[Final] = field(default_factory=deque)
    issued: int = 0
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    peers: dict[int, Peer] = field(default_factory=dict)
    heard_final: int = 0
    """The highest block that any peer was ever heard to have final."""
    fetches: Changing[str, Fetch] = field(default_factory=Changing)
    served: Served = field(default_factory=Served)
    planned: tuple[object, tuple[Tip, ...], int] | None = None
    """What the leader would propose: (what it depends on, tips, records)."""
    wanted: dict[int, tuple[Tip, int | None]] = field(default_factory=dict)
    """Lane → (tip that a block under way needs, who should hold it); renewed with each input."""
    evidence: dict[bytes, Evidence] = field(default_factory=dict)
    silence: Silence | None = None
    memory: Memory = field(default_factory=lambda: Memory(0, (0, 0), 0, set()))
    newest: dict[int, Vote] = field(default_factory=dict)
    """Validator → its newest vote of views that are closed here (consensus.holdings)."""
    waits: Waits = field(default_factory=Waits)
    rows: dict[int, list[bytes]] = field(default_factory=dict)
    """Keys of this epoch's rows by view, to be removed once a block is final above them."""
    arrivals: int = 0
    unhinted: set[int] = field(default_factory=set)
    """Lanes whose branch has grown since they were last hinted."""
    halted: bool = False
    out: list[Effect] = field(default_factory=list)

    def emit(self, effect: Effect) -> None:
        """Add an effect."""
        self.out.append(effect)

    def persist(self, changes: Changes) -> None:
        """Write rows before anything that follows."""
        self.out.append(Persist(changes))

    def refuse(self, peer: int, reason: str) -> None:
        """Count a peer's fault."""
        self.out.append(Refuse(peer, reason))

    def round(self, view: int) -> Round:
        """The round of a view, made on first use; the caller has bounded the view."""
        found = self.rounds.get(view)
        if found is None:
            found = self.rounds[view] = Round(view)
        return found

    def hear_final(self, number: int, height: int) -> None:
        """A peer has this block final, as it says."""
        peer = self.peers[number]
        peer.final_height = max(peer.final_height, height)
        self.heard_final = max(self.heard_final, height)

    def fetched_view(self, peer: int, view: int) -> None:
        """A peer's certificate was new: if it is the last that was asked for, more may be asked."""
        fetch = self.fetches.get("views")
        if fetch is not None and fetch.peer == peer and view >= fetch.above:
            del self.fetches["views"]

    def leader(self, view: int) -> int:
        """Who leads a view of this epoch."""
        return leader(self.seats.numbers, self.epoch, view, self.passed)

    @property
    def lane_epoch(self) -> int:
        """The epoch of the next block to be executed: its set's lane keys write the lanes."""
        return epoch_at(self.config, self.executed_height + 1)

    @property
    def lane_seats(self) -> Seats:
        """Who may write a lane now, under which key."""
        return self.sets.need(self.lane_epoch)

    def is_member(self, number: int) -> bool:
        """Whether a platform votes in this epoch."""
        return number in self.seats.by_number

    def is_observer(self, number: int) -> bool:
        """Whether a peer is known to be no member, now or in the set that follows."""
        peer, seats = self.peers.get(number), self.lane_seats
        is_member = self.is_member(number) or number in seats.by_number
        return peer is not None and peer.observes and not is_member

    def set_timer(self, timer: str, at: int) -> None:
        """Ask for a timer, unless it is set for that time already."""
        if self.waits.armed.get(timer) != at:
            self.waits.armed[timer] = at
            self.out.append(SetTimer(timer, at))

    def cancel_timer(self, timer: str) -> None:
        """Forget a timer, if it is set."""
        if self.waits.armed.pop(timer, None) is not None:
            self.out.append(CancelTimer(timer))

    def peers_up(self) -> list[int]:
        """The peers whose links stand."""
        return [number for number, peer in self.peers.items() if peer.up]
