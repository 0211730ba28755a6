"""Official vectors in the browser's verifier that no other test hands it."""

import base64
import json
from pathlib import Path

from ledger.note import parse_note
from ledger.tiles import decode_entry_bundle, entries_path
from tests.ledger.test_official_vectors import is_subtree
from tests.node.web.js.in_node import in_node, needs_node

pytestmark = needs_node


def unbase64(text: str | None) -> str:
    return base64.b64decode(text or "").hex()


def test_the_published_log(vectors_dir: Path) -> None:
    """Its 16 checkpoints by its own key, and their roots from its entries."""
    words = (vectors_dir / "tessera-testlog/SOURCE.txt").read_text().split()
    [vkey] = [word.rstrip(")") for word in words if word.startswith("example.com/log/testdata+")]
    folder = vectors_dir / "tessera-testlog/testdata/log"
    notes = [(folder / f"checkpoint.{size}").read_bytes() for size in range(16)]
    policy = f"log {vkey} https://example.com/log\nquorum none\n"
    bent = [
        note.replace(b"example.com/log/testdata\n", b"example.com/log/other\n", 1) for note in notes
    ]
    cases = [{"note": note.hex(), "policy": policy} for note in (*notes, *bent)]
    told = in_node("checkpoints", cases=cases)
    assert [one["held"] for one in told] == [True] * 16 + [False] * 16
    bundles = [(folder / entries_path(0, size)).read_bytes() for size in range(1, 16)]
    entries = [[each.hex() for each in decode_entry_bundle(data)] for data in bundles]
    roots = in_node("roots", cases=[[], *entries])
    assert roots == [one["value"]["root"] for one in told[:16]]
    assert [one["value"]["size"] for one in told[:16]] == [str(size) for size in range(16)]
    assert parse_note(notes[3]).text.split(b"\n")[1] == b"3"


def test_the_official_subtree_inclusions(vectors_dir: Path) -> None:
    cases, expected = [], []
    for path in sorted((vectors_dir / "merkle/testdata/subtreeinclusion").rglob("*.json")):
        case = json.loads(path.read_text())
        start, end = case["start"], case["end"]
        if not is_subtree(start, end):
            assert case["wantErr"]
            continue
        cases.append(
            {
                "leaf": unbase64(case["leafHash"]),
                "index": case["leafIdx"] - start,
                "size": end - start,
                "path": [unbase64(each) for each in case["proof"] or []],
                "root": unbase64(case["root"]),
            }
        )
        expected.append(not case["wantErr"])
    assert len(cases) == 185
    assert [one["held"] for one in in_node("inclusions", cases=cases)] == expected
