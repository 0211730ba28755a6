"""Every limit of the shell in one place. None of them decides validity: those are in genesis."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bounds:
    """Queues, frames, bodies and times of one node. Each input is bounded by one of these."""

    # intake
    offers_max: int = 20_000
    """Offers in one call of `Node.submit`."""
    pending_records_max: int = 40_000
    """Own records that are not final yet; beyond it offers are pushed back."""
    seal_after_ms: int = 3
    """An open batch is sealed after this long, or sooner when it is full."""
    retry_after_s: int = 1
    """What a pushed-back caller is told to wait."""

    # storage
    queued_rows_max: int = 400_000
    """Rows accepted and not yet on disk; beyond it the pump waits for the disk."""
    write_buffer_bytes: int = 64 * 1_024 * 1_024
    """What LevelDB gathers before it writes a table: fewer tables are merged less often."""
    block_cache_bytes: int = 64 * 1_024 * 1_024
    recent_rows_max: int = 262_144
    """Rows of subjects, engagements, pairs and raters that are kept in memory: about 60 MB."""
    absent_bytes_max: int = 32 * 1_024 * 1_024
    """What tells which rows there are not: enough for 16 million (node/storage/absent.py)."""
    absent_pause_s: float = 0.02
    """Between two turns of finding them out after a start."""
    table_bytes_max: int = 16 * 1_024 * 1_024
    """A table of LevelDB. With 2 MiB, its usual, a ledger of a million records has more of them
    than are kept open, and a query opens, reads and checks the index of nearly every one."""
    open_files_max: int = 512
    """Tables that are kept open, their indexes and filters in memory: some 300 KiB each."""
    erased_waiting_max: int = 65_536
    """Erased records that are kept in mind as still to be destroyed; the rest is read again."""
    erased_at_once_max: int = 1_024
    """Erased records whose keys are destroyed in one step: it rewrites the tables they stand in."""

    # links
    frame_bytes_max: int = 256 * 1_024
    """One WebSocket message; what is longer travels in pieces, and votes go between them."""
    message_bytes_max: int = 8 * 1_024 * 1_024
    """One consensus message, put together from its pieces (consensus/messages.py)."""
    send_queue_bytes_max: int = 64 * 1_024 * 1_024
    """Waiting for one peer; on overflow the link is dropped, never the bound."""
    answers_waiting_bytes_max: int = 8 * 1_024 * 1_024
    """While so much waits for a peer, nothing that it asks for is served."""
    received_bytes_max: int = 16 * 1_024 * 1_024
    """Received from one peer and not yet handled; beyond it nothing more is read from it."""
    handshake_s: float = 5.0
    heartbeat_s: float = 5.0
    redial_first_ms: int = 50
    redial_longest_ms: int = 500
    """A node that starts signs nothing before its peers, who may have to dial it, have answered."""

    blame_max: int = 200
    """Refusals and the like of one peer, after which it is cut off (node/links/conduct.py)."""
    blame_fades_per_s: float = 10.0
    frame_blame: int = 50
    """For a frame without form; a refusal or a message without form counts 1."""
    link_blame: int = 5
    """For each link of a peer that is made anew."""
    messages_per_s: float = 1_000.0
    """Messages that are read from one peer for long …"""
    messages_burst: int = 5_000
    """… and at once. (A peer under load sends about 200 a second.)"""
    peer_bytes_per_s: float = 64.0 * 1_024 * 1_024
    """Bytes that are read from one peer for long: what an honest one serves at most …"""
    peer_bytes_burst: int = 128 * 1_024 * 1_024
    """… and at once."""
    held_back_max_s: float = 10.0
    """A peer that is held back for so long in a row is cut off."""
    cut_first_s: float = 5.0
    cut_longest_s: float = 300.0

    links_max: int = 512
    """Connections to the peers' port at a time; there are at most 100 members."""
    links_per_host_max: int = 128
    """Of these so many may come from one host: several platforms may share it, or an address."""
    former_max: int = 64
    """Former members that are told, with proof, that they are members no more."""
    farewell_gap_s: float = 0.2
    """Between two such answers, whoever asks: a page takes up to 60 ms to make."""
    farewell_s: float = 5.0
    """How long one answer is waited for, and how long before it is asked for again."""

    # snapshots
    snapshot_pins_max: int = 4
    """Epochs' ends that are kept to be given away (consensus/messages.py: ENDS_MAX)."""
    snapshot_lease_s: float = 30.0
    """An end that was asked for within this time goes after those that were not."""
    snapshot_rows_since_max: int = 32_000_000
    """Rows written since an end, after which it goes: the disk keeps what they overwrite."""
    snapshot_turn_s: float = 0.002
    """A manifest is made in turns of this length …"""
    snapshot_share_busy: float = 0.1
    """… with this share of a core, or, while the process uses less than `snapshot_idle_below` of
    one for anything else, …"""
    snapshot_share_idle: float = 0.4
    """… with this share."""
    snapshot_idle_below: float = 0.25
    snapshot_bytes_per_s: int = 16 * 1_024 * 1_024
    """Chunks and manifests are sent at this pace, to all peers together, to each in its turn."""
    snapshot_asks_max: int = 4
    """Questions of one peer that wait; further ones are dropped."""

    # pump
    inputs_per_tick_max: int = 256
    tick_s: float = 0.004
    """After so long the pump lets others (readers, execution) have their turn …"""
    turn_s: float = 0.001
    """… and after so long one peer the other peers."""
    events_queued_max: int = 1_024
    """Block events that a slow listener may lag behind before it is cut off."""

    # faces
    connections_max: int = 1_024
    """Connections to the HTTP API at a time."""
    wait_final_s_max: float = 60.0
    aliases_max: int = 20_000
    """References in one call of `Node.handles`."""
    alias_bytes_max: int = 256
    """One reference of the platform, in UTF-8."""


BOUNDS: Final = Bounds()
