"""Every official vector file is used by a test; those that no other test uses are used here.

`USED` says which test reads what, and how many cases there are. Subtree proofs (of
draft-ietf-plants-merkle-tree-certs) are a format that we do not speak, but an inclusion in the
subtree [start, end) is an ordinary one in a tree of end − start leaves, and a subtree that begins
at 0 is an ordinary beginning.
"""

import base64
import json
from collections import Counter
from pathlib import Path

import pytest

from ledger import merkle
from ledger.checkpoint import Checkpoint
from ledger.errors import BadProof
from ledger.note import parse_note

# folder (or file) → how many files, how many cases in them, and the tests that read them
USED: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "merkle/testdata/inclusion": (98, 98, ("ledger/test_merkle.py", "node/web/js/test_proofs.py")),
    "merkle/testdata/consistency": (98, 98, ("ledger/test_merkle.py",)),
    "merkle/testdata/subtreeinclusion": (
        204,
        204,
        ("ledger/test_official_vectors.py", "node/web/js/test_official.py"),
    ),
    "merkle/testdata/subtreeconsistency": (118, 118, ("ledger/test_official_vectors.py",)),
    "merkle/rfc6962_leaves_nodes_roots.json": (
        1,
        8,
        ("ledger/test_merkle.py", "node/web/js/test_proofs.py"),
    ),
    "wycheproof-ed25519/testvectors_v1/ed25519_test.json": (
        1,
        151,
        ("ledger/test_signing.py", "node/web/js/test_proofs.py", "node/web/test_verify_panel.py"),
    ),
    "ed25519-speccheck/cases.json": (
        1,
        12,
        ("ledger/test_signing.py", "node/web/js/test_proofs.py", "node/web/test_verify_panel.py"),
    ),
    "ed25519-speccheck/expected_bitmap.json": (
        1,
        0,
        ("ledger/test_signing.py", "node/web/js/test_proofs.py", "node/web/test_verify_panel.py"),
    ),
    "zip215/zip215_cases.json": (
        1,
        196,
        ("ledger/test_signing.py", "node/web/js/test_proofs.py", "node/web/test_verify_panel.py"),
    ),
    "zip215/small_order_encodings.json": (
        1,
        14,
        ("ledger/test_signing.py", "node/web/js/test_proofs.py"),
    ),
    "map-proofs/mpt_python_cases.json": (
        1,
        800,
        ("ledger/test_index.py", "node/web/js/test_proofs.py"),
    ),
    "rfc9421/ed25519_b26.json": (1, 1, ("node/api/test_signatures.py",)),
    "tessera-testlog/testdata/log": (
        51,
        16,
        ("ledger/test_tiles.py", "ledger/test_checkpoint.py", "node/web/js/test_official.py"),
    ),
}
NO_VECTORS = {"SOURCE.txt", "LICENSE", "build_log.sh"}
TESTS = Path(__file__).resolve().parents[1]


def cases_in(path: Path) -> int:
    """How many cases a file or folder has."""
    if path.is_dir():
        numbered = [each for each in path.glob("checkpoint.*") if each.suffix[1:].isdigit()]
        return len(numbered) or len(list(path.rglob("*.json")))
    data = json.loads(path.read_text())
    match data:
        case list():
            return len(data)
        case {"numberOfTests": int(count)}:
            return count
        case {"Cases": list(found)}:
            return len(found)
        case {"leaf_inputs_hex": list(found)}:
            return len(found)
        case {"sig_b64": str()}:
            return 1
    return 0


@pytest.mark.parametrize("name", USED)
def test_the_vectors_are_all_there_and_read_by_tests(vectors_dir: Path, name: str) -> None:
    path = vectors_dir / name
    files, count, readers = USED[name]
    found = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    assert len(found) == files
    assert cases_in(path) == count
    word = Path(name).name
    for reader in readers:
        assert word in (TESTS / reader).read_text(), f"{reader} does not read {word}"


def test_no_vector_file_is_unused(vectors_dir: Path) -> None:
    unused = [
        str(path.relative_to(vectors_dir))
        for path in vectors_dir.rglob("*")
        if path.is_file() and path.name not in NO_VECTORS
        if not any(path.is_relative_to(vectors_dir / name) for name in USED)
    ]
    assert not unused


def test_the_bitmaps_are_of_libsodium(vectors_dir: Path) -> None:
    """Which cases libsodium accepts: of speccheck some, of zip215 none."""
    told = json.loads((vectors_dir / "ed25519-speccheck/expected_bitmap.json").read_text())
    [bits] = [bits for name, bits in told.items() if name.startswith("libsodium")]
    assert len(bits) == 12
    assert set(bits) <= {"0", "1"}


def unbase64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) can be a subtree: it begins where a tree of its size rounded up may."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


def holds(verify: object, *given: object) -> bool:
    assert callable(verify)
    try:
        verify(*given)
    except BadProof:
        return False
    return True


def test_official_subtree_inclusions(vectors_dir: Path) -> None:
    seen: Counter[tuple[bool, bool]] = Counter()
    for path in sorted((vectors_dir / "merkle/testdata/subtreeinclusion").rglob("*.json")):
        case = json.loads(path.read_text())
        start, end = case["start"], case["end"]
        found = is_subtree(start, end) and holds(
            merkle.verify_inclusion,
            unbase64(case["leafHash"]),
            case["leafIdx"] - start,
            end - start,
            [unbase64(each) for each in case["proof"] or []],
            unbase64(case["root"]),
        )
        assert found != case["wantErr"], case["desc"]
        seen[is_subtree(start, end), found] += 1
    assert seen == {(True, True): 12, (True, False): 173, (False, False): 19}


def test_official_subtree_consistencies(vectors_dir: Path) -> None:
    """Of those that begin at 0 every verdict is ours; all others are of no subtree, or of an empty
    one, of which a proof says nothing: we refuse size 0."""
    seen: Counter[str] = Counter()
    for path in sorted((vectors_dir / "merkle/testdata/subtreeconsistency").rglob("*.json")):
        case = json.loads(path.read_text())
        start, end, size = case["start"], case["end"], case["size"]
        if start == 0 < end:
            proof = [unbase64(each) for each in case["proof"] or []]
            roots = (unbase64(case["root1"]), unbase64(case["root2"]))
            found = holds(merkle.verify_consistency, end, size, *roots, proof)
            assert found != case["wantErr"], case["desc"]
            seen["held" if found else "refused"] += 1
        elif start == end:
            assert not holds(merkle.verify_consistency, 0, size, b"", merkle.EMPTY_ROOT, [])
            seen["empty"] += 1
        else:
            assert case["wantErr"]
            assert not is_subtree(start, end) or end > size
            seen["no subtree"] += 1
    assert seen["held"] == 6
    assert seen["refused"] == 85
    assert seen["empty"] + seen["no subtree"] == 27


def test_the_published_logs_newest_checkpoint_and_tree_state(vectors_dir: Path) -> None:
    folder = vectors_dir / "tessera-testlog/testdata/log"
    newest = (folder / "checkpoint").read_bytes()
    assert newest == (folder / "checkpoint.15").read_bytes()
    point = Checkpoint.parse(parse_note(newest).text)
    state = json.loads((folder / ".state/treeState").read_text())
    assert (point.size, point.root) == (state["size"], unbase64(state["root"]))
