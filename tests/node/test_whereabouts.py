"""Addresses that peers tell each other: whom to believe about whom, what is dialled, the bounds."""

import asyncio

import pytest

from ledger.encoding import encode
from node import whereabouts
from node.address import Address
from node.whereabouts import MARK, TOLD_MAX, AddressBook, Entry, Whereabouts

A, B, E, F, G = 1, 2, 5, 6, 7
CODES = {A: "a", B: "b", E: "e", F: "f", G: "g"}
OWN = Address("10.0.0.1", 9_440)


class Network:
    """One told of by `a`; what it sends is kept, by peer."""

    def __init__(self, listen: Address = OWN, configured: dict[str, Address] | None = None) -> None:
        self.sent: dict[int, list[tuple[Entry, ...]]] = {}
        self.blamed: list[tuple[int, str]] = []
        self.up: list[int] = []
        self.book = AddressBook(configured or {})
        self.members = {A: "a", B: "b"}
        self.candidates = {E: "e", F: "f"}
        self.told = Whereabouts(
            own="a",
            listen=listen,
            book=self.book,
            links=self,
            members=lambda: self.members,
            candidates=lambda: self.candidates,
            refused=lambda peer, reason: self.blamed.append((peer, reason)),
        )

    def linked(self) -> tuple[int, ...]:
        return tuple(self.up)

    def host_of(self, peer: int) -> str:
        return f"10.0.1.{peer}"

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        assert not bulk
        assert message.startswith(MARK)
        entries = whereabouts.decode(whereabouts.Told, message[1:], bytes_max=10_000)
        self.sent.setdefault(peer, []).append(entries)

    def link(self, peer: int) -> None:
        self.up.append(peer)
        self.told.link_up(peer)

    def says(self, peer: int, *entries: Entry) -> None:
        self.told.received(peer, MARK + encode(entries))


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    monkeypatch.setattr(whereabouts, "SPREAD_S", 0.0)


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_two_that_join_learn_of_each_other_from_a_member() -> None:
    net = Network()
    net.link(E)
    net.link(F)
    assert net.sent[E] == [(Entry("a", "10.0.0.1", 9_440),)]
    net.says(E, Entry("e", "", 9_001))
    net.says(F, Entry("f", "f.example", 9_002))
    await turn()
    assert net.sent[F][-1][1:] == (Entry("e", "10.0.1.5", 9_001),), "the host that it comes from"
    assert net.sent[E][-1][1:] == (Entry("f", "f.example", 9_002),)
    assert net.book["f"] == Address("f.example", 9_002)
    known = {peer: len(told) for peer, told in net.sent.items()}
    net.says(E, Entry("e", "", 9_001))
    await turn()
    assert {peer: len(told) for peer, told in net.sent.items()} == known, "nothing is new"


async def test_who_listens_everywhere_leaves_its_host_to_who_is_told() -> None:
    net = Network(listen=Address("0.0.0.0", 9_440))
    net.link(B)
    assert net.sent[B] == [(Entry("a", "", 9_440),)]


@pytest.mark.parametrize("host", ["fe80::1%eth0", "n\u00f6.example", "h" * 254])
async def test_an_own_host_that_nobody_takes_is_not_told(host: str) -> None:
    net, unknown = Network(listen=Address(host, 9_440)), Network(listen=Address(host, 0))
    net.link(B)
    unknown.link(B)
    assert (net.sent[B], unknown.sent[B]) == ([(Entry("a", "", 9_440),)], [()])


async def test_who_says_something_else_all_the_time_makes_others_tell_ever_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whereabouts, "SPREAD_S", 1.0)
    net, loop, pauses = Network(), asyncio.get_running_loop(), list[int]()
    for port in range(1, 8):
        net.says(E, Entry("e", "", port))
        timer = net.told._timer
        assert timer is not None
        pauses.append(round(timer.when() - loop.time()))
        timer.cancel()
        net.told._spread()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    net.told._spread_s -= whereabouts.SPREAD_LONGEST_S + 1  # nothing new for so long
    net.says(E, Entry("e", "", 9))
    timer = net.told._timer
    assert timer is not None
    assert round(timer.when() - loop.time()) == 1
    net.told.stop()


async def test_configured_addresses_go_before_and_are_told_on() -> None:
    net = Network(configured={"b": Address("b.example", 1), "x": Address("x.example", 2)})
    net.says(B, Entry("b", "elsewhere", 3))
    assert net.book["b"] == Address("b.example", 1)
    net.link(E)
    assert net.sent[E] == [(Entry("a", "10.0.0.1", 9_440), Entry("b", "b.example", 1))], (
        "nobody whom the ledger does not name"
    )


async def test_only_members_are_believed_about_others() -> None:
    net = Network()
    net.says(E, Entry("f", "evil", 1), Entry("b", "evil", 1))
    assert "f" not in net.book
    net.says(B, Entry("f", "maybe", 1), Entry("stranger", "evil", 1), Entry("a", "evil", 1))
    assert [*net.book] == ["f"]
    net.says(B, Entry("f", "", 1))
    assert "f" not in net.book, "an empty host is the teller's own"
    net.says(G, Entry("g", "evil", 1))
    assert (net.blamed, "g" in net.book) == ([], False), "an observer"


async def test_of_several_addresses_each_is_tried_in_turn() -> None:
    net = Network()
    net.says(B, Entry("f", "wrong", 1))
    net.says(F, Entry("f", "right", 1))
    assert {str(net.book["f"]) for _ in range(2)} == {"wrong:1", "right:1"}
    assert str(net.book.first("f")) == "right:1", "its own word is told on"
    net.says(F)
    assert str(net.book.first("f")) == "wrong:1"


async def test_who_is_gone_is_forgotten_with_what_it_told() -> None:
    net = Network()
    net.says(F, Entry("f", "", 9_002))
    net.candidates = {E: "e"}
    net.says(E, Entry("e", "", 9_001))
    assert [*net.book] == ["e"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        encode((Entry("e", "h", 1),) * (TOLD_MAX + 1)),
        encode((("e", "h", 0),)),
        encode((("e", "h", 65_536),)),
        encode((("e", "a b", 1),)),
        encode((("e", "h" * 254, 1),)),
        encode((("5", "h", 1),)),
        encode((Entry("e", "h", 1),)) + b"\x00",
    ],
)
async def test_what_has_no_form_is_refused(body: bytes) -> None:
    net = Network()
    net.told.received(E, MARK + body)
    assert net.blamed == [(E, "addresses")]
    assert len(net.book) == 0
