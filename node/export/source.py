"""Where an export comes from: a running node's public addresses, or a stopped node's folder.

Both yield the same bytes for the same path. Neither needs a token.
"""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from ledger.block import decode_seal
from ledger.epochs import EpochEnd, decode_chain, encode_chain
from ledger.errors import BadProof, Misconfigured
from ledger.genesis import GENESIS_BYTES_MAX, Foundation, Genesis, check_genesis
from ledger.signing import SigningKey
from node.api.json_records import value_from_json, value_to_json
from node.audit.folder import CONFIG_NAME, FolderLedger
from node.client import Client
from node.config import load_config
from node.keyring import OBSERVER
from node.keystore import key_path, read_seed
from node.publiclog import PublicLog
from node.view import Certificate, Notary

AT_ONCE: Final = 16
"""Files that are asked for at once."""


class Source(Protocol):
    """Files of the public log by their paths, and genesis."""

    async def genesis(self) -> Genesis:
        """The network's genesis; its proofs hold."""
        ...

    async def get(self, path: str) -> bytes:
        """A file of the log."""
        ...

    async def epochs(self, first: int) -> bytes:
        """A page of the chain of epoch ends that lead on from an epoch."""
        ...


class NodeSource:
    """A running node. Use as an async context."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def genesis(self) -> Genesis:
        """The genesis that the node tells; whoever knows the chain id compares it."""
        found = msgspec.json.encode(await self._client.genesis())
        return read_genesis(found)

    async def get(self, path: str) -> bytes:
        """A file of the log."""
        async with self._turns:
            return await self._client.log_file(path)

    async def epochs(self, first: int) -> bytes:
        """A page of the chain of epoch ends that lead on from an epoch."""
        return await self._client.log_file("epochs", {"from": str(first)})


class FolderSource:
    """A stopped node's folder: its store, and its log key, which signs the newest checkpoint."""

    def __init__(self, folder: Path) -> None:
        path = folder if folder.is_file() else folder / CONFIG_NAME
        if not path.is_file():
            raise Misconfigured(
                f"{folder} holds no {CONFIG_NAME}: name the node's folder; the checkpoint is "
                "signed with the log key that its configuration names"
            )
        config = load_config(path)
        path = key_path(config.keys, "log")  # an observer has none, and kept a member's lines
        is_observer = (config.keys / OBSERVER).exists()
        key = None if is_observer else SigningKey.from_seed(read_seed(path))
        self._ledger = FolderLedger(folder)
        self._genesis = self._ledger.genesis()
        foundation, reader = self._genesis.foundation, self._ledger.stored
        newest = Notary(foundation.origin, key, reader).newest()
        if newest is None:
            self._ledger.stored.close()
            raise Misconfigured(f"{folder} has no certified checkpoint yet: there is no log")
        self._newest: Certificate = newest
        self._public = PublicLog(reader, foundation.origin, foundation.bounds.epoch_blocks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ledger.stored.close()

    async def genesis(self) -> Genesis:
        """The genesis of the node's configuration."""
        return self._genesis

    async def get(self, path: str) -> bytes:
        """A file of the log."""
        if path == "checkpoint":
            return self._newest.note
        return self._public.read(path, self._newest)

    async def epochs(self, first: int) -> bytes:
        """A page of the chain of epoch ends that lead on from an epoch."""
        return encode_chain(self._public.leading(self._newest, first))


def read_genesis(data: bytes) -> Genesis:
    """A genesis in its JSON form, checked.

    Raises:
        InvalidInput: it is none, or its members, proofs or bounds do not hold.
    """
    genesis = value_from_json(Genesis, data, bytes_max=4 * GENESIS_BYTES_MAX)
    check_genesis(genesis)
    return genesis


def format_genesis(genesis: Genesis) -> bytes:
    """The JSON form of a genesis, one object with a newline."""
    return msgspec.json.encode(value_to_json(genesis)) + b"\n"


async def read_chain(source: Source, foundation: Foundation) -> list[EpochEnd]:
    """All pages of a source's chain of epoch ends; nothing is verified.

    Raises:
        Malformed: a page is not in its one form.
    """
    ends: list[EpochEnd] = []
    first = 1
    while page := decode_chain(await source.epochs(first)):
        ends += page
        ended = decode_seal(page[-1].seal).height // foundation.bounds.epoch_blocks
        if ended < first:
            raise BadProof("a page of epoch ends does not lead on")
        first = ended + 1
    return ends
