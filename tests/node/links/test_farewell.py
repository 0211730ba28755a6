"""What a former member is told on links: the proof, at a bounded pace, and who is told nothing."""

import ssl
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

import aiohttp
import msgspec
import pytest

from ledger.epochs import EpochEnd, Trusted, encode_chain, trust_genesis
from ledger.membership import Validator
from node.bounds import BOUNDS
from node.config import Address
from node.links import farewell
from node.links.farewell import EPOCHS, Farewell
from node.links.peers import PATH
from node.links.tls import contexts
from tests.ledger.members import Members, party
from tests.ledger.world import World, genesis_of
from tests.node.test_links import MEMBERS, Heard, _peers, _ports, _seed

BOUNDS_HERE = replace(BOUNDS, farewell_gap_s=30.0, farewell_s=0.01)
END = EpochEnd(7, b"seal", (), ())


def _giving(*ends: EpochEnd) -> Farewell:
    return Farewell(
        own=lambda: (),
        since=lambda: pytest.fail("it asks nothing"),
        proof=lambda first: [each for each in ends if first == 3],
        ended=lambda epoch: pytest.fail(f"{epoch}"),
        bounds=BOUNDS_HERE,
    )


async def _get(path: str, number: int, port: int) -> tuple[int, bytes]:
    context: ssl.SSLContext = contexts(_seed(number), MEMBERS[number - 1], MEMBERS)[1]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}{path}", ssl=context) as response,
    ):
        return response.status, await response.read()


async def test_only_former_members_are_told_and_only_so_often() -> None:
    ports = _ports(3)
    one = _peers(1, ports)
    one.trust(MEMBERS[:2], MEMBERS[2:])
    await one.start(Heard(), _giving(END))
    try:
        assert (await _get(PATH, 3, ports[1]))[0] == HTTPStatus.GONE
        assert (await _get(f"{EPOCHS}?from=3", 2, ports[1]))[0] == HTTPStatus.FORBIDDEN
        long = f"?from={1:020}{'1' * 5_000}"
        for bad in ("", "?from=", "?from=0", "?from=x", "?from=-3", f"?from={2**53}", long):
            assert (await _get(EPOCHS + bad, 3, ports[1]))[0] == HTTPStatus.BAD_REQUEST, bad
        told = await _get(f"{EPOCHS}?from=3", 3, ports[1])
        assert told == (HTTPStatus.OK, encode_chain([END]))
        again = await _get(f"{EPOCHS}?from=3", 3, ports[1])
        assert again[0] == HTTPStatus.TOO_MANY_REQUESTS
    finally:
        await one.stop()


class Asking:
    """A platform that asks; `pages` are what it is answered, in turn."""

    def __init__(self, own: Validator, *pages: list[Trusted], since: Trusted) -> None:
        self.ended: list[int] = []
        self.pages = [*pages]
        self.asks = Farewell(
            own=lambda: (own,),
            since=lambda: since,
            proof=lambda _: [],
            ended=self.ended.append,
            bounds=BOUNDS_HERE,
        )

    async def run(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        async def get(*_: object) -> list[Trusted]:
            return self.pages.pop(0) if self.pages else []

        monkeypatch.setattr(self.asks, "_get", get)
        monkeypatch.setattr(farewell, "decode_chain", lambda page: page)
        monkeypatch.setattr(farewell, "advance", lambda _, to: to)  # (tests/ledger/test_epochs.py)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with aiohttp.ClientSession() as session:
            await self.asks.ask(session, Address("127.0.0.1", 1), context)
        return self.ended


@pytest.fixture
def sets() -> Callable[..., Trusted]:
    world = World(genesis_of(4))
    first = trust_genesis(world.state.foundation)
    assert Members(world)

    def with_members(epoch: int, *numbers: int) -> Trusted:
        chosen = tuple(party(number).validator for number in numbers)
        return replace(first, epoch=epoch, validators=chosen)

    return with_members


async def test_the_first_set_that_names_a_platform_no_more_ends_its_membership(
    sets: Callable[..., Trusted], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [[sets(3, 1, 2, 3, 4)], [sets(6, 1, 2, 4), sets(9, 1, 2)]]
    asking = Asking(party(3).validator, *pages, since=sets(2, 1, 2, 3))
    assert await asking.run(monkeypatch) == [5]


async def test_a_joiner_that_was_no_member_yet_keeps_its_keys(
    sets: Callable[..., Trusted], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [[sets(3, 1, 2, 4)], [sets(6, 1, 2)]]
    assert await Asking(party(3).validator, *pages, since=sets(1, 1, 2)).run(monkeypatch) == []
    joined = [[sets(3, 1, 2, 3)], [sets(6, 1, 2)]]
    assert await Asking(party(3).validator, *joined, since=sets(1, 1, 2)).run(monkeypatch) == [5]


async def test_another_platform_of_the_same_number_is_not_the_own(
    sets: Callable[..., Trusted], monkeypatch: pytest.MonkeyPatch
) -> None:
    void = msgspec.structs.replace(party(7).validator, number=3)
    pages = [[sets(3, 1, 2)]]
    assert await Asking(void, *pages, since=sets(1, 1, 2, 3)).run(monkeypatch) == []
