"""The folder of an exported log: files that are whole or not there, and how far it is complete."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger import merkle
from ledger.beside import decode_headers, lane_path
from ledger.block import Tip
from ledger.encoding import Hash, TimeMs, Uint, Value, decode, encode
from ledger.errors import BadProof, Malformed, Misconfigured
from ledger.hashing import ZERO_HASH
from ledger.membership import Validator
from ledger.rows import HeaderRow
from ledger.tiles import TILE_WIDTH, frontier_of, tile_path, tile_width

STATE: Final = ".exported"
CHECKPOINT: Final = "checkpoint"
STATE_BYTES_MAX: Final = 4 * 1_024 * 1_024
FILE_BYTES_MAX: Final = 64 * 1_024 * 1_024


class LaneState(Value):
    """How far a lane reaches, and the time of its newest header."""

    tip: Tip
    time: TimeMs


class ExportState(Value):
    """How far a folder is complete and checked: the log, the newest block and the lanes. `signers`
    is the set that cosigned the checkpoint, `validators` the one in force for the next block."""

    chain: Hash
    size: Uint
    root: Hash
    height: Uint
    name: Hash
    lanes: tuple[LaneState, ...]
    signers: tuple[Validator, ...]
    validators: tuple[Validator, ...]


def nothing_yet(chain: bytes, validators: tuple[Validator, ...]) -> ExportState:
    """The state of a new folder."""
    return ExportState(chain, 0, merkle.EMPTY_ROOT, 0, ZERO_HASH, (), validators, validators)


@dataclass(slots=True)
class Folder:
    """Writes files whole or not at all; `files` and `size_bytes` count what was written."""

    root: Path
    files: int = 0
    size_bytes: int = 0
    _partial: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Make the folder, if it is not there.

        Raises:
            Misconfigured: it holds something else.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        others = [each.name for each in self.root.iterdir()]
        if others and STATE not in others and "genesis.json" not in others:
            raise Misconfigured(f"{self.root} holds other files ({min(others)}); name a new folder")

    def write(self, path: str, data: bytes, *, sync: bool = False) -> None:
        """Put a file in its place at once; `sync`: on disk when this returns."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(place.name + ".new")
        with draft.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(place)
        self.files += 1
        self.size_bytes += len(data)
        if place.with_name(place.name + ".p").is_dir():
            self._partial.append(path + ".p")

    def read(self, path: str) -> bytes:
        """A file's bytes; empty if there is none."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(FILE_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def tiles(self, size: int) -> Callable[[int, int], bytes]:
        """Reads the rows of a log of `size` entries out of the folder."""
        return lambda level, index: self.read(
            tile_path(level, index, tile_width(level, index, size) or TILE_WIDTH)
        )

    def headers(self, lane: int, first: int, last: int, tip: int) -> list[HeaderRow]:
        """The signed headers of heights of a lane whose files reach up to height `tip`."""
        rows: list[HeaderRow] = []
        for index in range((first - 1) // TILE_WIDTH, (last - 1) // TILE_WIDTH + 1):
            begin = index * TILE_WIDTH + 1
            data = self.read(lane_path(lane, index, min(TILE_WIDTH, tip + 1 - begin)))
            found = decode_headers(data)
            rows += found[max(0, first - begin) : last + 1 - begin]
        return rows

    def state(self, chain: bytes, validators: tuple[Validator, ...]) -> ExportState:
        """How far the folder is; its tiles lead to the root that it says.

        Raises:
            Misconfigured: it is another network's, or damaged.
        """
        data = self.read(STATE)
        if not data:
            return nothing_yet(chain, validators)
        try:
            found = decode(ExportState, data, bytes_max=STATE_BYTES_MAX, what=STATE)
            grown = frontier_of(self.tiles(found.size), found.size)
        except (Malformed, BadProof) as error:
            raise Misconfigured(
                f"{self.root} is damaged ({error}); export to a new folder"
            ) from error
        if found.chain != chain:
            raise Misconfigured(f"{self.root} holds another network's log; name a new folder")
        if grown.root() != found.root:
            raise Misconfigured(f"{self.root} has damaged tiles; export to a new folder")
        return found

    def close(self, state: ExportState, note: bytes) -> None:
        """Everything is written: say so, the checkpoint last; then drop partial files whose full
        ones are there."""
        os.sync()
        self.write(STATE, encode(state), sync=True)
        self.write(CHECKPOINT, note, sync=True)
        for path in self._partial:
            shutil.rmtree(self.root / path, ignore_errors=True)
