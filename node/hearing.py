"""Reading what a peer has sent, before consensus sees it."""

from enum import Enum
from typing import Final

from consensus.inputs import Received
from consensus.messages import FetchBatches, FetchBlocks, FetchViews, Question, decode_message
from ledger.errors import Malformed

ASKS: Final = (FetchBatches, FetchBlocks, FetchViews, Question)
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
