"""What a store's log and index say of themselves, without executing anything."""

from collections.abc import Iterator
from typing import Final

from ledger.block import SEAL_KIND, decode_seal
from ledger.errors import InvalidInput, StoreDamaged
from ledger.files import entry_of_row
from ledger.hashing import HASH_BYTES
from ledger.merkle import SIZE_MAX, leaf_hash
from ledger.rows import describe_key, leaf_key, tile_key
from ledger.source import Finding
from ledger.store import LEAF, Reader, after
from ledger.tiles import TILE_WIDTH
from ledger.window import load_index, undo_rows

_KIND: Final = "row"


def check_log(stored: Reader) -> Iterator[Finding]:
    """Entries against the tiles of level 0, and the index against the newest seal."""
    newest_seal, tile, tile_index = b"", b"", -1
    try:
        for key, data in stored.scan(LEAF, after(LEAF)):
            log_index = int.from_bytes(key[1:])
            if key != leaf_key(min(log_index, SIZE_MAX)):
                yield Finding(_KIND, describe_key(key), "should not be there")
                continue
            if log_index // TILE_WIDTH != tile_index:
                tile_index = log_index // TILE_WIDTH
                tile = stored.get(tile_key(0, tile_index)) or b""
            at = log_index % TILE_WIDTH * HASH_BYTES
            try:
                entry = entry_of_row(key, data)
            except StoreDamaged as error:
                yield Finding(_KIND, error.where, str(error))
                continue
            if leaf_hash(entry) != tile[at : at + HASH_BYTES]:
                detail = f"contradicts {describe_key(tile_key(0, tile_index))}"
                yield Finding(_KIND, describe_key(key), detail)
            if data[:1] == SEAL_KIND:
                newest_seal = data
        index_root = load_index(stored, 1, 0).root()
    except StoreDamaged as error:
        yield Finding(_KIND, error.where, str(error))
        return
    try:
        seal = decode_seal(newest_seal)
    except InvalidInput as error:
        yield Finding(_KIND, "the newest seal", str(error))
        return
    if index_root != seal.index_root:
        detail = "do not yield the index root of the newest seal"
        yield Finding("index", "subject rows and summary rows", detail)


def check_undo(stored: Reader) -> Iterator[Finding]:
    """The rows of the index's window, by themselves: no replay yields which ones there are."""
    try:
        for _ in undo_rows(stored):
            pass
    except StoreDamaged as error:
        yield Finding(_KIND, error.where, str(error))
