"""Keys that can be destroyed one by one, without being stored one by one.

A *slot* is a number; the keys of 2^20 slots in a row are one table. It holds 65,536 random *seeds*,
each for 16 slots, and a slot's key is SHA-256(seed ‖ its digit (u8)). To destroy a slot's key, its
seed is forgotten and the keys of the 15 slots beside it are kept instead. So what must be kept is
two bytes for each slot, and at most 484 bytes more for each slot destroyed; less once neighbours
are destroyed too.

    kept = seeds (65,536 × 32; zero bytes: this one is split)
           ‖ how many are split (u32be)
           ‖ (seed's number (u16be) ‖ slots left (u16be, bit n: digit n) ‖ (key (32))*)*  ascending
"""

from collections.abc import Callable, Iterable
from hashlib import sha256 as _sha256
from typing import Final

KEY_BYTES: Final = 32
DIGIT_BITS: Final = 4
TABLE_BITS: Final = 20
TABLE_SLOTS: Final = 1 << TABLE_BITS

_DIGITS: Final = tuple(bytes([digit]) for digit in range(1 << DIGIT_BITS))
_DIGIT_MASK: Final = len(_DIGITS) - 1
_SEEDS: Final = TABLE_SLOTS >> DIGIT_BITS
_SEEDS_BYTES: Final = _SEEDS * KEY_BYTES
_SPLIT: Final = bytes(KEY_BYTES)
_HEAD_BYTES: Final = 4


class KeyTable:
    """The keys of 2^20 slots, numbered from 0, but for those destroyed."""

    def __init__(self, seeds: bytearray, split: dict[int, dict[int, bytes]]) -> None:
        self._seeds = seeds
        self._split = split

    @classmethod
    def new(cls, random: Callable[[int], bytes]) -> "KeyTable":
        """A table in which no key is destroyed. `random(n)` yields n random bytes."""
        return cls(bytearray(random(_SEEDS_BYTES)), {})

    def key(self, slot: int) -> bytes | None:
        """A slot's key (32 bytes), or None if it is destroyed."""
        number = slot >> DIGIT_BITS
        if number in self._split:
            return self._split[number].get(slot & _DIGIT_MASK)
        begin = number * KEY_BYTES
        seed = self._seeds[begin : begin + KEY_BYTES]
        return _sha256(seed + _DIGITS[slot & _DIGIT_MASK]).digest()

    def keys_from(self, slot: int) -> list[bytes]:
        """The keys of a slot and of those behind it that have one seed with it, none destroyed."""
        begin = (slot >> DIGIT_BITS) * KEY_BYTES
        seed = bytes(self._seeds[begin : begin + KEY_BYTES])
        if seed != _SPLIT:
            return [_sha256(seed + digit).digest() for digit in _DIGITS[slot & _DIGIT_MASK :]]
        keys = self._split[slot >> DIGIT_BITS]
        return [keys[digit] for digit in range(slot & _DIGIT_MASK, len(_DIGITS))]

    def destroy(self, slots: Iterable[int]) -> bool:
        """Forget the keys of slots; whether there was any of them left."""
        left = 0
        for slot in slots:
            number, digit = slot >> DIGIT_BITS, slot & _DIGIT_MASK
            left += self._keys(number).pop(digit, None) is not None
        return left > 0

    def encode(self) -> bytes:
        """What must be kept."""
        parts = [bytes(self._seeds), len(self._split).to_bytes(4)]
        for number, keys in sorted(self._split.items()):
            left = sum(1 << digit for digit in keys)
            parts.append(number.to_bytes(2) + left.to_bytes(2))
            parts += [key for _, key in sorted(keys.items())]
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> "KeyTable":
        """Read what was kept.

        Raises:
            ValueError: it is not of this form.
        """
        seeds, at = bytearray(data[:_SEEDS_BYTES]), _SEEDS_BYTES + 4
        split: dict[int, dict[int, bytes]] = {}
        for _ in range(int.from_bytes(data[_SEEDS_BYTES:at])):
            number = int.from_bytes(data[at : at + 2])
            left = int.from_bytes(data[at + 2 : at + _HEAD_BYTES])
            at += _HEAD_BYTES
            split[number] = keys = {}
            for digit in range(len(_DIGITS)):
                if left >> digit & 1:
                    keys[digit] = data[at : at + KEY_BYTES]
                    at += KEY_BYTES
            if at > len(data):
                break
        if len(seeds) != _SEEDS_BYTES or at != len(data):
            raise ValueError("has another length than it tells")
        if any(seeds[at * KEY_BYTES : (at + 1) * KEY_BYTES] != _SPLIT for at in split):
            raise ValueError("keeps the seed of a key that it has destroyed")
        return cls(seeds, split)

    def _keys(self, number: int) -> dict[int, bytes]:
        """The keys that are left of a seed, which is split if it was not."""
        if number not in self._split:
            begin = number * KEY_BYTES
            seed = self._seeds[begin : begin + KEY_BYTES]
            self._seeds[begin : begin + KEY_BYTES] = _SPLIT
            self._split[number] = {
                at: _sha256(seed + digit).digest() for at, digit in enumerate(_DIGITS)
            }
        return self._split[number]
