"""A node that was away while its rotation bound: nobody trusts the certificate that it has used."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ledger.membership import Validator
from node import membership
from node.membership import Membership
from tests.ledger.members import party
from tests.ledger.world import World


class Links:
    """Stands for the links: `up` once the certificate that is shown is one that others trust."""

    def __init__(self, shown: Validator, trusted: tuple[Validator, ...]) -> None:
        self.shown, self._trusted = shown, trusted
        self.became: list[Validator] = []
        self.looks = 0

    def linked(self) -> tuple[int, ...]:
        self.looks += 1
        return (1, 2) if self.shown in self._trusted else ()

    def become(self, own: Validator, link_seed: bytes) -> None:
        assert link_seed == own.certificate[-8:], "its own seed"
        self.shown = own
        self.became.append(own)

    def trust(self, validators: list[Validator], former: tuple[Validator, ...]) -> None:  # noqa: ARG002
        assert validators


OLD, NEW = party(3).validator, party(3, "new").validator


def held(validator: Validator) -> SimpleNamespace:
    keys = SimpleNamespace(link_seed=validator.certificate[-8:])
    return SimpleNamespace(validator=validator, keys=keys)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Links]]:
    monkeypatch.setattr(membership, "LONELY_S", 0.02)
    world = World()
    driver = SimpleNamespace(
        ledger=replace(world.state, validators=(OLD,)),
        keys=None,
        consensus=SimpleNamespace(
            checkpoints=SimpleNamespace(certified=0),
            seats=SimpleNamespace(by_number={OLD.number: OLD}),
        ),
        may_seal=lambda: False,
        follows=lambda: False,
        halt=pytest.fail,
    )
    made: list[Membership] = []

    def begin(further: Validator | None, *trusted: Validator) -> Links:
        links = Links(OLD, trusted)
        ring = SimpleNamespace(
            number=OLD.number,
            observing=None,
            held=held(OLD),
            further=None if further is None else held(further),
        )
        made.append(
            Membership(
                driver=driver,  # type: ignore[arg-type]
                store=world.store,  # type: ignore[arg-type]
                peers=links,  # type: ignore[arg-type]
                keyring=ring,  # type: ignore[arg-type]
                intake=SimpleNamespace(go_on=lambda: None),  # type: ignore[arg-type]
                relay=SimpleNamespace(),  # type: ignore[arg-type]
                notary=SimpleNamespace(),  # type: ignore[arg-type]
                platforms=SimpleNamespace(former=()),  # type: ignore[arg-type]
                guests=(),
                known=None,
                wall_ms=lambda: 0,
            )
        )
        made[-1].start()
        return links

    yield begin
    for each in made:
        if each._timer is not None:
            each._timer.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def looked_at_again(links: Links) -> None:
    """Until the membership has looked four times more: what it would do, it has done."""
    looks = links.looks + 4
    await until(lambda: links.looks >= looks)


async def test_the_new_certificate_is_shown_where_the_old_one_finds_nobody(
    start: Callable[..., Links],
) -> None:
    links = start(NEW, NEW)
    await until(lambda: links.shown == NEW)
    await looked_at_again(links)
    assert links.became == [NEW], "and stays while links stand"


async def test_both_are_shown_in_turn_until_one_finds_somebody(
    start: Callable[..., Links],
) -> None:
    links = start(NEW)
    await until(lambda: len(links.became) >= 4)
    assert links.became[:4] == [NEW, OLD, NEW, OLD]


async def test_nothing_else_is_shown_while_links_stand_or_without_further_keys(
    start: Callable[..., Links],
) -> None:
    rotating, other = start(NEW, OLD), start(None)
    await looked_at_again(rotating)
    await until(lambda: other.looks >= 2)  # it has been lonely, has said so, and looks no more
    assert rotating.became == other.became == []
