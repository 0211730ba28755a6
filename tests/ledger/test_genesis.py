"""Genesis, membership and parameters: what all share, and what is refused before it is shared."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import encode_seal
from ledger.encoding import decode, encode
from ledger.errors import BadSignature, InvalidInput, Malformed
from ledger.genesis import (
    FIRST_BOUNDS,
    GENESIS_BYTES_MAX,
    Foundation,
    Genesis,
    chain_id,
    check_genesis,
    epoch_of,
    genesis_seal,
)
from ledger.hashing import ZERO_HASH, sha256
from ledger.membership import (
    MEMBER_NUMBER_MAX,
    PURPOSES,
    Proofs,
    Validator,
    check_distinct,
    check_possession,
    possession_message,
)
from ledger.parameters import Domain, Scale, check_parameters, parameters_hash
from ledger.state import found
from node.links.tls import GUEST
from tests.ledger.world import FIRST_PARAMETERS, START, genesis_of, key_of, validator

GENESIS_BYTES = encode(genesis_of(2))
SMALL_ORDER = bytes([1]) + bytes(31)


def test_first_genesis_is_sound_and_round_trips() -> None:
    genesis = genesis_of(4)
    check_genesis(genesis)
    assert decode(Genesis, encode(genesis), bytes_max=GENESIS_BYTES_MAX) == genesis


def test_a_members_number_has_31_bits_since_the_others_are_observers_on_links() -> None:
    one = genesis_of(1)

    def numbered(number: int) -> Genesis:
        seats = (replace(one.foundation.validators[0], number=number),)
        return replace(one, foundation=replace(one.foundation, validators=seats))

    highest = numbered(MEMBER_NUMBER_MAX)
    assert decode(Genesis, encode(highest), bytes_max=GENESIS_BYTES_MAX) == highest
    check_distinct(highest.foundation.validators)
    for number in (MEMBER_NUMBER_MAX + 1, 2**32 - 1):
        with pytest.raises(Malformed, match="2147483647"):
            decode(Genesis, encode(numbered(number)), bytes_max=GENESIS_BYTES_MAX)
        with pytest.raises(Malformed, match="no member's number"):
            check_genesis(numbered(number))
    assert MEMBER_NUMBER_MAX + 1 == GUEST


def test_chain_id_leaves_the_proofs_out() -> None:
    genesis = genesis_of(2)
    assert chain_id(genesis.foundation) == sha256(encode(genesis.foundation))
    assert chain_id(genesis.foundation) != chain_id(genesis_of(3).foundation)


def test_genesis_seal() -> None:
    foundation = genesis_of(2).foundation
    seal = genesis_seal(foundation)
    assert (seal.height, seal.block, seal.previous) == (0, chain_id(foundation), ZERO_HASH)
    assert (seal.time, seal.validators) == (START, foundation.validators)
    assert seal.parameters == parameters_hash(foundation.parameters)


def test_a_seal_of_100_validators_must_fit_an_entry() -> None:
    genesis = genesis_of(100)
    state, _ = found(genesis)
    assert state.size == 1
    big = tuple(
        replace(each, certificate=each.certificate * 20) for each in genesis.foundation.validators
    )
    with pytest.raises(Malformed, match="seal"):
        found(replace(genesis, foundation=replace(genesis.foundation, validators=big)))
    assert len(encode_seal(genesis_seal(genesis.foundation))) < 65_535


@pytest.mark.parametrize(
    ("height", "epoch"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (129, 3)]
)
def test_epochs(height: int, epoch: int) -> None:
    assert epoch_of(height, 64) == epoch


def changed(change: Callable[[Foundation], Foundation]) -> Genesis:
    genesis = genesis_of(2)
    return replace(genesis, foundation=change(genesis.foundation))


@pytest.mark.parametrize(
    "genesis",
    [
        replace(genesis_of(2), proofs=genesis_of(2).proofs[:1]),
        replace(genesis_of(2), proofs=genesis_of(2).proofs[::-1]),
        changed(lambda f: replace(f, validators=())),
        changed(lambda f: replace(f, validators=f.validators[::-1])),
        changed(lambda f: replace(f, validators=(f.validators[0], f.validators[0]))),
        changed(lambda f: replace(f, bounds=replace(f.bounds, batch_records_max=40_000))),
        changed(lambda f: replace(f, bounds=replace(f.bounds, batch_bytes_max=2**30))),
        changed(lambda f: replace(f, bounds=replace(f.bounds, record_bytes_max=4_097))),
    ],
    ids=[
        "proof missing",
        "proofs swapped",
        "empty",
        "order",
        "twice",
        "records",
        "bytes",
        "record",
    ],
)
def test_what_is_no_genesis(genesis: Genesis) -> None:
    with pytest.raises(InvalidInput):
        check_genesis(genesis)


# --- membership ---


def test_possession_message_is_frozen() -> None:
    message = possession_message(1, "p1", "lane", bytes([9]) * 32)
    body = "9401a27031a46c616e65c420" + "09" * 32
    assert message == b"standing/possession/v1\0" + bytes(32) + bytes.fromhex(body)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_key_needs_its_own_proof(purpose: str) -> None:
    member, proofs = validator(1)
    check_possession(member, proofs)
    other = key_of("other")
    with pytest.raises(BadSignature, match=purpose):
        check_possession(replace(member, **{f"{purpose}_key": other.public}), proofs)
    with pytest.raises(BadSignature, match=purpose):
        check_possession(replace(member, **{f"{purpose}_key": SMALL_ORDER}), proofs)
    with pytest.raises(BadSignature, match=purpose):
        check_possession(member, replace(proofs, **{purpose: bytes(64)}))


@pytest.mark.parametrize("field", ["number", "code", "certificate", "lane_key", "root_key"])
def test_nothing_stands_in_a_set_twice(field: str) -> None:
    one, two = validator(1)[0], validator(2)[0]
    check_distinct([one, two])
    with pytest.raises(Malformed):
        check_distinct([one, replace(two, **{field: getattr(one, field)})])


def test_one_key_serves_one_purpose() -> None:
    one = validator(1)[0]
    with pytest.raises(Malformed):
        check_distinct([replace(one, vote_key=one.lane_key)])


# --- parameters ---


@pytest.mark.parametrize(
    "scales",
    [
        (Scale("b", 0, 4, 2, 3), Scale("a", 0, 4, 2, 3)),
        (Scale("a", 0, 4, 2, 3), Scale("a", 0, 4, 2, 3)),
        (Scale("a", 2, 4, 2, 3),),
        (Scale("a", 0, 4, 3, 2),),
        (Scale("a", 0, 4, 2, 5),),
    ],
    ids=["order", "twice", "low", "middle", "good"],
)
def test_scales_that_contradict_themselves(scales: tuple[Scale, ...]) -> None:
    with pytest.raises(Malformed):
        check_parameters(replace(FIRST_PARAMETERS, scales=scales))


@pytest.mark.parametrize(
    "domains",
    [
        (Domain("a", "b"), Domain("b", "")),
        (Domain("a", ""), Domain("a", "")),
        (Domain("a", "a"),),
    ],
    ids=["order", "twice", "own parent"],
)
def test_domains_that_contradict_themselves(domains: tuple[Domain, ...]) -> None:
    with pytest.raises(Malformed):
        check_parameters(replace(FIRST_PARAMETERS, domains=domains))


def test_first_parameters_are_sound() -> None:
    check_parameters(FIRST_PARAMETERS)
    assert parameters_hash(FIRST_PARAMETERS) == sha256(encode(FIRST_PARAMETERS))
    assert FIRST_BOUNDS.record_files_max == 4


# --- bytes ---


@pytest.mark.parametrize(
    ("value", "frozen"),
    [
        (Scale("stars-5", 1, 5, 3, 4), "95a773746172732d3501050304"),
        (Domain("writing.copy", "writing"), "92ac77726974696e672e636f7079a777726974696e67"),
        (
            FIRST_BOUNDS,
            "97cd1000cd1000ce00200000cd8000ce010000000440",
        ),
        (
            Validator(1, "a", *(bytes([n]) * 32 for n in range(5)), b"\x30"),
            "9801a161" + "".join(f"c420{n:02x}" + f"{n:02x}" * 31 for n in range(5)) + "c40130",
        ),
        (
            Proofs(*(bytes([n]) * 64 for n in range(5))),
            "95" + "".join(f"c440{n:02x}" + f"{n:02x}" * 63 for n in range(5)),
        ),
    ],
)
def test_frozen_bytes(value: object, frozen: str) -> None:
    assert encode(value).hex() == frozen
    assert decode(type(value), bytes.fromhex(frozen), bytes_max=1_000) == value


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_refused_or_founds_another_chain(data: st.DataObject) -> None:
    raw = bytearray(GENESIS_BYTES)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(Genesis, bytes(raw), bytes_max=GENESIS_BYTES_MAX)
        check_genesis(other)
    except InvalidInput:
        return
    assert encode(other) == bytes(raw)
    assert chain_id(other.foundation) != chain_id(genesis_of(2).foundation)
