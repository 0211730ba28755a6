"""Every frozen file by its name, made anew."""

from collections.abc import Callable

from tests.vectors import frozen, frozen_ledger, frozen_members, frozen_outlook, frozen_proofs
from tests.vectors.frozen import Case, written

ABOUT: dict[str, tuple[str, Callable[[], list[Case]]]] = {
    "record": ("Records (ledger/README.md, section 2).", frozen.records),
    "batch": ("Submissions, commitments, roots (ledger/README.md, section 3).", frozen.batches),
    "header": ("Batch headers (ledger/README.md, section 3).", frozen.headers),
    "entry": ("Entries of the log (ledger/README.md, section 5).", frozen.entries),
    "seal": ("Blocks and seals (ledger/README.md, section 4).", frozen.seals),
    "ledger": (
        "A ledger executed, with erasures, and their residues (ledger/README.md, sections 6 to 9).",
        frozen_ledger.ledger,
    ),
    "certificate": (
        "Link certificates (ledger/README.md, section 11).",
        frozen_members.certificates,
    ),
    "evidence": ("Evidence (ledger/README.md, section 6).", frozen_members.evidence),
    "binding": ("Changes that bind (ledger/README.md, section 7).", frozen_members.bindings),
    "policy": ("Policies (ledger/README.md, section 10).", frozen_proofs.policies),
    "checkpoint": (
        "Checkpoints by the strict and the tolerant rule (ledger/README.md, section 10).",
        frozen_proofs.checkpoints,
    ),
    "receipt": ("Receipts (ledger/README.md, section 10).", frozen_proofs.receipts),
    "bundle": ("Bundles (ledger/bureau/README.md, section 8).", frozen_proofs.bundles),
    "score": ("Scores (ledger/bureau/README.md, sections 1 to 7).", frozen_proofs.scores),
    "outlook": (
        "What stands beside an answer (ledger/bureau/README.md, section 10).",
        frozen_outlook.outlooks,
    ),
}


def files() -> dict[str, str]:
    """The text of every file."""
    return {name: written(about, make()) for name, (about, make) in ABOUT.items()}
