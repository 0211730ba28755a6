"""The audit of the public side: what anybody can check who is no member and has no token.

It fetches, or reads, everything under a log's prefix and checks it as an export does
(`node/export/run.py`): genesis's proofs; each entry against the tiles and the checkpoint's root;
blocks, refusal lists and signed batch headers against the entries, so that no record under a cut
was left out or made up; the chain of validator sets; the checkpoint's quorum. Besides, that the
policy is the one the ledger leads to, and that a checkpoint kept from earlier is contained.

What stands in the records, how they were judged, files, scores and index roots are the members' to
check: `UNCHECKED` says so in every report.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from ledger.beside import block_path, decode_block_file
from ledger.checkpoint import Checkpoint
from ledger.encoding import decode
from ledger.epochs import decode_chain, encode_chain, follow
from ledger.errors import InvalidInput, Misconfigured
from ledger.genesis import Genesis, chain_id
from ledger.merkle import consistency_proof, verify_consistency
from ledger.policy import Policy
from ledger.source import Finding
from ledger.tiles import TileReader
from node.audit.checkpoints import set_faults
from node.export.folder import CHECKPOINT, STATE, STATE_BYTES_MAX, ExportState, Folder
from node.export.run import export_log
from node.export.source import Source, read_genesis

GENESIS: Final = "genesis.json"
UNCHECKED: Final = (
    "the payloads: what records say, their own signatures, by which rules they were refused",
    "execution: index roots, files, tallies, scores",
    "what a node stores",
)

Progress = Callable[[int, int], None]


class ExportedSource:
    """An exported log's folder, as `standing export log` writes it. A `node.export.Source`."""

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._root = folder

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder looks like an exported log."""
        return (folder / CHECKPOINT).is_file() and (folder / GENESIS).is_file()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def genesis(self) -> Genesis:
        """The genesis in the folder."""
        return read_genesis(self._folder.read(GENESIS))

    async def get(self, path: str) -> bytes:
        """A file of the log; empty if there is none."""
        return self._folder.read(path)

    async def epochs(self, first: int) -> bytes:
        """The whole chain of epoch ends, as one page."""
        return self._folder.read("epochs") if first == 1 else encode_chain(())


class PublicReport:
    """What an audit of the public side found."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.chain = b""
        self.records = 0
        self.blocks = 0
        self.size = 0
        self.root = b""
        self.time = 0


async def audit_public(
    source: Source, policy: Policy, where: str, kept: Checkpoint | None, on_progress: Progress
) -> PublicReport:
    """Audit the public side of a log; the first thing that does not hold ends it.

    Raises:
        StandingError: the source cannot be reached.
    """
    report = PublicReport()
    with tempfile.TemporaryDirectory(prefix="standing-audit-") as place:
        folder = Path(place) / "log"
        try:
            genesis = await source.genesis()
            report.chain = chain_id(genesis.foundation)
            done = await export_log(source, folder, on_progress)
        except InvalidInput as error:
            report.findings.append(Finding("public", where, str(error)))
            return report
        report.blocks, report.size, report.root = done.height, done.size, done.root
        report.records = done.size - done.height - 1
        report.time = _newest_time(folder, done.height)
        report.findings += _policy_findings(folder, genesis, policy)
        if kept is not None:
            report.findings += _contains(folder, done.size, done.root, kept)
    return report


def _newest_time(folder: Path, height: int) -> int:
    return decode_block_file(Folder(folder).read(block_path(height))).block.time


def _policy_findings(folder: Path, genesis: Genesis, policy: Policy) -> list[Finding]:
    """The policy given is that of the set which the ledger leads to from genesis."""
    files = Folder(folder)
    foundation = genesis.foundation
    trusted = follow(foundation, decode_chain(files.read("epochs")))
    state = decode(ExportState, files.read(STATE), bytes_max=STATE_BYTES_MAX, what=STATE)
    if trusted.validators not in (state.signers, state.validators):
        raise Misconfigured("the exported state contradicts its own epochs")
    return list(set_faults(policy, foundation.origin, state.signers))


def _contains(folder: Path, size: int, root: bytes, kept: Checkpoint) -> list[Finding]:
    """The log contains a checkpoint from earlier."""
    where = "the checkpoint that was kept"
    if kept.size > size:
        detail = f"has {kept.size} entries, the log {size}: it was rolled back"
        return [Finding("checkpoint", where, detail)]
    read_node = TileReader(Folder(folder).tiles(size)).read_node
    try:
        proof = consistency_proof(read_node, kept.size, size)
        verify_consistency(kept.size, size, kept.root, root, proof)
    except InvalidInput as error:
        return [Finding("checkpoint", where, f"is not of this log: {error}")]
    return []
