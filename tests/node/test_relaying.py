"""Records that are carried over links to a member: only such as may come through any lane."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ledger.encoding import encode
from ledger.records import encode_record
from ledger.records.membership import MemberLeave, MemberReady
from node.intake import Accepted, Busy, Closed, Duplicate, Offer, RefusedOffer, Result
from node.relaying import MARK, Carried, Relay, may_be_carried

READY = encode_record(MemberReady(5, 10**12, bytes(32), 1, 1, bytes(32), bytes(32), bytes(32)))
LEAVE = encode_record(MemberLeave(5, 10**12))


@dataclass
class Around:
    """The pump, the links and the intake, as the relay sees them."""

    log: list[tuple[object, ...]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    result: Result = field(default_factory=lambda: Accepted(bytes(32)))

    def link_up(self, peer: int) -> None:
        self.log.append(("up", peer))

    def link_down(self, peer: int) -> None:
        self.log.append(("down", peer))

    def received(self, peer: int, message: bytes) -> None:
        self.log.append(("received", peer, message))

    def refused(self, peer: int, reason: str) -> None:
        self.log.append(("refused", peer, reason))

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        assert not bulk
        self.log.append(("sent", peer, message))

    def handled(self, peer: int, size: int) -> None:
        self.log.append(("handled", peer, size))

    def blame(self, peer: int) -> None:
        self.log.append(("blamed", peer))

    async def submit(self, offers: Sequence[Offer]) -> list[Result]:
        self.log.append(("submitted", *offers))
        await self.gate.wait()
        return [self.result for _ in offers]


def _relay(around: Around) -> Relay:
    return Relay(pump=around, links=around, submit=around.submit)


async def test_an_offer_arrives_at_a_members_intake() -> None:
    here, there = Around(), Around()
    assert _relay(here).send(Offer(READY, b"s" * 128), [2, 3])
    _, peer, message = here.log[0]
    assert peer in (2, 3)
    assert isinstance(message, bytes)
    relay = _relay(there)
    relay.received(5, message)
    await asyncio.sleep(0)
    assert there.log == [("handled", 5, len(message)), ("submitted", Offer(READY, b"s" * 128))]
    relay.received(5, message)
    await asyncio.sleep(0)
    assert len(there.log) == 3, "one of each peer at a time"
    await relay.stop()


async def test_members_take_turns_and_without_one_nothing_is_sent() -> None:
    around = Around()
    relay = _relay(around)
    assert not relay.send(Offer(READY, b""), [])
    for _ in range(3):
        relay.send(Offer(READY, b""), [1, 2, 3])
    assert {each[1] for each in around.log} == {1, 2, 3}


async def test_what_is_not_carried_is_counted_and_dropped() -> None:
    around = Around()
    relay = _relay(around)
    for body in (b"", b"\xff", encode(Carried(LEAVE, b"")), encode(Carried(b"no record", b""))):
        relay.received(5, MARK + body)
    await asyncio.sleep(0)
    assert [each for each in around.log if each[0] != "handled"] == [
        ("refused", 5, "carried"),
        ("blamed", 5),
    ] * 4
    assert not may_be_carried(Offer(LEAVE, b""))
    assert may_be_carried(Offer(READY, b""))


@pytest.mark.parametrize(
    ("result", "blamed"),
    [
        (Accepted(bytes(32)), False),
        (Busy(1), False),
        (Closed("it leaves"), False),
        (Duplicate(bytes(32)), True),
        (RefusedOffer("name-taken", "was registered before", ""), True),
    ],
)
async def test_what_is_refused_or_known_counts_against_who_sends_it(
    result: Result, blamed: bool
) -> None:
    around = Around(result=result)
    around.gate.set()
    relay = _relay(around)
    relay.received(5, MARK + encode(Carried(READY, b"")))
    await asyncio.gather(*relay._tasks.values())
    assert (("blamed", 5) in around.log) == blamed


async def test_everything_else_goes_to_the_pump() -> None:
    around = Around()
    relay = _relay(around)
    relay.link_up(2)
    relay.received(2, b"\x93abc")
    relay.refused(2, "frame")
    relay.link_down(2)
    assert around.log == [
        ("up", 2),
        ("received", 2, b"\x93abc"),
        ("refused", 2, "frame"),
        ("down", 2),
    ]
