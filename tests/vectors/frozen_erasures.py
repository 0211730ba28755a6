"""The frozen vectors of bundles that lie about erasures, or prove what no execution makes."""

import re
from collections.abc import Iterator

from tests.ledger.bureau.facts import question
from tests.ledger.bureau.test_erased import impossible, out_of_order, own_file
from tests.ledger.handmade import bundle_by_hand
from tests.ledger.test_bundle_erased import liars
from tests.ledger.world import World

LIES = (
    "erased-records-all-opened",
    "an-erased-record-opened",
    "an-erased-record-opened-for-another",
    "a-record-closed-that-is-not-erased",
    "all-closed",
    "openings-beside-erased-turned",
    "erasure-leaves-left-out",
    "an-erasure-leaf-left-out",
    "an-erasure-leaf-twice",
    "erasure-leaves-swapped",
    "an-erasure-leaf-of-another-target",
    "file-behind-an-erased-link",
)
"""What `liars` does, in its order."""


def bad_erasures(world: World, before: bytes) -> Iterator[tuple[str, bytes]]:
    """What a liar does to a partly erased file, when the files before the erasure are at hand."""
    for name, (_, data) in zip(LIES, liars(world, before), strict=True):
        yield name, data


def impossible_erasures() -> Iterator[tuple[str, bytes]]:
    """Files that are proven, and that no execution makes (ledger/bureau/README.md, section 9)."""
    files = {f"leaves-{name}": file for name, file in impossible().items()}
    for name, leaves in out_of_order():
        files[f"leaves-{name}"] = own_file(erased=(1, 2))
        files[f"leaves-{name}"].leaves = leaves
    for name, file in files.items():
        yield re.sub("[^a-z]+", "-", name), bundle_by_hand([file], question())
