"""Receipts: the proof that a record stands in the log under the newest certified checkpoint."""

from ledger.encoding import encode
from ledger.files import entry_at, read_leaf, read_submission
from ledger.merkle import inclusion_proof
from ledger.receipt import format_receipt
from ledger.rows import tile_key
from ledger.store import Reader
from ledger.tiles import TileReader
from node.view import Certificate


def receipt_of(reader: Reader, certified: Certificate, log_index: int) -> bytes:
    """The receipt of the record at a log index below the checkpoint's size.

    Its `extra` is the entry, then the opening [salt, record, signatures], unless the ledger has
    erased the record or this node does not hold it.
    """
    row = read_leaf(reader, log_index)
    opening = None
    if row.erasure is None:
        opening = read_submission(reader, row.lane, row.height, row.position)
    tiles = TileReader(lambda level, index: reader.get(tile_key(level, index)) or b"")
    proof = inclusion_proof(tiles.read_node, log_index, certified.size)
    extra = entry_at(reader, log_index) + (encode(opening) if opening is not None else b"")
    return format_receipt(extra, log_index, proof, certified.note)
