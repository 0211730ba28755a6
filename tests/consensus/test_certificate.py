"""Certificates hold with exactly q distinct good signatures, and not otherwise."""

import pytest

from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Certificate,
    Seats,
    Signed,
    check_certificate,
    statement_message,
)
from ledger import signing
from ledger.errors import BadSignature, InvalidInput, Malformed
from ledger.hashing import ZERO_HASH
from tests.simulation.cluster import CHAIN, make_keys

KEYS, VALIDATORS = make_keys(4, real=True)
SEATS = Seats.of(VALIDATORS)
HASH = b"\x07" * 32


def certificate(
    signers: tuple[int, ...] = (1, 2, 4),
    kind: int = NOTARIZE,
    hash_: bytes = HASH,
    *,
    signed_kind: int | None = None,
    epoch: int = 1,
    chain: bytes = CHAIN,
) -> Certificate:
    message = statement_message(
        chain, kind if signed_kind is None else signed_kind, epoch, 5, hash_
    )
    signed = tuple(Signed(n, KEYS[n - 1].vote.sign(message)) for n in signers)
    return Certificate(kind, 1, 5, hash_, signed)


def check(given: Certificate) -> None:
    check_certificate(CHAIN, SEATS, signing.verify, given)


@pytest.mark.parametrize("signers", [(1, 2, 3), (1, 2, 4), (2, 3, 4)])
def test_any_quorum_holds(signers: tuple[int, ...]) -> None:
    check(certificate(signers))
    check(certificate(signers, NULLIFY, ZERO_HASH))
    check(certificate(signers, FINALIZE))


@pytest.mark.parametrize("signers", [(), (1, 2), (1, 2, 3, 4), (1, 1, 2), (2, 1, 3)])
def test_not_q_distinct_ascending(signers: tuple[int, ...]) -> None:
    with pytest.raises(Malformed):
        check(certificate(signers))


def test_an_unknown_validator() -> None:
    good = certificate()
    stranger = Signed(9, good.signatures[2].signature)
    with pytest.raises(Malformed):
        check(Certificate(good.kind, 1, 5, HASH, (*good.signatures[:2], stranger)))


def test_a_nullification_names_no_block() -> None:
    with pytest.raises(Malformed):
        check(certificate(kind=NULLIFY))


@pytest.mark.parametrize(
    "bad",
    [
        certificate(signed_kind=FINALIZE),
        certificate(epoch=2),
        certificate(chain=bytes(32)),
    ],
    ids=["another kind", "another epoch", "another chain"],
)
def test_signatures_bind_kind_epoch_and_chain(bad: Certificate) -> None:
    with pytest.raises(BadSignature):
        check(bad)


def test_every_signature_is_checked() -> None:
    good = certificate()
    for at in range(3):
        signed = list(good.signatures)
        signed[at] = Signed(signed[at].number, bytes(64))
        with pytest.raises(InvalidInput):
            check(Certificate(good.kind, 1, 5, HASH, tuple(signed)))
