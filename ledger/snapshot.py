"""A snapshot: the state's rows after an epoch's last block, cut into chunks that any peer can give.

    chunk    = [[key, value], …]            state rows, ascending by key
    manifest = [chain id, height, size, root, [[first key, bytes, rows, chunk hash], …]]

    chunk hash = SHA-256("standing/chunk/v1" ‖ 0x00 ‖ chain id ‖ chunk)
    digest     = SHA-256("standing/manifest/v1" ‖ 0x00 ‖ chain id ‖ manifest)

`height` is that of the block, a multiple of `epoch_blocks`; `size` and `root` are its checkpoint's.
The chunks follow each other without a gap: one holds all state rows from its first key up to the
next one's. A chunk is full when the next row would bring its keys and values above `CHUNK_BYTES`;
a row is never split, so one that is larger stands alone. `bytes` counts keys and values.

*State rows* are what execution writes, and nothing else; all honest nodes hold the same:

| in it | why |
|---|---|
| `L` `B` `E` `T` `F` `W` `G` `P` `R` `Q` `D` `U` `V` `X` `O` `J` `A` | follow from blocks |
| `M` "head", "parameters/…", "validators/…" | likewise |

| not in it | why |
|---|---|
| `M` "genesis" | whoever takes a snapshot has its own: the chain id names it, but for the proofs |
| `M` "format", "slots" | of the one store |
| `H` `S` `Y` | batches: fetched and checked by the first gate, and erased at different times |
| `C` | certificates: which q of n have signed differs from node to node |
| `Z` | as far as the node keeps a window |
| `K` `N` | the node's own |

One kind of state row tells of the past: where a refused record was executed as its residue, `J`
rows stand under the erasure that took it, until that erasure's own block. Between the two blocks
such a store differs from one that has executed the opening, so it gives no snapshot of that time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain as chained
from itertools import pairwise
from operator import lt
from typing import Annotated, Final

import msgspec

from ledger.encoding import Hash, Uint, Value, decode, encode
from ledger.errors import BadProof, InvalidInput
from ledger.hashing import sha256
from ledger.rows import HEAD_KEY, parameters_key, validators_key
from ledger.store import (
    BLOCK,
    DIRTY,
    DUE,
    ENGAGEMENT,
    ERASURE,
    FILE,
    GOVERNANCE,
    LANE,
    LEAF,
    PAIR,
    PLATFORM,
    RATER,
    RECORD,
    REFUSED,
    SUBJECT,
    SUMMARY,
    TILE,
    Reader,
    after,
)

CHUNK_BYTES: Final = 512 * 1_024
"""Keys and values of a chunk, unless its one row is longer."""
CHUNK_BYTES_MAX: Final = 7 * 1_024 * 1_024
"""An encoded chunk. A store with a longer row gives no snapshot."""
MANIFEST_BYTES_MAX: Final = 8 * 1_024 * 1_024 - 1_024
"""An encoded manifest: some 70,000 chunks, 35 GB."""
CHUNKS_MAX: Final = 131_072
KEY_BYTES_MAX: Final = 128
TURN_ROWS: Final = 512
"""After so many rows whoever reads them may do other things."""

Row = tuple[bytes, bytes]

STATE: Final = tuple(
    sorted(
        (
            GOVERNANCE,
            BLOCK,
            DIRTY,
            LEAF,
            FILE,
            ENGAGEMENT,
            REFUSED,
            LANE,
            HEAD_KEY,
            parameters_key(b""),
            validators_key(0)[:-8],
            ERASURE,
            PAIR,
            PLATFORM,
            RATER,
            TILE,
            SUMMARY,
            DUE,
            SUBJECT,
            RECORD,
        )
    )
)
"""What the keys of state rows begin with, ascending; HEAD_KEY is a whole key."""

_CHUNK_CONTEXT: Final = b"standing/chunk/v1\0"
_MANIFEST_CONTEXT: Final = b"standing/manifest/v1\0"
_REFUSED_RESIDUE: Final = REFUSED + bytes(4)


class Chunk(Value):
    """What a manifest tells of a chunk; `bytes` of its keys and values."""

    first: Annotated[bytes, msgspec.Meta(min_length=1, max_length=KEY_BYTES_MAX)]
    bytes: Uint
    rows: Annotated[int, msgspec.Meta(ge=1, le=2**32)]
    hash: Hash


class Manifest(Value):
    """What a snapshot consists of."""

    chain: Hash
    height: Uint
    size: Uint
    root: Hash
    chunks: Annotated[tuple[Chunk, ...], msgspec.Meta(min_length=1, max_length=CHUNKS_MAX)]


def is_state(key: bytes) -> bool:
    """Whether the row under a key is a state row."""
    prefix = _prefix_of(key)
    return key == HEAD_KEY if prefix == HEAD_KEY else bool(prefix) and key.startswith(prefix)


def _prefix_of(key: bytes) -> bytes:
    """The highest of STATE that is not above a key; empty: there is none."""
    at = bisect_right(STATE, key) - 1
    return STATE[at] if at >= 0 else b""


def _end_of(prefix: bytes) -> bytes:
    """The first key behind those of a prefix in STATE."""
    return HEAD_KEY + b"\0" if prefix == HEAD_KEY else after(prefix)


def _are_state(keys: Sequence[bytes]) -> bool:
    """Whether the rows under all these keys, ascending, are state rows."""
    at = 0
    while at < len(keys):
        if not is_state(keys[at]):
            return False
        at = bisect_left(keys, _end_of(_prefix_of(keys[at])), at)
    return True


def state_rows(reader: Reader, start: bytes = b"", stop: bytes | None = None) -> Iterator[Row]:
    """All state rows with start ≤ key < stop, ascending by key.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    for prefix in STATE:
        end = _end_of(prefix)
        low, high = max(prefix, start), end if stop is None else min(end, stop)
        if low < high:
            yield from reader.scan(low, high)


def cut_chunks(rows: Iterable[Row]) -> Iterator[list[Row] | None]:
    """The chunks of rows in order; every TURN_ROWS rows None, where others may have a turn."""
    chunk: list[Row] = []
    room = CHUNK_BYTES
    for nth, row in enumerate(rows, 1):
        key, value = row
        room -= len(key) + len(value)
        if room < 0 and chunk:
            yield chunk
            chunk, room = [], CHUNK_BYTES - len(key) - len(value)
        chunk.append(row)
        if nth % TURN_ROWS == 0:
            yield None
    if chunk:
        yield chunk


def make_manifest(
    reader: Reader, chain: bytes, height: int, size: int, root: bytes
) -> Generator[None, None, Manifest]:
    """The manifest of the state in a reader, in turns of at most a chunk.

    Raises:
        InvalidInput: this state cannot be given: too large, or see above.
        StoreDamaged: a row cannot be read.
    """
    for _ in reader.scan(_REFUSED_RESIDUE, after(_REFUSED_RESIDUE)):
        raise InvalidInput("an erasure is under way whose refused records are residues already")
    chunks: list[Chunk] = []
    room = MANIFEST_BYTES_MAX - 128
    for rows in cut_chunks(state_rows(reader)):
        yield
        if rows is None:
            continue
        chunks.append(_describe(chain, rows))
        room -= len(encode(chunks[-1]))
        if room < 0 or len(chunks) > CHUNKS_MAX:
            raise InvalidInput(f"the manifest has more than {MANIFEST_BYTES_MAX} bytes")
    if not chunks:
        raise InvalidInput("there is no state")
    return Manifest(chain, height, size, root, tuple(chunks))


def _describe(chain: bytes, rows: Sequence[Row]) -> Chunk:
    data = encode_chunk(rows)
    if len(data) > CHUNK_BYTES_MAX:
        raise InvalidInput(f"a row has more than {CHUNK_BYTES_MAX} bytes")
    return Chunk(rows[0][0], _bytes_of(rows), len(rows), chunk_hash(chain, data))


def _bytes_of(rows: Iterable[Row]) -> int:
    return sum(map(len, chained.from_iterable(rows)))


def encode_chunk(rows: Sequence[Row]) -> bytes:
    """A chunk's bytes."""
    return encode(rows)


def chunk_hash(chain: bytes, data: bytes) -> bytes:
    """What a manifest names a chunk by."""
    return sha256(_CHUNK_CONTEXT, chain, data)


def manifest_digest(manifest: Manifest) -> bytes:
    """What givers of a snapshot agree on."""
    return sha256(_MANIFEST_CONTEXT, manifest.chain, encode(manifest))


def check_manifest(manifest: Manifest, chain: bytes, height: int, size: int, root: bytes) -> None:
    """Demand that a manifest is one of this chain's state at a checkpoint.

    Raises:
        BadProof: it is of another chain, height or log, or its chunks are not in order.
    """
    told = (manifest.chain, manifest.height, manifest.size, manifest.root)
    if told != (chain, height, size, root):
        raise BadProof("the manifest is of another checkpoint")
    chunks = manifest.chunks
    if not all(each.first < later.first for each, later in pairwise(chunks)):
        raise BadProof("the manifest's chunks are not in order")
    if not all(is_state(each.first) for each in chunks):
        raise BadProof("the manifest names keys of no state row")
    if any(each.bytes > CHUNK_BYTES and each.rows > 1 for each in chunks):
        raise BadProof(f"a chunk of the manifest has more than {CHUNK_BYTES} bytes")


def stop_of(manifest: Manifest, index: int) -> bytes | None:
    """The first key behind a chunk's part of all keys; None: it is the last."""
    return manifest.chunks[index + 1].first if index + 1 < len(manifest.chunks) else None


def chunk_in_turns(reader: Reader, manifest: Manifest, index: int) -> Generator[None, None, bytes]:
    """A chunk's bytes, from the state that the manifest was made of, in turns of TURN_ROWS.

    Raises:
        StoreDamaged: a row cannot be read.
    """
    rows: list[Row] = []
    for row in state_rows(reader, manifest.chunks[index].first, stop_of(manifest, index)):
        rows.append(row)
        if len(rows) % TURN_ROWS == 0:
            yield
    return encode_chunk(rows)


def read_chunk(reader: Reader, manifest: Manifest, index: int) -> bytes:
    """`chunk_in_turns`, all at once."""
    turns = chunk_in_turns(reader, manifest, index)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            data: bytes = end.value
            return data


def decode_chunk(manifest: Manifest, index: int, data: bytes) -> list[Row]:
    """The rows of a chunk that somebody gave.

    Raises:
        BadProof: it is not the chunk that the manifest names, or the manifest's word on it is not
            true.
        Malformed: it is no chunk at all.
    """
    named = manifest.chunks[index]
    if chunk_hash(manifest.chain, data) != named.hash:
        raise BadProof(f"chunk {index} is another than the manifest names")
    rows = decode(list[Row], data, bytes_max=CHUNK_BYTES_MAX, what="chunk")
    stop = stop_of(manifest, index)
    told = (named.first, named.rows, named.bytes)
    if not rows or told != (rows[0][0], len(rows), _bytes_of(rows)):
        raise BadProof(f"chunk {index} is not what the manifest tells of it")
    keys = [key for key, _ in rows]
    if not all(map(lt, keys, keys[1:])):
        raise BadProof(f"chunk {index} is not in order")
    if max(map(len, keys)) > KEY_BYTES_MAX or not _are_state(keys):
        raise BadProof(f"chunk {index} holds what is no state row")
    if stop is not None and rows[-1][0] >= stop:
        raise BadProof(f"chunk {index} reaches into the next one")
    return rows
