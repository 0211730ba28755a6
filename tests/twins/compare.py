"""Many cases through two implementations, chunk by chunk, until one is answered differently.

No more than a chunk is held at a time, however many there are.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from ledger.bureau.answer import Answer
from ledger.bureau.model import FIRST_MODEL
from ledger.encoding import decode
from tests.node.web.js.random_files import Case
from tests.twins.nasty import nasty_case
from tests.twins.shrink import shrink
from tests.twins.twin import Browser, ledgers_answer

CHUNK_CASES: Final = 100
CHUNK_FACTS: Final = 20_000
ANSWER_BYTES_MAX: Final = 65_536
FACTS_SHOWN: Final = 40

Named = tuple[str, str, Case]
"""The seed of a case, its kind, and itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A case that is answered in two ways, as it was drawn, and what is left of it when shrunk."""

    seed: str
    case: Case
    shrunk: Case
    ledger: str
    browser: str

    def lines(self) -> Iterator[str]:
        """For a person to read: what differs, and in which case."""
        before, after = (sum(len(f.facts) for f in c.files) for c in (self.case, self.shrunk))
        yield f"case {self.seed} is answered in two ways (shrunk from {before} entries to {after}):"
        yield from _answers(self.ledger, self.browser)
        yield f"question {self.shrunk.question}"
        yield f"tally {self.shrunk.tally}"
        yield from _numbers(self.shrunk)
        for file in self.shrunk.files:
            yield f"file of platform {file.platform}, {file.handle.hex()[:8]}…:"
            yield from (f"    {fact}" for fact in file.facts[:FACTS_SHOWN])
            if len(file.facts) > FACTS_SHOWN:
                yield f"    … and {len(file.facts) - FACTS_SHOWN} more"


def _answers(ledger: str, browser: str) -> Iterator[str]:
    try:
        both = [
            decode(Answer, bytes.fromhex(each), bytes_max=ANSWER_BYTES_MAX)
            for each in (ledger, browser)
        ]
    except ValueError:
        yield f"    ledger {ledger}"
        yield f"    browser {browser}"
        return
    for name in Answer.__struct_fields__:
        first, second = (getattr(each, name) for each in both)
        if first != second:
            yield f"    {name}: ledger {first}"
            yield f"    {' ' * len(name)}  browser {second}"


def _numbers(case: Case) -> Iterator[str]:
    model = case.parameters.model
    for name in FIRST_MODEL.__struct_fields__:
        if getattr(model, name) != getattr(FIRST_MODEL, name):
            yield f"model {name} {getattr(model, name)}"
    yield f"scales {[msgspec.structs.astuple(each) for each in case.parameters.scales]}"
    yield f"domains {[(each.code, each.parent) for each in case.parameters.domains]}"


@dataclass(slots=True)
class Compared:
    """What a run came to. `answers` is a digest over all answers, in order."""

    cases: int = 0
    entries: int = 0
    longest: int = 0
    refused: int = 0
    thin: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    difference: Difference | None = None
    digest: "sha256" = field(default_factory=sha256)

    def take(self, kind: str, case: Case, answer: str) -> None:
        """Count a case of which both said the same."""
        entries = sum(len(file.facts) for file in case.files)
        self.cases += 1
        self.entries += entries
        self.longest = max(self.longest, entries)
        self.kinds[kind] += 1
        self.digest.update(answer.encode())
        try:
            told = decode(Answer, bytes.fromhex(answer), bytes_max=ANSWER_BYTES_MAX)
        except ValueError:
            self.refused += 1
        else:
            self.thin += told.thin_file

    def figures(self) -> dict[str, object]:
        """For JSON."""
        return {
            "files": self.cases,
            "entries": self.entries,
            "longest_entries": self.longest,
            "refused": self.refused,
            "thin": self.thin,
            "kinds": dict(sorted(self.kinds.items())),
            "answers_digest": self.digest.hexdigest(),
            "difference": None if self.difference is None else [*self.difference.lines()],
        }


def drawn(seed: int, first: int, count: int) -> Iterator[Named]:
    """The cases of a seed, from one place on."""
    for place in range(first, first + count):
        name = f"{seed}:{place}"
        yield name, *nasty_case(name)


def compare(
    cases: Iterator[Named],
    browser: Browser,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Compared:
    """Ask both about all cases; stop at the first difference, and shrink it."""
    found = Compared()
    for chunk in _chunks(cases):
        browser.ask([case for _, _, case in chunk])
        own = [ledgers_answer(case) for _, _, case in chunk]
        for (seed, kind, case), ledger, other in zip(chunk, own, browser.told(), strict=True):
            if ledger != other or ledger.startswith("broke"):
                found.difference = _shrunk(seed, case, browser)
                return found
            found.take(kind, case, ledger)
        on_progress(found.cases)
    return found


def _shrunk(seed: str, case: Case, browser: Browser) -> Difference:
    def differs(case: Case) -> bool:
        ledger = ledgers_answer(case)
        return ledger != browser(case) or ledger.startswith("broke")

    least = shrink(case, differs)
    return Difference(seed, case, least, ledgers_answer(least), browser(least))


def _chunks(cases: Iterator[Named]) -> Iterator[list[Named]]:
    chunk: list[Named] = []
    facts = 0
    for each in cases:
        chunk.append(each)
        facts += sum(len(file.facts) for file in each[2].files)
        if len(chunk) >= CHUNK_CASES or facts >= CHUNK_FACTS:
            yield chunk
            chunk, facts = [], 0
    if chunk:
        yield chunk
