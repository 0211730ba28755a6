"""Rules of `subject.register` and `subject.link`, and what they change in the registry.

A link joins two sets of files into one. Links form a forest: two subjects that are joined already,
directly or through others, are not linked again, so that n joined files have n − 1 links. Once it
is erased, nobody who kept the signed record joins the two anew: a link is dated after the last
erasure of each side.
"""

from ledger.errors import Refused
from ledger.records import encode_record
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rows import SubjectRow
from ledger.rules.codes import LINK_EXISTS, LINK_ORDER, SUBJECT_EXISTS, TOO_MANY_LINKS
from ledger.rules.registry import Registry, need_dated_after_erasure, need_subject
from ledger.rules.signatures import (
    check_key,
    check_no_signatures,
    check_registered,
    check_signatures,
)
from ledger.store import subject_key

JOINED_FILES_MAX = 16


def check_register(chain: bytes, record: SubjectRegister, signatures: bytes) -> None:
    """Stateless: signed by the batch alone; the key, if there is one, is a valid point."""
    del chain
    check_no_signatures(signatures)
    if record.key:
        check_key(record.key, field="key")


def judge_register(registry: Registry, record: SubjectRegister) -> None:
    """Stateful: the handle is new on its platform."""
    if registry.subjects.get(subject_key(record.platform, record.handle)) is not None:
        raise Refused(SUBJECT_EXISTS, "is registered already", field="handle")


def enact_register(
    registry: Registry, record: SubjectRegister, log_index: int, batch_time: int
) -> None:
    """The subject exists from now on, with an empty file."""
    del batch_time
    row = SubjectRow(
        registered=log_index,
        key=record.key,
        assurance=record.assurance,
        results=0,
        length=0,
        frontier=b"",
        links=(),
        erasing=None,
        erased=0,
        cleared=0,
        erased_at=0,
    )
    registry.subjects.put(subject_key(record.platform, record.handle), row)


def check_link(chain: bytes, record: SubjectLink, signatures: bytes) -> None:
    """Stateless: one form per pair, and both sides have signed."""
    first = (record.first_platform, record.first_handle)
    if first >= (record.second_platform, record.second_handle):
        raise Refused(LINK_ORDER, "does not come before the second side", field="first_handle")
    keys = (record.first_key, record.second_key)
    check_signatures(chain, encode_record(record), signatures, keys)


def judge_link(registry: Registry, record: SubjectLink) -> None:
    """Stateful: both are registered with these keys, and not joined yet; the union is bounded."""
    first = need_subject(registry, record.first_platform, record.first_handle, field="first_handle")
    second = need_subject(
        registry, record.second_platform, record.second_handle, field="second_handle"
    )
    check_registered(first, record.first_key, field="first_key")
    check_registered(second, record.second_key, field="second_key")
    for side in (first, second):
        need_dated_after_erasure(side, record.at)
    here = joined(registry, subject_key(record.first_platform, record.first_handle))
    there = subject_key(record.second_platform, record.second_handle)
    if there in here:
        raise Refused(LINK_EXISTS, "is joined with the first side already", field="second_handle")
    if len(here) + len(joined(registry, there)) > JOINED_FILES_MAX:
        raise Refused(
            TOO_MANY_LINKS, f"would join more than {JOINED_FILES_MAX} files", field="second_handle"
        )


def joined(registry: Registry, subject: bytes) -> set[bytes]:
    """All subjects that links join to this one, itself included; an erased link joins nothing."""
    found = {subject}
    waiting = [subject]
    while waiting:
        row = registry.subjects.get(waiting.pop())
        for other in row.links if row is not None else ():
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def enact_link(registry: Registry, record: SubjectLink, log_index: int, batch_time: int) -> None:
    """Each side's row names the other."""
    del log_index, batch_time
    first = subject_key(record.first_platform, record.first_handle)
    second = subject_key(record.second_platform, record.second_handle)
    for here, there in ((first, second), (second, first)):
        row = registry.subjects.get(here)
        assert row is not None, "a link was judged before it is enacted"
        row.links = tuple(sorted((*row.links, there)))
        registry.subjects.put(here, row)
