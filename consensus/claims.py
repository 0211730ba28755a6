"""Claims: what peers say stands in the place of erased openings, until f + 1 of them say the same.

An opening proves itself by the root of its batch. A residue does not: its stand-in, which is
executed in the opening's place, stands under no root, so one peer's word for it could make a node
that catches up compute other roots than everybody else. A residue is *vouched* for once f + 1
distinct peers have given the same bytes at the same position of the same batch: one of them is
honest. What remains of a batch is taken in once all residues in it are vouched for (whoever gives
it counts); so honest peers need not have erased equally far.

    claim = position (u16be) ‖ SHA-256(residue), 34 bytes per residue, ascending

Only digests are kept: by lane, peer and height, the newest word of each. Of one peer and lane at
most `residue_claims_max` residues are remembered, the lowest heights first and one batch always:
so the batch that a lane needs next never lacks room. All claims about a height go once a batch of
that height is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ledger.encoding import encode
from ledger.residue import Remains, Residue

_ENTRY_BYTES: Final = 34


def claim_of(remains: Remains) -> bytes:
    """What a peer claims by giving this."""
    return b"".join(
        position.to_bytes(2) + sha256(encode(each)).digest()
        for position, each in enumerate(remains.submissions)
        if isinstance(each, Residue)
    )


def _entries(claim: bytes) -> Iterator[bytes]:
    for at in range(0, len(claim), _ENTRY_BYTES):
        yield claim[at : at + _ENTRY_BYTES]


def contradicts(one: bytes, other: bytes) -> bool:
    """Whether two claims name different residues for one position."""
    known = {entry[:2]: entry for entry in _entries(one)}
    return any(known.get(entry[:2], entry) != entry for entry in _entries(other))


@dataclass(slots=True)
class _Word:
    """One peer's claims about one lane: height → (batch's name, claim)."""

    at: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    residues: int = 0

    def forget(self, height: int) -> None:
        _, claim = self.at.pop(height, (b"", b""))
        self.residues -= len(claim) // _ENTRY_BYTES


class Claims:
    """All peers' claims about all lanes. Arithmetic only: `gate` decides what is taken in."""

    def __init__(self, residues_max: int) -> None:
        self._max = residues_max
        self._lanes: dict[int, dict[int, _Word]] = {}

    def add(self, peer: int, remains: Remains, name: bytes) -> None:
        """Note what a peer says of a batch (by its name: the header's hash), within bounds."""
        header, claim = remains.header, claim_of(remains)
        word = self._lanes.setdefault(header.lane, {}).setdefault(peer, _Word())
        word.forget(header.height)
        word.at[header.height] = name, claim
        word.residues += len(claim) // _ENTRY_BYTES
        while word.residues > self._max and len(word.at) > 1:
            word.forget(max(word.at))

    def are_vouched(self, peer: int, remains: Remains, name: bytes, needed: int) -> bool:
        """Whether, with the peer that gives it now, `needed` peers vouch for each residue in it."""
        height = remains.header.height
        counts = dict.fromkeys(_entries(claim_of(remains)), 1)
        for number, (named, claim) in self._of(remains.header.lane, height).items():
            if number != peer and named == name:
                for entry in _entries(claim):
                    if entry in counts:
                        counts[entry] += 1
        return all(count >= needed for count in counts.values())

    def against(self, remains: Remains, name: bytes) -> list[int]:
        """The peers that have claimed another residue than one of these."""
        claim = claim_of(remains)
        return sorted(
            number
            for number, (named, other) in self._of(
                remains.header.lane, remains.header.height
            ).items()
            if named == name and contradicts(claim, other)
        )

    def peers(self, lane: int, height: int) -> set[int]:
        """The peers that have claimed something of this height."""
        return set(self._of(lane, height))

    def highest(self, lane: int, peer: int) -> tuple[int, bytes] | None:
        """The highest batch of a lane, by height and name, of which a peer has claimed anything."""
        word = self._lanes.get(lane, {}).get(peer, _Word())
        return max(((height, named) for height, (named, _) in word.at.items()), default=None)

    def forget(self, lane: int, height: int) -> None:
        """A batch of this height is held: nothing has to be vouched for any more."""
        for word in self._lanes.get(lane, {}).values():
            word.forget(height)

    def _of(self, lane: int, height: int) -> dict[int, tuple[bytes, bytes]]:
        words = self._lanes.get(lane, {})
        return {number: word.at[height] for number, word in words.items() if height in word.at}
