"""Reading what a peer has sent, before consensus sees it; which messages may be long."""

from enum import Enum
from typing import Final

from consensus.inputs import Received
from consensus.messages import (
    Batches,
    Blocks,
    ChunkMessage,
    Ends,
    FetchBatches,
    FetchBlocks,
    FetchChunk,
    FetchEnds,
    FetchManifest,
    FetchViews,
    ManifestMessage,
    Question,
    RemainsMessage,
    decode_message,
)
from ledger.errors import Malformed

BULK: Final = (Batches, Blocks, RemainsMessage, ChunkMessage, ManifestMessage, Ends)
"""Messages that may be long: votes and certificates go before them."""
ASKS: Final = (
    FetchBatches,
    FetchBlocks,
    FetchViews,
    FetchEnds,
    FetchManifest,
    FetchChunk,
    Question,
)
"""Messages whose answers may be long."""


class Unheard(Enum):
    """Why a message is dropped."""

    MALFORMED = 1
    CLOGGED = 2
    """It asks for more, and does not read what waits for it."""


def read_message(peer: int, message: bytes, *, is_clogged: bool) -> Received | Unheard:
    """A peer's message as an input; `is_clogged`: too much waits for this peer already."""
    try:
        decoded = decode_message(message)
    except Malformed:
        return Unheard.MALFORMED
    if is_clogged and isinstance(decoded, ASKS):
        return Unheard.CLOGGED
    return Received(peer, decoded)
