"""Following the sets: which keys a node holds and shows as ready, and whom it trusts on links."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from consensus.config import Keys
from ledger.binding import Candidate
from ledger.certificate import link_certificate
from ledger.membership import PURPOSES, Validator
from ledger.records import decode_record
from ledger.records.membership import MemberReady
from node.intake import Accepted, Offer, Result
from node.links.tls import Guest, certificate_key, guest, make_certificate, member_keys
from node.membership import Membership
from tests.ledger.members import Party, party
from tests.ledger.world import World, genesis_of, key_of

ME = 3


def held(who: Party) -> SimpleNamespace:
    seed = bytes(32)
    signers = Keys(who.keys["lane"], who.keys["vote"], who.keys["cosigner"])
    keys = SimpleNamespace(link_seed=seed, **who.keys)
    return SimpleNamespace(validator=who.validator, keys=keys, signers=signers)


def candidate(who: Validator, log_index: int) -> Candidate:
    return Candidate(who.number, who, bytes([log_index]) * 32, log_index, is_ready=False)


class Around:
    """What the follower of the sets at a validator of four sees, in the first block of all."""

    def __init__(self, *candidates: Candidate, guests: tuple[Guest, ...] = ()) -> None:
        self.world = World(genesis_of(4))
        state = self.world.state
        self.ledger = SimpleNamespace(
            height=state.height,
            validators=tuple(party(number).validator for number in (1, 2, 3, 4)),
            candidates=candidates,
            foundation=state.foundation,
            time=state.time,
            size=state.size,
            log=state.log,
            chain=state.chain,
        )
        self.on_disk: Any = None
        self.ring = SimpleNamespace(
            number=ME, observing=None, held=held(party(ME)), further=None, look=self.look
        )
        self.holding: list[Keys] = []
        self.trusted: list[Validator] = []
        self.said: list[MemberReady] = []
        driver: Any = SimpleNamespace(
            ledger=self.ledger,
            keys=None,
            consensus=SimpleNamespace(
                checkpoints=SimpleNamespace(certified=0),
                seats=SimpleNamespace(by_number={each.number: each for each in state.validators}),
            ),
            may_seal=lambda: True,
            follows=lambda: True,
            hold=self.holding.append,
            halt=pytest.fail,
        )
        self.follower = Membership(
            driver=driver,
            store=self.world.store,  # type: ignore[arg-type]
            peers=SimpleNamespace(linked=lambda: (1,), trust=self.trust),  # type: ignore[arg-type]
            keyring=self.ring,  # type: ignore[arg-type]
            intake=SimpleNamespace(go_on=lambda: None, submit=self.submit),  # type: ignore[arg-type]
            relay=SimpleNamespace(),  # type: ignore[arg-type]
            notary=SimpleNamespace(),  # type: ignore[arg-type]
            platforms=SimpleNamespace(codes={}, former=()),  # type: ignore[arg-type]
            guests=guests,
            known=None,
            wall_ms=lambda: 10**13,
        )

    def look(self) -> Any:
        self.ring.further = self.on_disk
        return self.on_disk

    def trust(self, validators: list[Validator], former: tuple[Validator, ...]) -> None:
        del former
        assert member_keys(validators), "else the node would stop"
        self.trusted = validators

    async def submit(self, offers: list[Offer]) -> list[Result]:
        for each in offers:
            record = decode_record(each.record)
            assert isinstance(record, MemberReady)
            self.said.append(record)
        return [Accepted(bytes(32)) for _ in offers]

    async def look_again(self) -> None:
        self.follower._look()
        await asyncio.sleep(0)


async def test_a_rotation_whose_keys_were_lost_does_not_stop_the_next_one() -> None:
    lost, made = party(ME, "lost"), party(ME, "made")
    around = Around(candidate(lost.validator, 7))
    around.ring.further = held(party(ME, "older"))  # read at the start, and taken away since
    await around.look_again()
    assert (around.said, around.holding) == ([], [])
    around.on_disk = held(made)
    around.ledger.candidates += (candidate(made.validator, 9),)
    await around.look_again()
    assert around.holding == [around.on_disk.signers]
    assert [(each.change[0], each.vote_key) for each in around.said] == [
        (9, made.validator.vote_key)
    ]
    await around.look_again()
    assert len(around.holding) == 1
    await around.follower.stop()


async def test_a_link_key_of_a_void_join_that_is_another_platforms_now_stops_nobody() -> None:
    void = party(5)
    certificate = link_certificate(key_of(5, "link"), "p6")
    now = Validator(
        6, "p6", *(getattr(party(6).validator, f"{each}_key") for each in PURPOSES), certificate
    )
    assert certificate_key(certificate) == certificate_key(void.validator.certificate)
    around = Around(candidate(void.validator, 7))
    await around.look_again()
    assert void.validator in around.trusted
    around.ledger.candidates = ()
    await around.look_again()
    assert void.validator in around.trusted, "for a moment longer"
    around.ledger.candidates = (candidate(now, 9),)
    await around.look_again()
    assert now in around.trusted
    assert void.validator not in around.trusted
    await around.follower.stop()


async def test_a_guest_is_not_let_in_under_a_members_number_or_key() -> None:
    own = guest("observer", make_certificate(b"g" * 32, "x"))
    member = party(2).validator
    same_key = guest("observer", member.certificate)
    same_number = Guest(member.number, "observer", make_certificate(b"h" * 32, "x"))
    around = Around(guests=(own, same_key, same_number))
    await around.look_again()
    assert around.trusted == [*around.ledger.validators, own]
    await around.follower.stop()
