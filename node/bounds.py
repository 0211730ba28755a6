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
    write_buffer_bytes: int = 32 * 1_024 * 1_024
    block_cache_bytes: int = 64 * 1_024 * 1_024
    open_files_max: int = 256
    erased_waiting_max: int = 65_536
    """Erased records that are kept in mind as still to be destroyed; the rest is read again."""
    erased_at_once_max: int = 1_024
    """Erased records whose keys are destroyed in one step: it rewrites the tables they stand in."""

    # links
    frame_bytes_max: int = 256 * 1_024
    """One WebSocket message; what is longer travels in pieces, and votes go between them."""
    message_bytes_max: int = 24 * 1_024 * 1_024
    """One consensus message, put together from its pieces."""
    send_queue_bytes_max: int = 96 * 1_024 * 1_024
    """Waiting for one peer; on overflow the link is dropped, never the bound."""
    received_bytes_max: int = 32 * 1_024 * 1_024
    """Received from one peer and not yet handled; beyond it nothing more is read from it."""
    handshake_s: float = 5.0
    heartbeat_s: float = 5.0
    redial_first_ms: int = 50
    redial_longest_ms: int = 500
    """A node that starts signs nothing before its peers, who may have to dial it, have answered."""
    undecodable_max: int = 1_000
    """Malformed messages on one link, after which it is dropped (and dialled again)."""

    links_max: int = 512
    """Connections to the peers' port at a time; there are at most 100 members."""

    # pump
    inputs_per_tick_max: int = 256
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
