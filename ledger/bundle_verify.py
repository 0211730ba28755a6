"""Verification of a bundle, from its bytes and a policy alone. Steps, in order; each must hold:

1. `form`: canonical bytes of the one form; files ascend, and have no more leaves together than
   are read; the subject asked about is among them.
2. `checkpoint`: a note with one log line of a key of the policy and exactly q cosignatures of
   distinct validators, in the policy's order.
3. `seal`: the seal's entry is the last leaf of the checkpoint's log.
4. `block`: the block's hash under the chain id is the one in the seal, as are its height, its
   parent and its time. So chain id and epoch are proven.
5. `parameters`: their hash is the one in the seal.
6. `files`: each file's head over all its leaves stands in the index whose root the seal names.
7. `openings`: each file's leaves are such as execution makes them (`ledger/bureau/erased.py`); each
   leaf whose type the score reads is opened, by what it commits to, but for erased ones: none is.
8. `links`: the files that the opened links lead to are exactly the files that are there.
9. `summary`: the platform's tally is the index's, or the index is shown to hold none.
10. `score`: the answer, computed anew, has the hash that the bundle states; `as_of` does not lie
    behind the seal's time.

The first step that does not hold ends the verification.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

from ledger.block import Seal, block_hash, decode_seal
from ledger.bundle_form import Bundle, FileProof, Opening, answer_hash, decode_bundle
from ledger.bureau.answer import Answer
from ledger.bureau.erased import check_erasures
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.reading import (
    closure_room,
    decode_tally,
    erased_fact,
    is_read,
    open_leaf,
)
from ledger.bureau.score import score
from ledger.checkpoint import Checkpoint, verify_checkpoint_strict
from ledger.encoding import decode, encode
from ledger.errors import BadProof, InvalidInput
from ledger.files import (
    KIND_FILE,
    KIND_PLATFORM,
    FileLeaf,
    file_head,
    file_value,
    index_key,
    summary_value,
)
from ledger.hashing import sha256
from ledger.mapproof import verify_absence, verify_presence
from ledger.merkle import leaf_hash, verify_inclusion
from ledger.parameters import PARAMETERS_BYTES_MAX, Parameters, check_parameters
from ledger.policy import Policy
from ledger.records.subject import SubjectLink

MAX_AGE_DAYS: Final = 30
DAY_MS: Final = 86_400_000

Subject = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification: its name, whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying a bundle showed.

    `answer`, `seal_time` (ms), `size` and `chain` are what was proven, None unless `valid`.
    `stale`: the answer is as of a time longer ago than was allowed (never later than its seal, so
    that an old seal, and an old answer under a new seal, are stale); it may be valid all the same.
    """

    valid: bool
    steps: tuple[Step, ...]
    answer: Answer | None
    seal_time: int | None
    size: int | None
    chain: bytes | None
    epoch: int | None
    stale: bool


def verify_bundle(
    data: bytes, policy: Policy, *, now_ms: int | None = None, max_age_days: int = MAX_AGE_DAYS
) -> Verified:
    """Verify a bundle. `now_ms` is for the age of its answer; without it nothing is stale."""
    run = _Verification(data, policy)
    steps: list[Step] = []
    for name, check in run.checks():
        try:
            steps.append(Step(name, True, check()))
        except InvalidInput as error:
            steps.append(Step(name, False, str(error)))
            return Verified(False, tuple(steps), None, None, None, None, None, False)
    seal_time = run.seal.time
    as_of = run.answer.question.as_of
    stale = now_ms is not None and now_ms - as_of > max_age_days * DAY_MS
    return Verified(
        valid=True,
        steps=tuple(steps),
        answer=run.answer,
        seal_time=seal_time,
        size=run.checkpoint.size,
        chain=run.bundle.chain,
        epoch=run.bundle.block.epoch,
        stale=stale,
    )


def show_time(time_ms: int) -> str:
    """A time in ms since 1970 for people: `2026-03-01 12:00:00 UTC`, by the Gregorian calendar.

    Years are counted from March, so that a leap day is a year's last; 400 years have 146,097 days.
    """
    days, in_day_s = divmod(time_ms // 1_000, 86_400)
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month = month + 3 if month < 10 else month - 9
    year += 400 * era + (1 if month <= 2 else 0)
    hour, minute, second = in_day_s // 3_600, in_day_s // 60 % 60, in_day_s % 60
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"


class _Verification:
    """Holds what has been verified so far: each part is set by the step that proves it."""

    bundle: Bundle
    checkpoint: Checkpoint
    seal: Seal
    parameters: Parameters
    files: list[OpenFile]
    answer: Answer

    def __init__(self, data: bytes, policy: Policy) -> None:
        self._data = data
        self._policy = policy

    def checks(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        return (
            ("form", self._form),
            ("checkpoint", self._checkpoint),
            ("seal", self._seal),
            ("block", self._block),
            ("parameters", self._parameters),
            ("files", self._files),
            ("openings", self._openings),
            ("links", self._links),
            ("summary", self._summary),
            ("score", self._score),
        )

    def _form(self) -> str:
        self.bundle = decode_bundle(self._data)
        names = [(file.platform, file.handle) for file in self.bundle.files]
        if any(a >= b for a, b in pairwise(names)):
            raise BadProof("the files do not ascend, each once")
        question = self.bundle.question
        if (question.platform, question.handle) not in names:
            raise BadProof("the file of the subject asked about is not there")
        room = closure_room()
        for leaf in chain.from_iterable(file.leaves for file in self.bundle.files):
            room.take(leaf)
        return f"{len(self._data)} bytes, {len(names)} file(s)"

    def _checkpoint(self) -> str:
        self.checkpoint = verify_checkpoint_strict(self.bundle.checkpoint, self._policy)
        return f"{self._policy.quorum} cosignatures over {self.checkpoint.size} entries"

    def _seal(self) -> str:
        seal, size = self.bundle.seal, self.checkpoint.size
        verify_inclusion(
            leaf_hash(seal), size - 1, size, self.bundle.inclusion, self.checkpoint.root
        )
        self.seal = decode_seal(seal)
        return f"block {self.seal.height}, sealed {show_time(self.seal.time)}"

    def _block(self) -> str:
        block, seal = self.bundle.block, self.seal
        if block_hash(self.bundle.chain, block) != seal.block:
            raise BadProof("the block and chain id are not those that the seal names")
        if (block.height, block.parent, block.time) != (seal.height, seal.previous, seal.time):
            raise BadProof("the seal says something else of the block than the block itself")
        return f"epoch {block.epoch} of chain {self.bundle.chain.hex()[:16]}…"

    def _parameters(self) -> str:
        data = self.bundle.parameters
        if sha256(data) != self.seal.parameters:
            raise BadProof("the parameters are not those that the seal names")
        self.parameters = decode(
            Parameters, data, bytes_max=PARAMETERS_BYTES_MAX, what="parameters"
        )
        check_parameters(self.parameters)
        return f"model {self.parameters.model.id}"

    def _files(self) -> str:
        for file in self.bundle.files:
            head = file_head([encode(leaf) for leaf in file.leaves])
            value = file_value(len(file.leaves), head)
            key = index_key(KIND_FILE, file.platform, file.handle)
            verify_presence(self.seal.index_root, key, value, file.proof)
        leaves = sum(len(file.leaves) for file in self.bundle.files)
        return f"{leaves} leaves, none left out"

    def _openings(self) -> str:
        self.files = [_open(file) for file in self.bundle.files]
        opened = f"{sum(len(file.openings) for file in self.bundle.files)} records opened"
        erased = sum(fact.record is None for file in self.files for fact in file.facts)
        return f"{opened}, {erased} erased" if erased else opened

    def _links(self) -> str:
        links = {(file.platform, file.handle): _neighbours(file) for file in self.files}
        question = self.bundle.question
        reached: set[Subject] = set()
        waiting = [(question.platform, question.handle)]
        while waiting:
            subject = waiting.pop()
            if subject in reached:
                continue
            if subject not in links:
                raise BadProof(f"the linked file {subject[0]}:{subject[1].hex()} is left out")
            reached.add(subject)
            waiting.extend(links[subject])
        if len(reached) != len(links):
            raise BadProof("a file is there that no link leads to")
        return f"{len(links) - 1} linked file(s), all there"

    def _summary(self) -> str:
        platform, summary = self.bundle.question.platform, self.bundle.summary
        key = index_key(KIND_PLATFORM, platform)
        if summary.data is None:
            verify_absence(self.seal.index_root, key, summary.proof)
            return f"platform {platform} has none yet"
        value = summary_value(summary.data)
        verify_presence(self.seal.index_root, key, value, summary.proof)
        return f"of platform {platform}"

    def _score(self) -> str:
        bundle = self.bundle
        if bundle.question.as_of > self.seal.time:
            raise BadProof("the answer is as of a time that lies behind the seal's")
        data = bundle.summary.data
        tally = None if data is None else decode_tally(data)
        self.answer = score(self.files, tally, self.parameters, bundle.question)
        if answer_hash(self.answer) != bundle.answer_hash:
            raise BadProof("the answer, computed anew, is not the one that the bundle states")
        asked = "" if bundle.question.as_of == self.seal.time else ", not the seal's time"
        return f"recomputed as of {show_time(bundle.question.as_of)}{asked}"


def _open(file: FileProof) -> OpenFile:
    erased = check_erasures(file.leaves)
    read = [leaf for leaf in file.leaves if is_read(leaf)]
    whole = sum(leaf.log_index not in erased for leaf in read)
    if whole != len(file.openings):
        raise BadProof(f"{len(file.openings)} openings are there for {whole} leaves")
    openings = iter(file.openings)
    facts = [
        erased_fact(leaf) if leaf.log_index in erased else _opened(leaf, next(openings))
        for leaf in read
    ]
    return OpenFile(file.platform, file.handle, facts)


def _opened(leaf: FileLeaf, opening: Opening) -> Fact:
    return open_leaf(leaf, opening.submission(), opening.annotation)


def _neighbours(file: OpenFile) -> list[Subject]:
    return [other for fact in file.facts for other in _linked(fact, (file.platform, file.handle))]


def _linked(fact: Fact, here: Subject) -> list[Subject]:
    link = fact.record
    if not isinstance(link, SubjectLink):
        return []
    ends = [(link.first_platform, link.first_handle), (link.second_platform, link.second_handle)]
    if here not in ends:
        raise BadProof("a link in a file is not of its subject")
    return [end for end in ends if end != here]
