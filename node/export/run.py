"""The public log as a folder that any web server can serve, checked while it is written.

    DIR/checkpoint                       the signed note: written last
    DIR/tile/…, DIR/tile/entries/…       C2SP tlog-tiles: full and partial tiles, entry bundles
    DIR/block/…, DIR/lane/…              beside the log (ledger/beside.py)
    DIR/epochs, DIR/genesis.json         from genesis to the newest set (ledger/epochs.py)
    DIR/policy, DIR/policy.d/<epoch>     of the newest checkpoint; of each epoch with a new set
    DIR/.exported                        how far the folder is complete and checked

Paths are those under a node's /log/, but for `policy.d` (a file system has no file and folder of
one name) and `genesis.json` (/v1/network/genesis). Every file is written under another name and
moved to its place; all but checkpoint, epochs, policy and .exported never change. A run goes on
from what .exported says and fetches only what is new; if it is cut off, the checkpoint that stands
there is whole, and the next run does the rest. A partial file goes when its full one is there.

What is checked: genesis's proofs, and that leaf 0 is its seal; each entry is hashed, and the tiles
that are written are computed, not copied, so that they lead to the checkpoint's root; the log that
was exported before is its beginning; blocks, refusals and signed headers fit the entries (`Walk`);
the policies are those of the sets that the seals name, and the checkpoint holds under the last; the
chain of epoch ends leads there too.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger import merkle
from ledger.beside import Walk, block_path, decode_block_file, lane_path
from ledger.block import SEAL_KIND, Tip, decode_seal, encode_seal
from ledger.checkpoint import Checkpoint, verify_checkpoint_strict
from ledger.epochs import encode_chain, follow, policy_of
from ledger.errors import BadProof, Misconfigured
from ledger.genesis import Genesis, chain_id, genesis_seal
from ledger.hashing import HASH_BYTES
from ledger.membership import Validator
from ledger.note import parse_note
from ledger.tiles import (
    TILE_BYTES,
    TILE_WIDTH,
    append_to_tiles,
    decode_entry_bundle,
    encode_entry_bundle,
    entries_path,
    frontier_of,
    tile_path,
)
from node.export.folder import ExportState, Folder, LaneState
from node.export.source import Source, format_genesis, read_chain

FILES_AT_ONCE: Final = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What a run did: the log as it stands in the folder, and what was new."""

    chain: bytes
    size: int
    root: bytes
    height: int
    entries: int
    blocks: int
    files: int
    size_bytes: int


def _quiet(done: int, total: int) -> None:
    pass


async def export_log(source: Source, folder: Path, progress: Progress = _quiet) -> Exported:
    """Write, or go on writing, the folder of a log.

    Raises:
        Misconfigured: the folder holds something else, is damaged, or cannot be written.
        InvalidInput: what the source yields does not hold; says what.
        StandingError: the source cannot be read.
    """
    place = Folder(folder)
    try:
        place.open()
        genesis = await source.genesis()
        foundation = genesis.foundation
        before = place.state(chain_id(foundation), foundation.validators)
        return await _Run(source, place, progress, genesis, before).run()
    except OSError as error:
        raise Misconfigured(f"{error.filename} cannot be written: {error.strerror}") from error


@dataclass(slots=True)
class _Run:
    """One run: fetches, checks, writes."""

    source: Source
    folder: Folder
    progress: Progress
    genesis: Genesis
    before: ExportState
    edge: dict[tuple[int, int], bytes] = field(default_factory=dict)
    sets: dict[int, tuple[Validator, ...]] = field(default_factory=dict)
    pending: list[bytes] = field(default_factory=list)

    async def run(self) -> Exported:
        before, origin = self.before, self.genesis.foundation.origin
        note = await self.source.get("checkpoint")
        target = Checkpoint.parse(parse_note(note).text)
        if target.origin != origin or target.size < max(1, before.size):
            raise BadProof(
                f"the checkpoint is of {target.origin}, size {target.size}; "
                f"the folder is at {origin}, size {before.size}"
            )
        self.folder.write("genesis.json", format_genesis(self.genesis))
        after = before
        if target.size > before.size:
            tips = await self._beside(target.size)
            after = await self._log(target.size, tips)
        if after.root != target.root:
            raise BadProof("the entries do not lead to the checkpoint's root")
        policy = policy_of(origin, after.signers)
        verify_checkpoint_strict(note, policy)
        await self._epochs(after)
        self.folder.write("policy", policy.format().encode())
        self.folder.close(after, note)
        return Exported(
            chain=after.chain,
            size=after.size,
            root=after.root,
            height=after.height,
            entries=after.size - before.size,
            blocks=after.height + 1 - self._first_block,
            files=self.folder.files,
            size_bytes=self.folder.size_bytes,
        )

    @property
    def _first_block(self) -> int:
        return self.before.height + 1 if self.before.size else 0

    async def _fetch(self, paths: Sequence[str]) -> list[bytes]:
        return list(await asyncio.gather(*(self.source.get(path) for path in paths)))

    # --- beside the log ---

    async def _beside(self, size: int) -> dict[int, Tip]:
        """Write the files of the new blocks and lanes; the cut after them."""
        last = await self._bundles([(size - 1) // TILE_WIDTH], size)
        newest = decode_seal(last[0][-1]).height
        tips = {each.tip.lane: each.tip for each in self.before.lanes}
        for heights in _chunks(self._first_block, newest + 1):
            paths = [block_path(height) for height in heights]
            for path, data in zip(paths, await self._fetch(paths), strict=True):
                tips.update({tip.lane: tip for tip in decode_block_file(data).block.tips})
                self.folder.write(path, data)
        old = {each.tip.lane: each.tip.height for each in self.before.lanes}
        for lane, tip in tips.items():
            if tip.height > old.get(lane, 0):
                await self._lane(lane, old.get(lane, 0), tip.height)
        return tips

    async def _lane(self, lane: int, old: int, height: int) -> None:
        for indices in _chunks(old // TILE_WIDTH, (height - 1) // TILE_WIDTH + 1):
            widths = [min(TILE_WIDTH, height - each * TILE_WIDTH) for each in indices]
            paths = [lane_path(lane, *each) for each in zip(indices, widths, strict=True)]
            for path, data in zip(paths, await self._fetch(paths), strict=True):
                self.folder.write(path, data)

    # --- the log ---

    async def _bundles(self, indices: Sequence[int], size: int) -> list[list[bytes]]:
        """The entries of bundles of a log of `size` entries."""
        widths = [min(TILE_WIDTH, size - index * TILE_WIDTH) for index in indices]
        paths = [entries_path(*each) for each in zip(indices, widths, strict=True)]
        found = [decode_entry_bundle(data) for data in await self._fetch(paths)]
        for path, width, entries in zip(paths, widths, found, strict=True):
            if len(entries) != width:
                raise BadProof(f"{path} has {len(entries)} entries")
        return found

    async def _log(self, size: int, tips: dict[int, Tip]) -> ExportState:
        """Hash, check and write the new entries and tiles; the state after them."""
        validators = self.before.validators
        self.sets = {0: validators}
        walk = self._walk(tips)
        for indices in _chunks(self.before.size // TILE_WIDTH, -(-size // TILE_WIDTH)):
            for index, entries in zip(indices, await self._bundles(indices, size), strict=True):
                width = None if len(entries) == TILE_WIDTH else len(entries)
                self.folder.write(
                    entries_path(index, width or TILE_WIDTH), encode_entry_bundle(entries)
                )
                self._grow(index, entries)
                self._follow(walk, index, entries)
            self.progress(min(size, (indices[-1] + 1) * TILE_WIDTH), size)
        for (level, index), row in self.edge.items():
            self.folder.write(tile_path(level, index, len(row) // HASH_BYTES), row)
        if self.pending:
            raise BadProof("the checkpoint does not end with a seal")
        read = self.folder.tiles(size)
        lanes = tuple(LaneState(walk.tips[lane], walk.times[lane]) for lane in sorted(walk.tips))
        root = frontier_of(read, size).root()
        return ExportState(
            self.before.chain,
            size,
            root,
            walk.height,
            walk.name,
            lanes,
            self.sets[-1],
            self.sets[0],
        )

    def _grow(self, index: int, entries: Sequence[bytes]) -> None:
        """Append a bundle's entries to the tiles; full ones are written."""
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        old = self.folder.tiles(self.before.size)
        known = max(0, self.before.size - index * TILE_WIDTH)
        if b"".join(leaves[:known]) != old(0, index)[: known * HASH_BYTES]:
            raise BadProof("the log that was exported before is not its beginning: it was forked")
        changed = append_to_tiles(
            lambda level, at: self.edge.get((level, at)) or old(level, at),
            index * TILE_WIDTH + known,
            leaves[known:],
        )
        for (level, at), row in changed.items():
            if len(row) == TILE_BYTES:
                self.edge.pop((level, at), None)
                self.folder.write(tile_path(level, at), row)
            else:
                self.edge[level, at] = row

    # --- blocks ---

    def _walk(self, tips: dict[int, Tip]) -> Walk:
        before = self.before
        walk = Walk(
            before.chain,
            lambda _: {each.number: each.lane_key for each in self.sets[0]},
            lambda lane, first, last: self.folder.headers(lane, first, last, tips[lane].height),
        )
        if before.size:
            walk.height, walk.name = before.height, before.name
            walk.tips = {each.tip.lane: each.tip for each in before.lanes}
            walk.times = {each.tip.lane: each.time for each in before.lanes}
        return walk

    def _follow(self, walk: Walk, index: int, entries: Sequence[bytes]) -> None:
        """Check the blocks that end among these entries. Of `sets`, −1 is the one that cosigns the
        newest block, 0 the one in force for the next."""
        known = max(0, self.before.size - index * TILE_WIDTH)
        for entry in entries[known:]:
            self.pending.append(entry)
            if entry[:1] != SEAL_KIND:
                continue
            height = walk.height + 1
            if not height and self.pending != [encode_seal(genesis_seal(self.genesis.foundation))]:
                raise BadProof("leaf 0 is not genesis's seal")
            seal = walk.step(self.folder.read(block_path(height)), self.pending)
            self.pending = []
            self.sets[-1] = self.sets[0]
            if seal.validators is not None and (not height or seal.validators != self.sets[0]):
                self._new_set(height, seal.validators)

    def _new_set(self, height: int, validators: tuple[Validator, ...]) -> None:
        foundation = self.genesis.foundation
        epoch = height // foundation.bounds.epoch_blocks + 1
        self.sets[0] = validators
        policy = policy_of(foundation.origin, validators).format()
        self.folder.write(f"policy.d/{epoch}", policy.encode())

    # --- epochs ---

    async def _epochs(self, after: ExportState) -> None:
        """Fetch, check and write the chain of epoch ends that lead to the set in force."""
        foundation = self.genesis.foundation
        ends = await read_chain(self.source, foundation)
        # The source may have gone on meanwhile: what lies beyond the checkpoint is left out.
        ends = [end for end in ends if end.size <= after.size]
        if follow(foundation, ends).validators != after.validators:
            raise BadProof("the chain of epoch ends does not lead to the set in force")
        self.folder.write("epochs", encode_chain(ends))


def _chunks(start: int, stop: int) -> Iterator[range]:
    """Whole numbers from `start` to below `stop`, some at once."""
    for first in range(start, stop, FILES_AT_ONCE):
        yield range(first, min(stop, first + FILES_AT_ONCE))
