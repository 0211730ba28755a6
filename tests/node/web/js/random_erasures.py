"""Random closures of files with erasures, from a seed: what execution makes of wild records.

Records are those of `random_files`. Erasures take any of what stands before them, their leaves come
over later blocks between newer records, some stand in the file of somebody else's erasure, and an
erased link leaves its file alone.
"""

import random
from dataclasses import replace

from ledger.bureau.erased import ACK_TYPE, ERASURE_TYPE
from ledger.bureau.evidence import OpenFile
from ledger.records.subject import SubjectLink
from tests.ledger.handmade import HandFile, bundle_by_hand
from tests.node.web.js.random_files import Case, random_case

CLOSED_TYPES = (1, 2, 13, 20, 22)
LAST = 10**9
"""The log index of an erasure behind all others."""


def erased_case(seed: int) -> tuple[Case, bytes]:
    """The case of a seed with some of its records erased, and its bundle."""
    case = random_case(seed)
    rng = random.Random(f"erasures {seed}")
    drawn = [_file(rng, file) for file in case.files]
    ends = (drawn[0], drawn[-1])
    if not all(_links(each) for each in ends):
        for each in ends:
            each.erase(LAST, *_links(each))  # a link is erased from both of its files
    joined = [file for file in drawn if _is_joined(file, drawn, case)]
    opened = tuple(file.opened() for file in joined)
    bundle = bundle_by_hand(joined, case.question, tally=case.tally, parameters=case.parameters)
    return replace(case, files=opened), bundle


def _is_joined(file: HandFile, drawn: list[HandFile], case: Case) -> bool:
    """Whether it is the file asked about, or a link that is not erased joins it to that one."""
    asked = (case.question.platform, case.question.handle)
    ends = [_name(drawn[0]), _name(drawn[-1])]
    linked = _links(drawn[0]) and {asked, _name(file)} <= set(ends)
    return _name(file) == asked or bool(linked)


def _name(file: HandFile) -> tuple[int, bytes]:
    return file.platform, file.handle


def _links(file: HandFile) -> list[int]:
    """The log indices of its links that are not erased."""
    return [at for at, fact in file.facts.items() if isinstance(fact.record, SubjectLink)]


def _file(rng: random.Random, source: OpenFile) -> HandFile:
    """A file of these records, in which links to others than its subject are left out."""
    file = HandFile(source.platform, source.handle)
    wanted = rng.choice((0.0, 0.02, 0.1, 0.3))
    log_index = rng.randrange(1_000)
    standing: list[int] = []
    waiting: list[tuple[int, int]] = []
    for fact in source.facts:
        link = fact.record
        if isinstance(link, SubjectLink):
            ends = {(link.first_platform, link.first_handle)}
            ends.add((link.second_platform, link.second_handle))
            if _name(file) not in ends:
                continue
        log_index += rng.choice((1, 1, 2, 60))
        if rng.random() < 0.1:
            file.close(log_index, rng.choice(CLOSED_TYPES), time=fact.time)
            standing.append(log_index)
            log_index += 1
        file.write(log_index, fact)
        standing.append(log_index)
        if standing and rng.random() < wanted:
            log_index += 1
            if rng.random() < 0.7:
                file.close(log_index, ERASURE_TYPE, time=fact.time)
            taken = rng.sample(standing, rng.choice((1, len(standing) // 2, len(standing))))
            standing = [each for each in standing if each not in taken]
            waiting += [(log_index, each) for each in taken]
        while waiting and rng.random() < 0.6:
            erasure, target = waiting.pop(0)
            file.erase(erasure, target)
        if waiting == [] and rng.random() < 0.05:
            log_index += 1
            file.close(log_index, ACK_TYPE, target=log_index - 1)
    for erasure, target in waiting:
        file.erase(erasure, target)
    return file
