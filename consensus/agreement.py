"""On which snapshot f + 1 members agree: which end they offer, which manifest they give.

Counting only: `consensus.snapshots` sends, waits and judges who has lied.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from consensus.quorum import quorum, witnesses
from ledger.snapshot import Manifest, manifest_digest

MANIFESTS_MAX: Final = 4
"""Different manifests that are kept until f + 1 members have given one of them."""


class Agreement:
    """What members have said. f is that of `members`, this node among them or not."""

    def __init__(self, members: Iterable[int]) -> None:
        self.members = frozenset(members)
        self.needed = witnesses(len(self.members))
        self.given: dict[int, bytes] = {}
        """Member → digest of the manifest that it gave."""
        self._offers: dict[int, Mapping[int, bytes | None]] = {}
        self._manifests: dict[bytes, Manifest] = {}

    # --- ends ---

    def offer(self, peer: int, ends: Mapping[int, bytes | None]) -> None:
        """A member offers these heights, with their manifests' digests if known, and no others."""
        self._offers[peer] = ends

    def forget(self, peer: int) -> None:
        """What it has offered counts no more."""
        self._offers.pop(peer, None)

    def offers(self, peer: int, height: int) -> bool:
        """Whether a member offers a height."""
        return height in self._offers.get(peer, {})

    def may_be_had(self, height: int) -> bool:
        """Whether f + 1 members have given a manifest or still offer this height."""
        offering = {peer for peer in self._offers if self.offers(peer, height)}
        return len(offering | self.given.keys()) >= self.needed

    def digest_of(self, peer: int, height: int) -> bytes | None:
        """The digest that it told with its offer."""
        return self._offers.get(peer, {}).get(height)

    def have_all_offered(self, peers: Iterable[int]) -> bool:
        """Whether all of these, as far as they are members, have said what they offer."""
        return self.members.intersection(peers) <= self._offers.keys()

    @property
    def is_in_vain(self) -> bool:
        """Whether so many members offer nothing that the network as a whole has nothing."""
        without = sum(not offered for offered in self._offers.values())
        return without >= max(1, quorum(len(self.members)) - 1)

    def common(self, kept: int) -> int:
        """The highest height that f + 1 members offer, or 0; `kept`, if they offer that."""
        said = [height for offered in self._offers.values() for height in offered]
        common = {height for height in said if said.count(height) >= self.needed}
        return kept if kept in common else max(common, default=0)

    # --- manifests ---

    def give(self, peer: int, manifest: Manifest) -> bytes:
        """A member has given a manifest; its digest."""
        digest = manifest_digest(manifest)
        self.given[peer] = digest
        if digest in self._manifests or len(self._manifests) < MANIFESTS_MAX or self.agrees(digest):
            self._manifests[digest] = manifest
        return digest

    def agrees(self, digest: bytes) -> bool:
        """Whether f + 1 members have given a manifest of this digest."""
        return sum(each == digest for each in self.given.values()) >= self.needed

    def settle(self, digest: bytes) -> tuple[Manifest, list[int]]:
        """The agreed manifest, and who has given another."""
        manifest = self._manifests[digest]
        self._manifests.clear()
        return manifest, sorted(peer for peer, each in self.given.items() if each != digest)

    def givers(self, digest: bytes) -> list[int]:
        """Who has given it."""
        return [peer for peer, each in self.given.items() if each == digest]
