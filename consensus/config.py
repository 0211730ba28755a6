"""What a node's consensus is built with: identity, keys, validity bounds, timing, memory bounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ledger.block import Tip
from ledger.genesis import Bounds
from ledger.membership import Validator

Verify = Callable[[bytes, bytes, bytes], bool]


class Signer(Protocol):
    """A private key: a `ledger.signing.SigningKey`, or a cheap keyed hash in simulation."""

    @property
    def public(self) -> bytes:
        """The 32 bytes that a validator set names."""
        ...

    def sign(self, message: bytes, /) -> bytes:
        """The 64-byte signature of a message."""
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """The three private keys that consensus signs with."""

    lane: Signer
    vote: Signer
    cosigner: Signer

    def fit(self, seat: Validator) -> bool:
        """Whether a set's seat names these very keys."""
        held = (self.lane.public, self.vote.public, self.cosigner.public)
        return held == (seat.lane_key, seat.vote_key, seat.cosigner_key)


@dataclass(frozen=True, slots=True)
class Timing:
    """Waits, in ms of the steady clock. They decide speed and noise, never validity."""

    view_timeout_ms: int = 500
    """First wait of a view while work waits; doubled by each view that times out."""
    view_timeout_max_ms: int = 8_000
    leader_away_ms: int = 250
    """A view whose leader is not linked is given no more than this: a little longer than a leader
    waits between blocks, so that one missing link does not make a slow leader of a good one."""
    block_interval_ms: int = 200
    """Under load a leader proposes at most this often …"""
    block_records: int = 4_000
    """… or as soon as this many records wait."""
    repeat_after_ms: int = 150
    """A leader without new records waits so long before it repeats its parent's cut."""
    resend_ms: int = 400
    """First wait without progress before own votes are sent again; doubled each time."""
    resend_max_ms: int = 3_200
    hint_gap_ms: int = 10
    """Hints are gathered so that they go out at most this often."""
    fetch_delay_ms: int = 100
    """A hinted batch is pulled only when it has not been pushed within this time."""
    fetch_retry_ms: int = 800
    """An unanswered fetch is sent to another peer after this time."""
    answer_gap_ms: int = 100
    """A peer that is behind is answered at most this often."""
    silence_ms: int = 3_000
    """With a new store: how long to wait for further peers once q − 1 have settled."""
    quiet_lane_ms: int = 1_000
    """How far a lane's tip may lag (behind others and behind its own clock) before it seals an
    empty batch."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory and of what one message may ask for. Beyond them input is dropped."""

    views_ahead_max: int = 64
    """Votes and proposals are kept for so many views past the current one."""
    blocks_per_view_max: int = 4
    """An equivocating leader's further blocks that are kept, per view."""
    next_epoch_messages_max: int = 256
    """Votes and proposals of the next epoch that are kept for it, per peer."""
    uncertified_heights_max: int = 64
    """Nothing is voted for further past the last certified checkpoint."""
    lane_bytes_max: int = 64 * 1_024 * 1_024
    """Batches of a lane that are held above the last execution, unless a proposal needs more."""
    siblings_max: int = 8
    """Batches of a lane off its hinted branch, unless a proposal or final block needs them."""
    residue_claims_max: int = 4_096
    """Residues that a peer has given and too few others yet: so many are remembered per peer and
    lane, but always one batch."""
    orphans_per_peer_max: int = 8
    """Batches whose predecessor is missing that are kept of one peer …"""
    orphans_max: int = 32
    """… and of all."""
    executions_max: int = 8
    """`Execute` effects that have not been answered."""
    final_ahead_max: int = 256
    """Final blocks that are known and not yet executed, while catching up."""
    blocks_per_answer_max: int = 256
    batches_per_answer_max: int = 512
    answer_bytes_max: int = 1_024 * 1_024
    """Batches are added to an answer until it has this many bytes. It is made in one go, which
    should take no longer than other work can wait: some 30 ms."""
    views_per_answer_max: int = 64
    served_bytes_max: int = 8 * 1_024 * 1_024
    """A peer's fetches are answered up to this many bytes (as estimated) per second."""
    served_to_all_bytes_max: int = 12 * 1_024 * 1_024
    """Blocks and batches are read for all peers together up to this many bytes (as estimated) per
    second: some 60,000 records, for a third of a core, so that finality goes on."""
    evidence_per_validator_max: int = 16
    peers_max: int = 256
    """Members and others (observers, former members) whose links are known."""
    resent_votes_max: int = 64


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that stays the same while a node runs. `verify` is (public key, message,
    signature) → bool; `validators` is the genesis set, ascending by number. `me` is this platform's
    number, of whatever epoch. `keys` and `further_keys` (made for a rotation) sign in the epochs
    whose set names them; a node without keys only follows."""

    chain: bytes
    origin: str
    me: int
    validators: tuple[Validator, ...]
    keys: Keys | None
    verify: Verify
    bounds: Bounds
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)
    further_keys: tuple[Keys, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What execution has durable: the last executed block, its cut, and the log after its seal.

    `cut` maps a lane to its tip (lanes without a final batch are absent); `time` is the block's, in
    ms; before the first block it is genesis: height 0, hash = chain id, size 1. `is_erasing`: an
    accepted erasure still lacks leaves, which only further blocks can hold. `is_changing`: an
    approved change of membership can bind at the end of the epoch that the next block belongs to.
    """

    height: int
    hash: bytes
    time: int
    size: int
    root: bytes
    cut: Mapping[int, Tip]
    is_erasing: bool = False
    is_changing: bool = False
