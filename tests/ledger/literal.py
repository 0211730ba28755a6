"""Files and the queue of erasures as the specification words them, with nothing of execution's."""

from dataclasses import dataclass

from ledger.batch import Submission
from ledger.encoding import decode
from ledger.errors import Malformed
from ledger.files import (
    FileLeaf,
    read_leaf,
)
from ledger.records import TAGS, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rows import (
    BlockRow,
    LeafRow,
    block_key,
    need_row,
)
from ledger.store import (
    subject_key,
)
from tests.ledger.eraser import ERASABLE
from tests.ledger.world import World


@dataclass
class Asked:
    """An erasure that waits in the reference's queue: what is left to look at, and its scope."""

    log_index: int
    work: list[int]
    scope: set[bytes]


class Literal:
    """Files as the specification words them, computed the long way round from blocks and openings.

    It shares with execution the order of the log and the annotation hashes, and nothing else.
    """

    def __init__(self, world: World, openings: dict[bytes, bytes], bound: int) -> None:
        self.world, self.openings, self.bound = world, openings, bound
        self.files: dict[bytes, list[FileLeaf]] = {}
        self.records: dict[int, tuple[LeafRow, list[bytes]]] = {}
        self.ids: dict[bytes, int] = {}
        self.parties: dict[bytes, list[bytes]] = {}
        self.dead: set[int] = set()
        self.refused: list[tuple[int, set[bytes]]] = []
        self.queue: list[Asked] = []
        self.done: dict[int, int] = {}
        for height in range(1, world.state.height + 1):
            self.block(height)

    def block(self, height: int) -> None:
        row = need_row(self.world.store, BlockRow, block_key(height))
        leaves = {at: read_leaf(self.world.store, at) for at in range(row.first, row.size - 1)}
        places = [((leaf.lane, leaf.height, leaf.position), at) for at, leaf in leaves.items()]
        places += [((each.lane, each.height, each.position), -1) for each in row.refusals]
        refused = {(each.lane, each.height, each.position): each for each in row.refusals}
        size = row.first
        for place, at in sorted(places):
            if at >= 0:
                self.enter(at, leaves[at])
                size = at + 1
            else:
                self.refuse(refused[place].commitment, size)
        self.erase(height)

    def opened(self, record_id: bytes) -> object:
        return decode_record(decode(Submission, self.openings[record_id], bytes_max=9_999).record)

    def enter(self, at: int, leaf: LeafRow) -> None:
        files = self.files_of(self.opened(leaf.commitment), at)
        self.records[at] = (leaf, files)
        self.ids[leaf.commitment] = at
        for subject in files:
            self.append(subject, at, at, leaf.target)

    def append(self, subject: bytes, at: int, own: int, target: int | None) -> None:
        row = self.records[own][0]
        hashed = row.annotation_hash
        leaf = FileLeaf(at, row.time, row.type, row.commitment, target, hashed)
        self.files.setdefault(subject, []).append(leaf)

    def refuse(self, record_id: bytes, size: int) -> None:
        try:
            record = self.opened(record_id)
        except Malformed:
            return
        named = set()
        if isinstance(record, SubjectRegister):
            named = {subject_key(record.platform, record.handle)}
        elif isinstance(record, SubjectLink | EngagementOpen):
            named = set(sides(record))
        elif isinstance(record, EngagementOutcome | Rating):
            named = set(self.parties.get(record.reference, ()))
            if isinstance(record, Rating):
                named.add(subject_key(record.platform, record.rater))
        self.refused.append((size, named))

    def files_of(self, record: object, at: int) -> list[bytes]:
        match record:
            case SubjectRegister():
                return [subject_key(record.platform, record.handle)]
            case SubjectLink():
                return sides(record)
            case EngagementOpen():
                return self.parties.setdefault(record.reference, sides(record))
            case EngagementOutcome() | Rating():
                return self.parties[record.reference]
            case Erasure():
                return self.scope(record, at)
            case ErasureAck():
                assert self.ids[record.erasure] in self.done
                asked = self.opened(record.erasure)
                assert isinstance(asked, Erasure)
                return [subject_key(asked.platform, asked.handle)]
        raise AssertionError(record)

    def scope(self, record: Erasure, at: int) -> list[bytes]:
        files = {subject_key(record.platform, record.handle)}
        while record.scope == "whole":
            joined = [
                set(both)
                for target, (leaf, both) in self.records.items()
                if leaf.type == TAGS[SubjectLink] and target not in self.dead
            ]
            more = files.union(*(link for link in joined if link & files))
            if more == files:
                break
            files = more
        work = [
            leaf.log_index
            for subject in sorted(files)
            for leaf in self.files[subject]
            if leaf.type in ERASABLE
        ]
        self.queue.append(Asked(at, work, files))
        return sorted(files)

    def erase(self, height: int) -> None:
        left = self.bound
        while self.queue:
            asked = self.queue[0]
            while asked.work:
                target = asked.work[0]
                files = self.records[target][1]
                if target not in self.dead:
                    if len(files) > left:
                        return
                    left -= len(files)
                    self.dead.add(target)
                    for subject in files:
                        self.append(subject, asked.log_index, asked.log_index, target)
                asked.work.pop(0)
            for each in list(self.refused):
                if each[0] <= asked.log_index and each[1] & asked.scope:
                    if not left:
                        return
                    left -= 1
                    self.refused.remove(each)
            self.done[asked.log_index] = height
            self.queue.pop(0)


def sides(record: SubjectLink | EngagementOpen) -> list[bytes]:
    if isinstance(record, EngagementOpen):
        return [subject_key(record.platform, each) for each in (record.worker, record.client)]
    return [
        subject_key(record.first_platform, record.first_handle),
        subject_key(record.second_platform, record.second_handle),
    ]
