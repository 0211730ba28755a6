"""What a replay has yielded so far, whichever way it is made: what an audit's steps go by."""

from dataclasses import dataclass, field

from ledger.block import Refusal
from ledger.replay import Replay, Step
from ledger.source import Finding, Source
from node.audit.erasures import Destruction, NotedSource
from node.audit.furnishers import Told
from node.audit.live import LiveRows
from node.audit.spill import RowStore
from node.audit.state import KeptRows

RecomputedRows = RowStore | LiveRows | KeptRows


@dataclass(slots=True)
class Outcome:
    """The outcome of a replay. By height: `roots` (size and root) and `names` (block hashes).

    `rows` are the recomputed ones, `newest` the height of the newest block row, `time` its seal's
    (ms). `erased`: how many residues were met; `residues`: where. `others`: what is wrong with rows
    that replay does not reach, if that is known already.
    """

    rows: RecomputedRows
    replay: Replay | None = None
    others: tuple[Finding, ...] | None = None
    roots: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    names: dict[int, bytes] = field(default_factory=dict)
    newest: int = 0
    time: int = 0
    records: int = 0
    erased: int = 0
    residues: set[bytes] = field(default_factory=set)
    destruction: Destruction = field(default_factory=Destruction)
    refused: dict[int, int] = field(default_factory=dict)
    told: Told = field(default_factory=dict)

    def source(self, source: Source) -> NotedSource:
        """A source for the replay, whose residues are noted here."""
        noted = NotedSource(source)
        self.residues = noted.residues
        return noted

    def note(self, step: Step) -> None:
        """One more block."""
        self.records += step.records
        self.erased += step.erased
        if not step.closing:
            self.newest = step.height
        if step.applied is not None:
            self.roots[step.height] = (step.applied.size, step.applied.root)
            self.names[step.height] = step.applied.seal.block
            self.time = step.applied.seal.time
            self.destruction.note(self.time, step.applied.erased)
            self._refuse(step.applied.refusals)

    def _refuse(self, refusals: tuple[Refusal, ...]) -> None:
        for each in refusals:
            self.refused[each.lane] = self.refused.get(each.lane, 0) + 1
