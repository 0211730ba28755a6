"""Links between real sockets on this machine: who is let in, order, loss and return."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from ledger.errors import Malformed, Misconfigured
from ledger.membership import Validator
from ledger.signing import SigningKey
from node.bounds import BOUNDS, Bounds
from node.config import Address
from node.links.link import Link
from node.links.peers import PATH, Peers
from node.links.tls import certificate_key, contexts, key_of, make_certificate, member_keys
from node.links.wire import Outbox

CHAIN = b"c" * 32
FAST = replace(BOUNDS, redial_first_ms=5, redial_longest_ms=20, handshake_s=2.0)


def _seed(number: int) -> bytes:
    return bytes([number]) * 32


def _validator(number: int, seed: bytes | None = None) -> Validator:
    code = f"p{number}"
    keys = [SigningKey.from_seed(bytes([number, at]) * 16).public for at in range(5)]
    return Validator(number, code, *keys, make_certificate(seed or _seed(number), code))


MEMBERS = [_validator(number) for number in (1, 2, 3)]


@dataclass
class Heard:
    """A listener that remembers, and lets a test wait for what it hears."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def _note(self, *event: object) -> None:
        self.events.append(event)
        task = asyncio.get_running_loop().create_task(self._tell())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    def link_up(self, peer: int) -> None:
        self._note("up", peer)

    def link_down(self, peer: int) -> None:
        self._note("down", peer)

    def received(self, peer: int, message: bytes) -> None:
        self._note("got", peer, message)

    def refused(self, peer: int, reason: str) -> None:
        self._note("refused", peer, reason)

    def messages(self) -> list[bytes]:
        return [event[2] for event in self.events if event[0] == "got"]  # type: ignore[misc]

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(done)

    async def until_event(self, *event: object) -> None:
        await self.until(lambda: event in self.events)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _peers(
    number: int, ports: dict[int, int], *, bounds: Bounds = FAST, chain: bytes = CHAIN
) -> Peers:
    return Peers(
        own=MEMBERS[number - 1],
        validators=MEMBERS[: len(ports)],
        chain=chain,
        link_seed=_seed(number),
        listen=Address("127.0.0.1", ports[number]),
        addresses={f"p{n}": Address("127.0.0.1", port) for n, port in ports.items()},
        bounds=bounds,
        sent_bytes=Counter("sent", "bytes", registry=CollectorRegistry()),
    )


@asynccontextmanager
async def _running(peers: Peers) -> AsyncIterator[Heard]:
    heard = Heard()
    await peers.start(heard)
    try:
        yield heard
    finally:
        await peers.stop()


def _ports(count: int) -> dict[int, int]:
    return {number: _free_port() for number in range(1, count + 1)}


async def test_every_pair_has_one_link() -> None:
    ports = _ports(3)
    nodes = [_peers(number, ports) for number in (1, 2, 3)]
    async with _running(nodes[0]) as one, _running(nodes[1]) as two, _running(nodes[2]) as three:
        for heard, others in ((one, (2, 3)), (two, (1, 3)), (three, (1, 2))):
            for other in others:
                await heard.until_event("up", other)
        assert [node.linked() for node in nodes] == [(2, 3), (1, 3), (1, 2)]
        nodes[1].broadcast(b"hello", bulk=False)
        await one.until_event("got", 2, b"hello")
        await three.until_event("got", 2, b"hello")


async def test_messages_keep_their_order_and_long_ones_arrive_whole() -> None:
    ports = _ports(2)
    first, second = _peers(1, ports), _peers(2, ports)
    async with _running(first) as one, _running(second) as two:
        await one.until_event("up", 2)
        await two.until_event("up", 1)
        batches = [bytes([at]) * (700_000 + at) for at in range(5)]
        for batch in batches:
            first.send(2, batch, bulk=True)
        await two.until(lambda: len(two.messages()) == len(batches))
        assert two.messages() == batches
        second.send(1, b"back", bulk=False)
        await one.until_event("got", 2, b"back")


async def test_a_link_that_broke_comes_back() -> None:
    ports = _ports(2)
    first = _peers(1, ports)
    async with _running(first) as one:
        async with _running(_peers(2, ports)):
            await one.until_event("up", 2)
        await one.until_event("down", 2)
        assert first.linked() == ()
        first.send(2, b"nobody hears this", bulk=False)
        one.events.clear()
        async with _running(_peers(2, ports)):
            await one.until_event("up", 2)


async def test_overflow_drops_the_link_and_never_grows() -> None:
    ports = _ports(2)
    first = _peers(1, ports, bounds=replace(FAST, send_queue_bytes_max=1_000))
    async with _running(first) as one, _running(_peers(2, ports)) as two:
        await one.until_event("up", 2)
        await two.until_event("up", 1)
        first.send(2, b"x" * 1_001, bulk=True)
        await one.until_event("down", 2)
        await two.until_event("down", 1)
        await one.until(lambda: one.events.count(("up", 2)) == 2)


async def test_what_is_not_handled_holds_the_sender_back() -> None:
    ports = _ports(2)
    second = _peers(2, ports, bounds=replace(FAST, received_bytes_max=300, frame_bytes_max=100))
    first = _peers(1, ports, bounds=replace(FAST, frame_bytes_max=100))
    async with _running(first) as one, _running(second) as two:
        await one.until_event("up", 2)
        for at in range(50):
            first.send(2, bytes([at]) * 60, bulk=True)
        await two.until(lambda: len(two.messages()) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(two.messages()) == 2
        for wanted in range(3, 51):
            second.handled(1, 60)
            await two.until(lambda wanted=wanted: len(two.messages()) >= wanted)
        assert two.messages() == [bytes([at]) * 60 for at in range(50)]


async def test_who_is_blamed_too_much_is_cut_off_and_comes_back_later() -> None:
    ports = _ports(2)
    strict = replace(FAST, blame_max=20, blame_fades_per_s=0.001, link_blame=1, cut_first_s=0.4)
    first = _peers(1, ports, bounds=strict)
    async with _running(first) as one, _running(_peers(2, ports)):
        await one.until_event("up", 2)
        for _ in range(18):
            first.blame(2)
        assert first.linked() == (2,)
        one.events.clear()
        first.blame(2, 2)
        assert ("refused", 2, "cut") in one.events
        await one.until_event("down", 2)
        await one.until_event("up", 2)


async def test_frames_without_form_cut_a_peer_off() -> None:
    ports = _ports(2)
    bounds = replace(FAST, cut_first_s=60.0, blame_fades_per_s=0.001)
    first, second = _peers(1, ports, bounds=bounds), _peers(2, ports)
    async with _running(first) as one, _running(second):
        async with asyncio.timeout(20):
            while ("refused", 2, "cut") not in one.events:
                if 1 in second.linked():
                    with contextlib.suppress(aiohttp.ClientError):
                        await second._links[1].socket.send_bytes(b"\x7f no frame")
                await asyncio.sleep(0.01)
        assert 1 <= one.events.count(("refused", 2, "frame")) <= 4
        await one.until(lambda: first.linked() == ())
        assert first.conduct.cut_s(2) > 50


async def test_who_sends_too_much_is_held_back_then_cut_off() -> None:
    ports = _ports(2)
    bounds = replace(FAST, messages_per_s=100.0, messages_burst=10, held_back_max_s=0.3)
    first, second = _peers(1, ports, bounds=bounds), _peers(2, ports)
    async with _running(first) as one, _running(second) as two:
        await two.until_event("up", 1)
        for _ in range(200):
            second.send(1, b"vote", bulk=False)
            await asyncio.sleep(0.001)
        await one.until_event("refused", 2, "pace")
        await one.until_event("refused", 2, "cut")
        await one.until_event("down", 2)


async def test_another_chain_is_refused_at_hello() -> None:
    ports = _ports(2)
    other = _peers(2, ports, chain=b"d" * 32)
    async with _running(_peers(1, ports)) as one, _running(other) as two:
        await two.until_event("refused", 1, "hello")
        await one.until_event("refused", 2, "hello")
        assert ("up", 2) not in one.events
        assert ("up", 1) not in two.events


async def test_who_fails_at_hello_without_end_is_cut_off() -> None:
    ports = _ports(2)
    bounds = replace(FAST, blame_max=5, blame_fades_per_s=0.001, cut_first_s=60.0)
    first, other = _peers(1, ports, bounds=bounds), _peers(2, ports, chain=b"d" * 32)
    async with _running(first) as one, _running(other):
        await one.until_event("refused", 2, "cut")
        assert one.events.count(("refused", 2, "hello")) >= 5
        assert first.conduct.cut_s(2) > 50


async def _dial_as(seed: bytes, port: int) -> int:
    own = _validator(1, seed)
    _, dialling = contexts(seed, own, [own, *MEMBERS[1:]])
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"wss://127.0.0.1:{port}{PATH}", ssl=dialling) as link,
    ):
        await link.receive()
    return 0


async def test_a_stranger_gets_no_link() -> None:
    ports = _ports(2)
    async with _running(_peers(2, ports)) as two:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await _dial_as(b"\x77" * 32, ports[2])
        assert two.events == []


async def test_a_member_that_shows_another_members_key_is_not_taken_for_it() -> None:
    ports = _ports(3)
    # Node 3 answers where platform 2 is expected.
    ports_seen_by_1 = {**ports, 2: ports[3]}
    async with _running(_peers(3, ports)), _running(_peers(1, ports_seen_by_1)) as one:
        await one.until_event("refused", 2, "wrong-key")
        await one.until_event("up", 3)
        assert ("up", 2) not in one.events


async def test_a_peer_cannot_send_who_dials_it_elsewhere() -> None:
    ports, asked, visited = _ports(2), asyncio.Event(), list[str]()

    async def elsewhere(request: web.Request) -> web.Response:
        visited.append(request.path)
        return web.Response()

    async def redirect(request: web.Request) -> web.Response:
        if asked.is_set():
            again.set()
        asked.set()
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{inner}/x"})

    again, inner = asyncio.Event(), _free_port()
    serving, _ = contexts(_seed(2), MEMBERS[1], MEMBERS)
    async with (
        _http(elsewhere, inner, None),
        _http(redirect, ports[2], serving),
        _running(_peers(1, ports)),
        asyncio.timeout(10),
    ):
        await again.wait()
    assert visited == []


@asynccontextmanager
async def _http(
    handler: Callable[[web.Request], Awaitable[web.Response]],
    port: int,
    context: ssl.SSLContext | None,
) -> AsyncIterator[None]:
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()


async def test_a_taken_port_and_a_missing_address_are_named() -> None:
    ports = _ports(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[1]))
        taken.listen()
        with pytest.raises(Misconfigured, match=r"peers\.listen"):
            await _peers(1, ports).start(Heard())
    lonely = Peers(
        own=MEMBERS[0],
        validators=MEMBERS,
        chain=CHAIN,
        link_seed=_seed(1),
        listen=Address("127.0.0.1", 0),
        addresses={},
        bounds=FAST,
        sent_bytes=Counter("sent", "bytes", registry=CollectorRegistry()),
    )
    with pytest.raises(Misconfigured, match=r"peers\.addresses lacks p2, p3; add p2 = "):
        await lonely.start(Heard())


async def test_the_higher_number_dials_whoever_does_not_know_its_address() -> None:
    ports = _ports(3)
    first = _peers(1, {1: ports[1]})
    first.trust(MEMBERS)
    async with _running(first) as one, _running(_peers(3, {**ports, 2: ports[3]})) as three:
        await one.until_event("up", 3)
        await three.until_event("up", 1)
        first.send(3, b"hello", bulk=False)
        await three.until_event("got", 1, b"hello")


async def test_where_both_dial_one_link_stays() -> None:
    ports = _ports(2)
    slow = replace(FAST, redial_first_ms=20)  # now and then the higher number comes first
    async with _running(_peers(1, ports, bounds=slow)) as one, _running(_peers(2, ports)) as two:
        await one.until_event("up", 2)
        await two.until_event("up", 1)
        await asyncio.sleep(0.2)
        assert len([event for event in one.events if event[0] == "up"]) <= 2
        assert one.events[-1][0] == two.events[-1][0] == "up"


async def test_a_change_of_the_set_lets_in_whoever_is_new_and_closes_whoever_is_gone() -> None:
    ports = _ports(3)
    nodes = {number: _peers(number, ports) for number in (1, 2)}
    for node in nodes.values():
        node.trust(MEMBERS[:2])
    async with _running(nodes[1]) as one, _running(nodes[2]) as two:
        await one.until_event("up", 2)
        async with _running(_peers(3, ports)) as three:
            await asyncio.sleep(0.1)
            assert three.events == []
            for node in nodes.values():
                node.trust(MEMBERS)
            for other in (1, 2):
                await three.until_event("up", other)
            assert ("down", 2) not in one.events, "the other links stay"
            nodes[1].trust(MEMBERS[:2])
            await one.until_event("down", 3)
            nodes[1].send(2, b"still there", bulk=False)
            await two.until_event("got", 1, b"still there")
            assert ("down", 1) not in two.events


async def test_a_platform_shows_its_new_certificate_and_the_old_one_is_trusted_no_more() -> None:
    ports = _ports(2)
    first, second = _peers(1, ports), _peers(2, ports)
    seed = b"\x66" * 32
    renewed = _validator(2, seed)
    async with _running(first) as one, _running(second) as two:
        await one.until_event("up", 2)
        first.trust([*MEMBERS[:2], renewed])
        assert ("down", 2) not in one.events
        await two.until_event("up", 1)
        one.events.clear()
        two.events.clear()
        second.become(renewed, seed)
        await one.until_event("up", 2)
        await two.until_event("up", 1)
        first.trust([MEMBERS[0], renewed])
        async with asyncio.timeout(10):
            # Each side may have dialled: what goes out on the link that then gives way is lost.
            while ("got", 2, b"under the new key") not in one.events:
                second.send(1, b"under the new key", bulk=False)
                await asyncio.sleep(0.02)
        one.events.clear()
        second.become(MEMBERS[1], _seed(2))
        await one.until_event("down", 2)
        await asyncio.sleep(0.1)
        assert ("up", 2) not in one.events
        assert two.events[-1][0] == "down"


def _handshake(serving: ssl.SSLContext, dialling: ssl.SSLContext) -> bool:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        dialling.wrap_bio(to_client, to_server),
        serving.wrap_bio(to_server, to_client, server_side=True),
    )
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return True


@pytest.mark.parametrize("at", range(6))
def test_both_certificates_of_a_platform_are_trusted_at_once(at: int) -> None:
    seeds = [bytes([0x70 + at]) * 32, bytes([0x80 - at]) * 32]
    both = [_validator(2, seed) for seed in seeds]
    serving, dialling = contexts(_seed(1), MEMBERS[0], [MEMBERS[0], *both])
    for seed, own in zip(seeds, both, strict=True):
        its_serving, its_dialling = contexts(seed, own, [MEMBERS[0], *both])
        assert _handshake(serving, its_dialling)
        assert _handshake(its_serving, dialling)
    stranger = _validator(2, b"\x66" * 32)
    _, its_dialling = contexts(b"\x66" * 32, stranger, MEMBERS)
    assert not _handshake(serving, its_dialling)


def test_certificates_are_the_same_for_the_same_seed() -> None:
    assert make_certificate(_seed(1), "p1") == make_certificate(_seed(1), "p1")
    keys = member_keys(MEMBERS)
    key = SigningKey.from_seed(_seed(2)).public
    assert key_of(MEMBERS[1].certificate) == certificate_key(MEMBERS[1].certificate) == key
    assert keys[key] == 2
    assert key_of(make_certificate(b"\x55" * 32, "p1")) not in keys
    assert key_of(b"not a certificate") is None
    assert key_of(None) is None
    with pytest.raises(Malformed):
        member_keys([MEMBERS[0], replace_certificate(MEMBERS[1], MEMBERS[0].certificate)])


def replace_certificate(validator: Validator, certificate: bytes) -> Validator:
    names = validator.__struct_fields__
    values = {name: getattr(validator, name) for name in names} | {"certificate": certificate}
    return Validator(**values)


class _Scripted:
    """A socket on which given frames come in, and then it ends."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = frames

    async def receive(self) -> aiohttp.WSMessage:
        if self._frames:
            return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, self._frames.pop(0), None)
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, None, None)

    async def send_bytes(self, data: bytes) -> None:
        raise AssertionError(f"nothing is sent here: {data!r}")

    close_code = None

    async def close(self, *, code: int) -> None:
        pass


@pytest.mark.parametrize("replaced", [False, True])
async def test_what_is_left_of_an_older_link_is_dropped(replaced: bool) -> None:
    """What a peer says on a new link comes after all that was taken from its older ones."""
    outbox = Outbox(frame_bytes_max=10_000, queue_bytes_max=10_000)
    outbox.put(b"from an earlier life", bulk=False)
    frame = outbox.next_frame()
    assert frame is not None
    peers, heard = _peers(2, _ports(2)), Heard()
    old = Link(1, bytes(32), _Scripted([frame]), FAST, is_first=True)
    peers._links[1] = Link(1, bytes(32), _Scripted([]), FAST, is_first=True) if replaced else old
    await peers._carry(heard, old)
    assert heard.messages() == ([] if replaced else [b"from an earlier life"])
