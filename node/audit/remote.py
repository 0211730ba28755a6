"""A running node's ledger, as an audit fetches it with a member's token.

It reaches up to the checkpoint that the node serves when the audit begins. Pages of blocks and
batches are fetched as the replay asks for them, and each item is forgotten once it has been given.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from ledger.batch import Batch
from ledger.checkpoint import Checkpoint
from ledger.encoding import decode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.genesis import Genesis
from ledger.note import parse_note
from ledger.residue import AnyBatch, RemainsForm
from ledger.rows import BlockRow, CheckpointRow
from node.audit.folder import Certificates
from node.client import Client, ProblemAnswered, StrangeAnswer
from node.network import parse_genesis

T = TypeVar("T")

BLOCK_ROW_BYTES_MAX: Final = 64 * 1_024 * 1_024
PAGE_ITEMS: Final = 256
BATCH_FRAME_FACTOR: Final = 2
SERVER_FAULT: Final = 500

_WHOLE: Final = b"\x93"
"""How a whole batch begins; what remains of one has a fourth field."""


class RemoteLedger:
    """The ledger of a node at a URL. `note` is the checkpoint that bounds the audit."""

    stored: None = None

    def __init__(self, url: str, token: str) -> None:
        self._runner = asyncio.Runner()
        self.client = self._runner.run(_client(url, token))
        self.note = b""

    def __enter__(self) -> Self:
        try:
            self.ask(self.client.__aenter__())
            self.note = self.ask(self.client.checkpoint())
            self._genesis = parse_genesis(msgspec.json.encode(self.ask(self.client.genesis())))
            self._size = Checkpoint.parse(parse_note(self.note).text).size
            self.source = RemoteSource(self, self._size)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._runner.run(self.client.__aexit__(None, None, None))
        self._runner.close()

    def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer of the client.

        Raises:
            StandingError: the node cannot be reached, or answers with a problem.
        """
        return self._runner.run(question)

    def genesis(self) -> Genesis:
        """The genesis that the node serves."""
        return self._genesis

    def size(self) -> int:
        """How many entries the audited log has."""
        return self._size

    def certificates(self, above: int = 0) -> Certificates:
        """The certified checkpoints that came with the blocks above a height."""
        found = self.source.certificates
        rows = {height: row for height, row in found.rows.items() if height > above}
        return Certificates(rows, found.damaged)

    def go_on(self, lanes: Mapping[int, int]) -> None:
        """Ask for batches above these heights only."""
        self.source.go_on(lanes)

    def check_format(self) -> None:
        """A remote store's format is its own affair."""


class RemoteSource:
    """Blocks and batches of a node, as `ledger.replay` asks for them."""

    def __init__(self, ledger: RemoteLedger, size_max: int) -> None:
        self._ledger = ledger
        self._size_max = size_max
        self._batch_bytes_max = (
            BATCH_FRAME_FACTOR * ledger.genesis().foundation.bounds.batch_bytes_max
        )
        self._blocks: dict[int, BlockRow] = {}
        self._batches: dict[tuple[int, int], bytes] = {}
        self._reached: dict[int, int] = {}
        self.certificates = Certificates({}, [])

    def go_on(self, lanes: Mapping[int, int]) -> None:
        """Batches up to these heights, by lane, will not be asked for."""
        self._reached.update(lanes)

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the checkpoint that is audited.

        Raises:
            StoreDamaged: what is served is not a block row.
        """
        if height >= self._size_max:  # each block has an entry of its own, genesis the first
            return None
        if height not in self._blocks:
            self._fetch_blocks(height)
        row = self._blocks.pop(height, None)
        return None if row is None or row.size > self._size_max else row

    def _fetch_blocks(self, start: int) -> None:
        page = self._page(self._ledger.client.blocks(start, PAGE_ITEMS), f"blocks from {start}")
        for height, data, certified in page:
            row = _decode(BlockRow, data, BLOCK_ROW_BYTES_MAX, f"block {height} as served")
            self._blocks[height] = row
            if certified is not None and row.size <= self._size_max:
                where = f"checkpoint row {height} as served"
                self.certificates.rows[height] = _decode(
                    CheckpointRow, certified, BLOCK_ROW_BYTES_MAX, where
                )

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch at a lane's height; replay checks that it is the one of this name.

        Raises:
            StoreDamaged: what is served is not a batch.
        """
        while self._reached.get(lane, 0) < height:
            start = self._reached.get(lane, 0) + 1
            question = self._ledger.client.batches(lane, start, PAGE_ITEMS)
            page = self._page(question, f"batches of lane {lane} from {start}")
            if not page:
                return None
            self._batches.update({(lane, start + at): data for at, data in enumerate(page)})
            self._reached[lane] = start + len(page) - 1
        data = self._batches.pop((lane, height), None)
        where = f"batch {lane}/{height} (header {name.hex()}) as served"
        if data is None:
            return None
        if data[:1] == _WHOLE:
            return _decode(Batch, data, self._batch_bytes_max, where)
        return _decode(RemainsForm, data, self._batch_bytes_max, where).opened()

    def _page(self, question: Coroutine[Any, Any, list[T]], where: str) -> list[T]:
        """A page; that a node cannot read its own store, or serves no page, is a finding."""
        try:
            return self._ledger.ask(question)
        except StrangeAnswer as error:
            raise StoreDamaged(where, str(error)) from error
        except ProblemAnswered as error:
            if error.status < SERVER_FAULT:
                raise
            raise StoreDamaged(where, f"the node answers: {error}") from error


async def _client(url: str, token: str) -> Client:
    return Client(url, token)


def _decode(kind: type[T], data: bytes, bytes_max: int, where: str) -> T:
    try:
        return decode(kind, data, bytes_max=bytes_max, what="what is served")
    except InvalidInput as error:
        raise StoreDamaged(where, str(error)) from error
