"""Writes the frozen vectors: `scripts/make-vectors`, or `--check` to compare only."""

import sys

from tests.vectors.all import files
from tests.vectors.frozen import FOLDER


def main() -> int:
    """Write or compare every file. Exit 1 if `--check` finds one that differs."""
    only_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not only_check:
        print("usage: scripts/make-vectors [--check]", file=sys.stderr)
        return 2
    changed = 0
    for name, text in files().items():
        path = FOLDER / f"{name}.json"
        same = path.exists() and path.read_text() == text
        changed += not same
        if not same and not only_check:
            path.write_text(text)
        print(f"{name}: {len(text)} bytes, {'unchanged' if same else 'CHANGED'}")
    return 1 if changed and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
