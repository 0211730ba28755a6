"""Where peers are reached, as the configuration says, and as peers tell each other.

Two platforms that join at once know the members and not each other: a member tells both. A message
between those of consensus, to each peer when its link comes to stand and when something is new:

    told = 0xc4 ‖ MessagePack [[code, host, port], …]        at most TOLD_MAX; 0xc4 begins none

of the own node and of all whose address it knows. An empty host, of the teller's own entry alone,
stands for the host that the link comes from: who listens everywhere does not know its own name.

Nobody signs this. It is a hint where to dial and no more: whoever answers there shows by TLS who it
is, as at any address. So every trusted peer is believed about itself, members about others, too;
what the configuration says goes before; and of several addresses that are told, each is tried in
turn. What a peer tells replaces what it told before, so its hints stay bounded.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Protocol

import msgspec

from ledger.encoding import Value, decode, encode
from ledger.errors import Malformed
from ledger.membership import VALIDATORS_MAX, PlatformCode
from node.address import Address

MARK: Final = b"\xc4"
TOLD_MAX: Final = 2 * VALIDATORS_MAX
TOLD_BYTES_MAX: Final = 64 * 1_024
HOST_CHARS_MAX: Final = 253
SPREAD_S: Final = 1.0
"""What is new is told on after so long, with all that came in the meantime."""
SPREAD_LONGEST_S: Final = 30.0
"""While news keeps coming, each time doubles the pause up to this one: a peer that says something
else all the time makes nobody tell everybody all the time."""
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - told from, not listened on


_HOST: Final = r"^[0-9A-Za-z.:_-]*\Z"


class Entry(Value):
    """One platform's address; `host` is a name or an address, or empty."""

    code: PlatformCode
    host: Annotated[str, msgspec.Meta(max_length=HOST_CHARS_MAX, pattern=_HOST)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]


Told = Annotated[tuple[Entry, ...], msgspec.Meta(max_length=TOLD_MAX)]


class Links(Protocol):
    """What is asked of the links."""

    def linked(self) -> Sequence[int]:
        """The peers whose links stand."""

    def host_of(self, peer: int) -> str:
        """The host at the other end of a link; empty if there is none."""

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        """Queue a message for a peer."""


class AddressBook(Mapping[str, Address]):
    """Code → address: the configured one, else one of those that were told, another each time."""

    def __init__(self, configured: Mapping[str, Address]) -> None:
        self._configured = configured
        self._told: dict[str, dict[str, Address]] = {}  # teller's code → code → address
        self._asked = 0

    def __getitem__(self, code: str) -> Address:
        found = [*dict.fromkeys(self._all(code))]
        if not found:
            raise KeyError(code)
        self._asked += len(found) > 1
        return found[self._asked % len(found)]

    def __contains__(self, code: object) -> bool:
        return code in self._configured or any(code in each for each in self._told.values())

    def __iter__(self) -> Iterator[str]:
        told = (code for each in self._told.values() for code in each)
        return iter(dict.fromkeys((*self._configured, *told)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _all(self, code: str) -> Iterator[Address]:
        if code in self._configured:
            yield self._configured[code]
            return
        own = self._told.get(code, {})
        for told in (own, *self._told.values()):
            if code in told:
                yield told[code]

    def first(self, code: str) -> Address:
        """The best known address: the configured one, or what the platform itself has told."""
        return next(self._all(code))

    def learn(self, teller: str, told: dict[str, Address]) -> bool:
        """Put what a peer tells in place of what it told before; whether that changes anything."""
        if self._told.get(teller, {}) == told:
            return False
        self._told[teller] = told
        return True

    def forget(self, tellers: set[str]) -> None:
        """Keep only what these have told."""
        for code in [code for code in self._told if code not in tellers]:
            del self._told[code]


class Whereabouts:
    """Tells peers the addresses in a book, and puts into it what they tell."""

    def __init__(
        self,
        *,
        own: str,
        listen: Address,
        book: AddressBook,
        links: Links,
        members: Callable[[], Mapping[int, str]],
        candidates: Callable[[], Mapping[int, str]],
        refused: Callable[[int, str], None],
    ) -> None:
        """`members` and `candidates`: number → code, as the ledger has them now."""
        self._own, self._listen, self._book, self._links = own, listen, book, links
        self._members, self._candidates, self._refused = members, candidates, refused
        self._sent: dict[int, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s, self._spread_s = SPREAD_S, 0.0  # the next pause; when was told last

    def link_up(self, peer: int) -> None:
        """A link stands: tell what is known, at once."""
        self._sent.pop(peer, None)
        self._tell(peer)

    def received(self, peer: int, message: bytes) -> None:
        """What a peer tells."""
        members, candidates = self._members(), self._candidates()
        teller = {**candidates, **members}.get(peer)
        if teller is None:
            return  # an observer, or one who has just left: nobody dials them
        try:
            entries: tuple[Entry, ...] = decode(
                Told, message[len(MARK) :], bytes_max=TOLD_BYTES_MAX, what="addresses"
            )
        except Malformed:
            self._refused(peer, "addresses")
            return
        known = {*members.values(), *candidates.values()} - {self._own}
        told: dict[str, Address] = {}
        for each in entries:
            host = each.host or (self._links.host_of(peer) if each.code == teller else "")
            may_tell = each.code == teller or (peer in members and each.code in known)
            if host and may_tell:
                told[each.code] = Address(host, each.port)
        self._book.forget(known)
        if self._book.learn(teller, told) and self._timer is None:
            loop = asyncio.get_running_loop()
            if loop.time() > self._spread_s + SPREAD_LONGEST_S:
                self._pause_s = SPREAD_S
            self._timer = loop.call_later(self._pause_s, self._spread)
            self._pause_s = min(2 * self._pause_s, SPREAD_LONGEST_S)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _spread(self) -> None:
        self._timer, self._spread_s = None, asyncio.get_running_loop().time()
        for peer in self._links.linked():
            self._tell(peer)

    def _tell(self, peer: int) -> None:
        message = MARK + encode(self._entries(peer))
        if self._sent.get(peer) != message:
            self._sent[peer] = message
            self._links.send(peer, message, bulk=False)

    def _entries(self, peer: int) -> tuple[Entry, ...]:
        """The own address first, then those of the others that the ledger names."""
        codes = {**self._candidates(), **self._members()}
        others = sorted({*codes.values()} - {self._own, codes.get(peer, "")})
        is_told = self._listen.host not in _EVERYWHERE and _is_told(self._listen)
        host = self._listen.host if is_told else ""
        entries = [Entry(self._own, host, self._listen.port)] if self._listen.port else []
        for code in others[: TOLD_MAX - 1]:
            if code in self._book and _is_told(self._book.first(code)):
                address = self._book.first(code)
                entries.append(Entry(code, address.host, address.port))
        return tuple(entries)


def _is_told(address: Address) -> bool:
    """Whether a configured host has a form that others take."""
    return len(address.host) <= HOST_CHARS_MAX and bool(re.match(_HOST, address.host))
