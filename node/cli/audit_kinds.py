"""What `standing audit` does beside the replay: the public side, nodes compared, a fork's proof."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ledger.checkpoint import Checkpoint
from ledger.errors import InvalidInput, Misconfigured
from ledger.fork import FORK_BYTES_MAX, Fork, decode_fork, encode_fork, verify_fork
from ledger.hashing import sha256
from ledger.policy import Policy
from node.audit.against import compare_nodes
from node.audit.public import UNCHECKED, ExportedSource, audit_public
from node.audit.report import Finding, Report
from node.cli.output import print_json, stdout
from node.cli.verify import read_bytes
from node.export.source import FolderSource, NodeSource

Progress = Callable[[int, int], None]
PublicSource = NodeSource | FolderSource | ExportedSource

PROOF_SUFFIX: Final = ".fork"


def is_url(target: str) -> bool:
    """Whether a target is a node's address."""
    return target.startswith(("http://", "https://"))


def source_of(target: str) -> PublicSource:
    """Where the public side of a target is read: a URL, an exported log, a stopped node's folder.

    Raises:
        Misconfigured: it is none of these.
    """
    if is_url(target):
        return NodeSource(target)
    folder = Path(target)
    return ExportedSource(folder) if ExportedSource.is_at(folder) else FolderSource(folder)


def public_report(
    target: str, policy: Policy, command: str, kept: Checkpoint | None, on_progress: Progress
) -> Report:
    """Audit the public side of a target."""

    async def whole() -> Any:
        async with source_of(target) as source:
            return await audit_public(source, policy, target, kept, on_progress)

    found = asyncio.run(whole())
    return Report(
        records=found.records,
        blocks=found.blocks,
        checkpoints=int(bool(found.size)),
        scores=0,
        erased=0,
        size=found.size,
        root=found.root,
        time=found.time,
        findings=tuple(
            Finding("error", each.kind, each.where, each.detail, command) for each in found.findings
        ),
        height=found.blocks,
        unchecked=UNCHECKED,
    )


def against(
    target: str, others: Sequence[str], policy: Policy, policy_path: Path, proofs: Path | None
) -> list[Finding]:
    """Compare the target's checkpoint with each other's; proofs of forks are written to `proofs`.

    Raises:
        StandingError: a node cannot be reached, or a proof not be written.
    """
    findings = []
    for other in others:
        compared = asyncio.run(_compare(target, other, policy))
        again = f"standing audit {target} --against {other} --policy {policy_path}"
        severity: Any = "critical" if compared.fork else "error"
        culprits = ""
        if compared.fork is not None:
            proven = verify_fork(compared.fork, policy)
            culprits = f"; signed by both sides: {', '.join(proven.culprits) or 'nobody'}"
            if proofs is None:
                culprits += "; name a folder with --proofs to keep the proof"
            else:
                path = _write(proofs, compared.fork)
                again = f"standing audit --proof {path} --policy {policy_path}"
        for each in compared.findings:
            detail = each.detail + culprits
            findings.append(Finding(severity, each.kind, each.where, detail, again))
    return findings


async def _compare(target: str, other: str, policy: Policy) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        ours, theirs = source_of(target), source_of(other)
        await stack.enter_async_context(ours)
        await stack.enter_async_context(theirs)
        return await compare_nodes(policy, (target, ours), (other, theirs))


def _write(folder: Path, fork: Fork) -> Path:
    data = encode_fork(fork)
    path = folder / (sha256(data).hex()[:16] + PROOF_SUFFIX)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from error
    return path


def check_proof(path: Path, policy: Policy, *, as_json: bool) -> bool:
    """Verify the proof of a fork again, offline, and show it; whether it holds."""
    data = read_bytes(path, FORK_BYTES_MAX, what="proof")
    try:
        proven = verify_fork(decode_fork(data), policy)
    except InvalidInput as error:
        if as_json:
            print_json({"valid": False, "detail": str(error)})
        else:
            stdout.print(f"NOT VALID: {error}", style="red", markup=False)
        return False
    sides = [
        {"checkpoint_size": each.size, "root": each.root.hex()}
        for each in (proven.first, proven.second)
    ]
    if as_json:
        print_json(
            {
                "valid": True,
                "origin": proven.first.origin,
                "checkpoints": sides,
                "culprits": list(proven.culprits),
            }
        )
        return True
    stdout.print(f"a fork of {proven.first.origin}, proven:", markup=False)
    for side in sides:
        line = f"    {side['checkpoint_size']} entries, root {side['root']}"
        stdout.print(line, markup=False, soft_wrap=True)
    stdout.print("who signed both:", markup=False)
    for name in proven.culprits:
        stdout.print(f"    {name}", markup=False, soft_wrap=True)
    return True
