"""Two nodes' checkpoints against each other: do they show one log?

Each node's note must hold under the policy. The tiles of the one with the larger log tell the root
that its log had at the smaller one's size, proven to lead to its own checkpoint. If that is another
than the smaller one's root, the two are a fork, proven to anybody by a file (`ledger/fork.py`).
"""

from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, verify_checkpoint
from ledger.errors import BadProof, InvalidInput, StandingError
from ledger.fork import Fork, fork_of
from ledger.merkle import Frontier, consistency_proof, verify_consistency
from ledger.policy import Policy
from ledger.source import Finding
from ledger.tiles import TILE_WIDTH, TileReader, frontier_of, tile_path, tile_width
from node.export.source import Source


@dataclass(frozen=True, slots=True)
class Shown:
    """A node's checkpoint, as it was shown: where, the note, what it says."""

    where: str
    note: bytes
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing two nodes found; `fork` is a proof of it, where there can be one."""

    findings: tuple[Finding, ...]
    fork: Fork | None = None


async def compare_nodes(
    policy: Policy, ours: tuple[str, Source], theirs: tuple[str, Source]
) -> Compared:
    """Compare two nodes' newest checkpoints. `ours` and `theirs`: where, and how to read it.

    Raises:
        StandingError: a node cannot be reached.
    """
    shown: list[tuple[Shown, Source]] = []
    for where, source in (ours, theirs):
        note = await source.get("checkpoint")
        try:
            shown.append((Shown(where, note, verify_checkpoint(note, policy)), source))
        except InvalidInput as error:
            return Compared((Finding("checkpoint", where, str(error)),))
    shown.sort(key=lambda each: each[0].checkpoint.size)
    (first, _), (second, source) = shown
    return await compare_shown(first, second, source)


async def compare_shown(first: Shown, second: Shown, source: Source) -> Compared:
    """Compare two checkpoints, the second not smaller, and its node's tiles in `source`."""
    small, large = first.checkpoint, second.checkpoint
    if small.size == large.size:
        if small.root == large.root:
            return Compared(())
        fork = fork_of(first.note, second.note, large.root)
        return Compared((_fork_finding(first, second),), fork)
    tiles = _Tiles(source, large.size)
    try:
        root, proof = await tiles.root_at(small.size)
        verify_consistency(small.size, large.size, root, large.root, proof)
    except InvalidInput as error:
        detail = f"its tiles do not lead to its checkpoint of {large.size} entries: {error}"
        return Compared((Finding("tiles", second.where, detail),))
    if root == small.root:
        return Compared(())
    fork = fork_of(first.note, second.note, root, proof)
    return Compared((_fork_finding(first, second),), fork)


def _fork_finding(first: Shown, second: Shown) -> Finding:
    detail = (
        f"shows {first.checkpoint.size} entries with another root than the log of "
        f"{second.checkpoint.size} entries that {second.where} shows"
    )
    return Finding("fork", first.where, detail)


class _Missing(Exception):
    """A tile that must be fetched first."""

    def __init__(self, level: int, index: int) -> None:
        super().__init__()
        self.place = (level, index)


class _Tiles:
    """A log's tiles, fetched when a proof asks for them."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._kept: dict[tuple[int, int], bytes] = {}

    async def root_at(self, size: int) -> tuple[bytes, list[bytes]]:
        """The root that the log had at an earlier size, and the proof that leads from there.

        Raises:
            BadProof: a tile is too short, or not served.
        """
        while True:
            try:
                root = self._frontier(size).root()
                read_node = TileReader(self._read).read_node
                return root, consistency_proof(read_node, size, self._size)
            except _Missing as missing:
                await self._fetch(*missing.place)

    def _frontier(self, size: int) -> Frontier:
        return frontier_of(self._read, size)

    def _read(self, level: int, index: int) -> bytes:
        found = self._kept.get((level, index))
        if found is None:
            raise _Missing(level, index)
        return found

    async def _fetch(self, level: int, index: int) -> None:
        width = tile_width(level, index, self._size) or TILE_WIDTH
        path = tile_path(level, index, width)
        try:
            self._kept[level, index] = await self._source.get(path)
        except StandingError as error:
            raise BadProof(f"{path} is not served: {error}") from error
