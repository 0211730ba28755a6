"""Frames: whatever is queued comes out whole, in order, with votes before batches."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import Malformed
from node.links.wire import Assembler, Hello, Outbox, Overflow, decode_hello, encode_hello

FRAME = 64


def _outbox(queue: int = 1 << 20) -> Outbox:
    return Outbox(frame_bytes_max=FRAME, queue_bytes_max=queue)


def _drain(outbox: Outbox) -> list[bytes]:
    frames = []
    while (frame := outbox.next_frame()) is not None:
        assert len(frame) <= FRAME
        frames.append(frame)
    return frames


def test_many_votes_share_a_frame() -> None:
    outbox = _outbox()
    for at in range(5):
        outbox.put(b"vote%d" % at, bulk=False)
    (frame,) = _drain(outbox)
    messages = list(Assembler(message_bytes_max=100).feed(frame))
    assert messages == [b"vote%d" % at for at in range(5)]
    assert outbox.bytes_waiting == 0


def test_votes_go_between_the_pieces_of_a_batch() -> None:
    outbox, assembler = _outbox(), Assembler(message_bytes_max=10_000)
    outbox.put(b"B" * 300, bulk=True)
    outbox.put(b"C" * 10, bulk=True)
    got = list(assembler.feed(outbox.next_frame() or b""))
    assert got == []
    outbox.put(b"vote", bulk=False)
    got += assembler.feed(outbox.next_frame() or b"")
    assert got == [b"vote"]
    for frame in _drain(outbox):
        got += assembler.feed(frame)
    assert got == [b"vote", b"B" * 300, b"C" * 10]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 300), st.booleans(), st.booleans()), min_size=1, max_size=30
    )
)
def test_nothing_is_lost_and_each_kind_keeps_its_order(
    steps: list[tuple[int, bool, bool]],
) -> None:
    outbox, assembler = _outbox(), Assembler(message_bytes_max=1_000)
    put: dict[bool, list[bytes]] = {False: [], True: []}
    got: list[bytes] = []
    for at, (size, bulk, send) in enumerate(steps):
        message = bytes([bulk, at]) + b"x" * size
        put[bulk].append(message)
        outbox.put(message, bulk=bulk)
        if send:
            frame = outbox.next_frame()
            got += assembler.feed(frame) if frame else []
    for frame in _drain(outbox):
        got += assembler.feed(frame)
    short = [each for each in put[False] if len(each) + 5 <= FRAME]
    assert [each for each in got if each in short] == short
    assert [each for each in got if each[0]] == put[True]
    assert sorted(got) == sorted(put[False] + put[True])
    assert outbox.bytes_waiting == 0


def test_overflow_adds_nothing() -> None:
    outbox = _outbox(queue=10)
    outbox.put(b"12345", bulk=True)
    with pytest.raises(Overflow):
        outbox.put(b"123456", bulk=False)
    assert outbox.bytes_waiting == 5


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x04abc", b"\x02\x00\x00", b"\x02\x00\x00\x00\x05ab", b"\x03\x02a"]
)
def test_refuses_frames_without_form(frame: bytes) -> None:
    with pytest.raises(Malformed):
        list(Assembler(message_bytes_max=100).feed(frame))


def test_bounds_a_message_put_together_from_pieces() -> None:
    assembler = Assembler(message_bytes_max=100)
    assert list(assembler.feed(b"\x03\x00" + b"a" * 60)) == []
    with pytest.raises(Malformed, match="more than 100"):
        list(assembler.feed(b"\x03\x01" + b"a" * 60))


def test_small_pieces_cost_no_more_than_their_bytes() -> None:
    assembler = Assembler(message_bytes_max=1_000_000)
    tracemalloc.start()
    for _ in range(100_000):
        assert not list(assembler.feed(b"\x03\x00ab"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    assert list(assembler.feed(b"\x03\x01c")) == [b"ab" * 100_000 + b"c"]


def test_hello_has_one_form() -> None:
    hello = Hello(2, bytes(32), 7, 5)
    assert decode_hello(encode_hello(hello)) == hello
    for frame in (b"", b"\x02", encode_hello(hello) + b"\x00", encode_hello(hello)[:-1]):
        with pytest.raises(Malformed):
            decode_hello(frame)


def test_a_later_minor_version_may_append_to_hello_and_nothing_else() -> None:
    hello = Hello(2, bytes(32), 7, 5, 1)
    fields = msgspec.msgpack.decode(encode_hello(hello)[1:])
    later = b"\x01" + msgspec.msgpack.encode([*fields, "standing 9.9", {"more": [1, 2]}])
    assert decode_hello(later) == hello
    for wrong in (
        [*fields[:4], "minor"],
        fields[:4],
        [*fields, "x" * 256],
        {"version": 2},
    ):
        with pytest.raises(Malformed):
            decode_hello(b"\x01" + msgspec.msgpack.encode(wrong))


def test_a_hello_of_another_version_is_told_from_none() -> None:
    for fields in ([1, bytes(32), 7], [3, bytes(32), 7, "other"]):
        with pytest.raises(Malformed, match=f"version {fields[0]}, this node speaks 2"):
            decode_hello(b"\x01" + msgspec.msgpack.encode(fields))
    with pytest.raises(Malformed, match="version none"):
        decode_hello(b"\x01\x90")
