"""Files written by hand, and bundles of them under an index, a seal and signatures that hold.

What execution would never make can be told from what is merely not proven: here all is proven.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ledger.batch import Submission, commitment
from ledger.block import Block, Seal, block_hash, encode_seal
from ledger.bundle_form import Bundle, FileProof, Opening, SummaryProof, answer_hash
from ledger.bureau.answer import Question
from ledger.bureau.erased import ERASURE_TYPE
from ledger.bureau.evidence import READ_TYPES, Fact, OpenFile
from ledger.bureau.reading import NO_ANNOTATION, erased_fact
from ledger.bureau.score import score
from ledger.bureau.standing import PlatformTally
from ledger.checkpoint import (
    Checkpoint,
    cosigner_name,
    format_checkpoint,
    sign_cosignature,
    sign_log_line,
)
from ledger.encoding import encode
from ledger.errors import InvalidInput
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
from ledger.index import Index
from ledger.merkle import leaf_hash
from ledger.parameters import Parameters
from ledger.policy import Policy
from ledger.records import encode_record, tag_of
from tests.ledger.certify import policy_of
from tests.ledger.world import FIRST_PARAMETERS, World, genesis_of, key_of, seed

WORLD = World(genesis_of(1))
"""One platform, for its keys."""


@dataclass
class HandFile:
    """A file that grows leaf by leaf; nothing stops it from saying what no execution says."""

    platform: int
    handle: bytes
    leaves: list[FileLeaf] = field(default_factory=list)
    facts: dict[int, Fact] = field(default_factory=dict)
    openings: dict[int, Opening] = field(default_factory=dict)

    def write(self, log_index: int, fact: Fact) -> None:
        """A record's own leaf, with what opens it."""
        assert fact.record is not None
        annotation = NO_ANNOTATION if fact.annotation is None else encode(fact.annotation)
        salt = seed("salt", self.platform, self.handle, log_index)[:16]
        data = encode_record(fact.record)
        leaf = FileLeaf(
            log_index,
            fact.time,
            tag_of(fact.record),
            commitment(Submission(salt, data, b"")),
            None,
            sha256(salt, annotation),
        )
        self.leaves.append(leaf)
        if leaf.type in READ_TYPES:
            self.facts[log_index] = fact
            self.openings[log_index] = Opening(salt, data, b"", annotation)

    def close(self, log_index: int, kind: int, *, target: int | None = None, time: int = 7) -> None:
        """A leaf that nobody opens: an erasure's own, an erasure leaf, an acknowledgement, …"""
        said = seed("closed", log_index)
        self.leaves.append(FileLeaf(log_index, time, kind, said, target, sha256(said)))

    def erase(self, erasure: int, *targets: int) -> None:
        """Erasure leaves, dated as the erasure's own; their targets are not opened any more."""
        dated = [leaf.time for leaf in self.leaves if leaf.log_index == erasure]
        for target in targets:
            self.close(erasure, ERASURE_TYPE, target=target, time=(dated or [7])[0])
            self.openings.pop(target, None)
            self.facts.pop(target, None)

    def opened(self) -> OpenFile:
        """The file as the score reads it."""
        facts = [
            self.facts.get(leaf.log_index) or erased_fact(leaf)
            for leaf in self.leaves
            if leaf.type in READ_TYPES
        ]
        return OpenFile(self.platform, self.handle, facts)


def policy() -> Policy:
    """The policy that bundles written by hand hold under."""
    return policy_of(WORLD)


def bundle_by_hand(
    files: Iterable[HandFile],
    question: Question,
    *,
    tally: PlatformTally | None = None,
    parameters: Parameters = FIRST_PARAMETERS,
) -> bytes:
    """A bundle of these files; where the question has no answer, it states none."""
    ordered = sorted(files, key=lambda each: (each.platform, each.handle))
    summary = None if tally is None else encode(tally)
    index = _index(ordered, question.platform, summary)
    chain = seed("chain by hand")
    block = Block(1, 1, 1, chain, (), max(question.as_of, 1))
    seal = Seal(
        1,
        block_hash(chain, block),
        chain,
        block.time,
        index.root(),
        bytes(32),
        sha256(encode(parameters)),
        None,
    )
    try:
        answer = score([each.opened() for each in ordered], tally, parameters, question)
        stated = answer_hash(answer)
    except InvalidInput:
        stated = bytes(32)
    bundle = Bundle(
        form="standing-bundle/v1",
        chain=chain,
        question=question,
        answer_hash=stated,
        checkpoint=_note(encode_seal(seal)),
        inclusion=(),
        seal=encode_seal(seal),
        block=block,
        parameters=encode(parameters),
        summary=SummaryProof(summary, index.prove(index_key(KIND_PLATFORM, question.platform))),
        files=tuple(_proof(index, each) for each in ordered),
    )
    return encode(bundle)


def _index(files: Sequence[HandFile], platform: int, summary: bytes | None) -> Index:
    values = {
        index_key(KIND_FILE, each.platform, each.handle): file_value(
            len(each.leaves), file_head([encode(leaf) for leaf in each.leaves])
        )
        for each in files
    }
    values[index_key(KIND_FILE, 99, seed("somebody else"))] = bytes(32)
    if summary is not None:
        values[index_key(KIND_PLATFORM, platform)] = summary_value(summary)
    index = Index(1)
    index.apply(1, values)
    return index


def _proof(index: Index, file: HandFile) -> FileProof:
    openings = [
        file.openings[leaf.log_index]
        for leaf in file.leaves
        if leaf.type in READ_TYPES and leaf.log_index in file.openings
    ]
    proof = index.prove(index_key(KIND_FILE, file.platform, file.handle))
    return FileProof(file.platform, file.handle, tuple(file.leaves), tuple(openings), proof)


def _note(entry: bytes) -> bytes:
    origin = WORLD.genesis.foundation.origin
    checkpoint = Checkpoint(origin, 1, leaf_hash(entry))
    line = sign_log_line(key_of(1, "log"), origin, checkpoint)
    cosigned = sign_cosignature(key_of(1, "cosigner"), cosigner_name(origin, "p1"), 5, checkpoint)
    return format_checkpoint(checkpoint, line, [cosigned])


def moved(leaf: FileLeaf, **change: object) -> FileLeaf:
    """The leaf with other fields."""
    return replace(leaf, **change)
