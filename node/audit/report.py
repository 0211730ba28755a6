"""What an audit reports."""

from typing import Literal

import msgspec

from node.audit.furnishers import Furnisher

Severity = Literal["critical", "error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """Something that is not right, where it stands, and the command that shows it again."""

    severity: Severity
    kind: str
    where: str
    detail: str
    reproduce: str


class Report(msgspec.Struct, frozen=True):
    """What an audit found. `size` and `root` are the recomputed log's, `time` its newest seal's.
    `since`: the height up to which an earlier audit is relied on (0: none); `unchecked`: what this
    kind of audit cannot judge."""

    records: int
    blocks: int
    checkpoints: int
    scores: int
    erased: int
    size: int
    root: bytes
    time: int
    findings: tuple[Finding, ...]
    furnishers: tuple[Furnisher, ...] = ()
    height: int = 0
    since: int = 0
    unchecked: tuple[str, ...] = ()
