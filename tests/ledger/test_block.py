"""Blocks, refusal lists and seals: frozen bytes, hashes, one form."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.block import (
    Block,
    Refusal,
    Seal,
    Tip,
    block_hash,
    decode_seal,
    encode_seal,
    refusals_hash,
    rule_hash,
)
from ledger.encoding import decode, encode
from ledger.errors import Malformed
from tests.ledger.strategies import blocks, refusals, seals
from tests.ledger.world import validator

CHAIN = bytes([7]) * 32


def filled(byte: int) -> bytes:
    return bytes([byte]) * 32


def test_frozen_block() -> None:
    block = Block(1, 2, 3, filled(4), (Tip(5, 6, filled(8)),), 9)
    raw = "96010203c420" + "04" * 32 + "91930506c420" + "08" * 32 + "09"
    assert encode(block).hex() == raw
    expected = sha256(b"standing/block/v1\0" + CHAIN + bytes.fromhex(raw)).digest()
    assert block_hash(CHAIN, block) == expected


def test_frozen_seal() -> None:
    seal = Seal(1, filled(2), filled(3), 4, filled(5), filled(6), filled(7), None)
    raw = "019801"
    raw += "".join(f"c420{byte:02x}" + f"{byte:02x}" * 31 for byte in (2, 3)) + "04"
    raw += "".join(f"c420{byte:02x}" + f"{byte:02x}" * 31 for byte in (5, 6, 7)) + "c0"
    assert encode_seal(seal).hex() == raw
    assert decode_seal(bytes.fromhex(raw)) == seal


def test_frozen_refusals() -> None:
    refusal = Refusal(1, 2, 3, filled(4), filled(5))
    raw = bytes.fromhex("9195010203c420" + "04" * 32 + "c420" + "05" * 32)
    assert refusals_hash([refusal]) == sha256(raw).digest()
    assert refusals_hash([]) == sha256(b"\x90").digest()
    assert rule_hash(bytes(16), "malformed") == sha256(bytes(16) + b"malformed").digest()


@given(blocks)
def test_blocks_round_trip(block: Block) -> None:
    assert decode(Block, encode(block), bytes_max=10_000) == block


@given(refusals)
def test_refusals_round_trip(refusal: Refusal) -> None:
    assert decode(Refusal, encode(refusal), bytes_max=10_000) == refusal


@given(seals, st.data())
def test_any_changed_byte_of_a_seal(seal: Seal, data: st.DataObject) -> None:
    raw = bytearray(encode_seal(seal))
    assert decode_seal(bytes(raw)) == seal
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_seal(bytes(raw))
    except Malformed:
        return
    assert other != seal
    assert encode_seal(other) == bytes(raw)


@pytest.mark.parametrize("entry", [b"", b"\x00" * 47, b"\x02\x90", b"\x01", b"\x01" * 70_000])
def test_what_is_no_seal(entry: bytes) -> None:
    with pytest.raises(Malformed):
        decode_seal(entry)


def seal_of(entry_bytes: int) -> bytes:
    """A seal whose entry has this many bytes, by the length of one certificate."""
    whole = msgspec.structs.replace(
        Seal(1, CHAIN, CHAIN, 5, CHAIN, CHAIN, CHAIN, None),
        validators=(msgspec.structs.replace(validator(1)[0], certificate=bytes(2_048)),) * 29,
    )
    left = entry_bytes - len(encode_seal(whole)) - len(encode(validator(2)[0]))
    certificate = validator(2)[0].certificate + bytes(left - 1)  # one header byte more
    last = msgspec.structs.replace(validator(2)[0], certificate=certificate)
    return encode_seal(msgspec.structs.replace(whole, validators=(*whole.validators, last)))


def test_an_entry_of_a_seal_has_at_most_65535_bytes() -> None:
    for entry_bytes, holds in ((65_534, True), (65_535, True), (65_536, False), (65_537, False)):
        entry = seal_of(entry_bytes)
        assert len(entry) == entry_bytes
        if holds:
            assert encode_seal(decode_seal(entry)) == entry
        else:
            with pytest.raises(Malformed, match="at most"):
                decode_seal(entry)
