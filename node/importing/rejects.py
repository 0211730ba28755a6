"""The rejects file: every row that did not become records, with its line and the reason.

JSON lines: {"line": 17, "reason": "…", "row": "the original"}; a row that is not UTF-8 has
"row_base64" in the place of "row". Of a line over the bound only the start is kept. The file comes
into being with the first reject; importing anew starts it anew, resuming adds to it.
"""

import base64
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec


class Rejects:
    """Writes the rejects file. Use as a context."""

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        """`keep_bytes`: how much of an earlier, interrupted run's file stays."""
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None
        self._cut(keep_bytes)

    def _cut(self, keep_bytes: int) -> None:
        if not self.path.exists():
            return
        if keep_bytes == 0:
            self.path.unlink()
            return
        with self.path.open("r+b") as file:
            file.truncate(keep_bytes)

    def add(self, line: int, reason: str, raw: bytes) -> None:
        """Write one rejected row."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        entry: dict[str, Any] = {"line": line, "reason": reason}
        try:
            entry["row"] = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            entry["row_base64"] = base64.b64encode(raw).decode("ascii")
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self.count += 1

    def flush(self) -> int:
        """Hand what was written to the system; how many bytes the file has now."""
        if self._file is None:
            return self.path.stat().st_size if self.path.exists() else 0
        self._file.flush()
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
