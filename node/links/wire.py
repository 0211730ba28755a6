"""Frames of a peer link: what stands in one binary WebSocket message, and in which order.

    frame   = kind (u8) ‖ body
    hello   = 0x01 ‖ MessagePack [version, chain id (32 bytes), platform number, start, minor, …]
    several = 0x02 ‖ (u32be length ‖ message)+
    piece   = 0x03 ‖ last (u8, 0 or 1) ‖ part of one message

The first frame each way is hello, and it comes once. Both must be of one `version`: it changes with
whatever nodes of the version before cannot read. `minor` grows with what is added besides; neither
side minds the other's. What a later minor appends to hello is ignored by those who do not know it;
a later kind of message is sent only to a peer whose minor knows it (others would count it as
malformed). So a network takes in a new minor node by node, in any order.

All that is ready goes out in one frame, so many votes cost one. A message longer than a frame
travels in pieces, in order and without another message's pieces between; whole urgent messages
(votes, certificates) go before any bulk (batches) and between its pieces. Order is kept within
urgent and within bulk, not between them.

This module knows bytes only: no socket, no clock.
"""

from collections import deque
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from ledger.encoding import Hash, PlatformNumber, Value, decode, encode
from ledger.errors import Malformed

VERSION: Final = 2
MINOR: Final = 0
HELLO: Final = 1
SEVERAL: Final = 2
PIECE: Final = 3
LENGTH_BYTES: Final = 4
_HELLO_BYTES_MAX: Final = 256


class Hello(Value):
    """Who speaks, about which chain, in which version of this module. `start`: a random number
    that tells this start of its process from all others."""

    version: Annotated[int, msgspec.Meta(ge=0, le=2**16)]
    chain: Hash
    number: PlatformNumber
    start: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    minor: Annotated[int, msgspec.Meta(ge=0, le=2**16)] = MINOR


def encode_hello(hello: Hello) -> bytes:
    """The hello frame."""
    return bytes([HELLO]) + encode(hello)


def decode_hello(frame: bytes) -> Hello:
    """Read the first frame of a link; what a later minor version has appended is left out.

    Raises:
        Malformed: not a hello of this version.
    """
    if frame[:1] != bytes([HELLO]):
        raise Malformed("the first frame of a link is no hello", field="frame")
    fields = decode(list, frame[1:], bytes_max=_HELLO_BYTES_MAX, what="hello")
    if not fields or fields[0] != VERSION:  # its further fields may be others
        told = repr(fields[0]) if fields else "none"
        raise Malformed(f"is of version {told:.20}, this node speaks {VERSION}", field="hello")
    known = encode(fields[: len(Hello.__struct_fields__)])
    return decode(Hello, known, bytes_max=_HELLO_BYTES_MAX, what="hello")


class Overflow(Exception):
    """More waits for a peer than the bound allows: its link must go."""


class Outbox:
    """What waits for one peer, bounded in bytes: urgent messages first, then bulk."""

    def __init__(self, *, frame_bytes_max: int, queue_bytes_max: int) -> None:
        self._frame_max, self._queue_max = frame_bytes_max, queue_bytes_max
        self._urgent: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._sent_of_first = 0  # of the first bulk message, already sent in pieces
        self.bytes_waiting = 0

    def put(self, message: bytes, *, bulk: bool) -> None:
        """Add a message.

        Raises:
            Overflow: the bound would be exceeded; nothing was added.
        """
        if self.bytes_waiting + len(message) > self._queue_max:
            raise Overflow
        self.bytes_waiting += len(message)
        (self._bulk if bulk else self._urgent).append(message)

    def next_frame(self) -> bytes | None:
        """The next frame to send, or None when nothing waits."""
        parts: list[bytes] = []
        room = self._frame_max - 1
        room = self._take(self._urgent, parts, room)
        if not self._urgent and not self._sent_of_first:
            self._take(self._bulk, parts, room)
        if parts:
            return bytes([SEVERAL]) + b"".join(parts)
        # What stands first now does not fit whole: it goes in pieces. Only bulk may be that long,
        # but an urgent message that is must not stop the link.
        return self._piece(self._urgent if self._urgent and not self._sent_of_first else self._bulk)

    def _take(self, queue: deque[bytes], parts: list[bytes], room: int) -> int:
        while queue and len(queue[0]) + LENGTH_BYTES <= room:
            message = queue.popleft()
            self.bytes_waiting -= len(message)
            parts += (len(message).to_bytes(LENGTH_BYTES), message)
            room -= len(message) + LENGTH_BYTES
        return room

    def _piece(self, queue: deque[bytes]) -> bytes | None:
        if not queue:
            return None
        if queue is self._urgent:
            self._bulk.appendleft(self._urgent.popleft())
        message, start = self._bulk[0], self._sent_of_first
        end = min(len(message), start + self._frame_max - 2)
        last = end == len(message)
        self._sent_of_first = 0 if last else end
        if last:
            self._bulk.popleft()
            self.bytes_waiting -= len(message)
        return bytes([PIECE, last]) + message[start:end]


class Assembler:
    """Turns one link's frames after its hello back into messages, bounded."""

    def __init__(self, *, message_bytes_max: int) -> None:
        self._max = message_bytes_max
        self._pieces = bytearray()  # no list: of pieces of one byte it would grow tenfold

    def feed(self, frame: bytes) -> Iterator[bytes]:
        """The messages that a frame completes.

        Raises:
            Malformed: the frame has no form; the link cannot go on.
        """
        kind = frame[0] if frame else 0
        if kind == SEVERAL:
            yield from self._several(frame)
        elif kind == PIECE and len(frame) > 2 and frame[1] <= 1:
            yield from self._piece(frame)
        else:
            raise Malformed("is of no known kind", field="frame")

    def _several(self, frame: bytes) -> Iterator[bytes]:
        at = 1
        while at < len(frame):
            start = at + LENGTH_BYTES
            at = start + int.from_bytes(frame[at:start])
            if at > len(frame) or start > len(frame):
                raise Malformed("ends within a message", field="frame")
            yield frame[start:at]

    def _piece(self, frame: bytes) -> Iterator[bytes]:
        if len(self._pieces) + len(frame) - 2 > self._max:
            raise Malformed(f"completes a message of more than {self._max} bytes", field="frame")
        self._pieces += memoryview(frame)[2:]
        if frame[1]:
            message, self._pieces = bytes(self._pieces), bytearray()
            yield message
