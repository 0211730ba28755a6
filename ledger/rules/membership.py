"""Rules of `member.propose`, `.approve`, `.ready`, `.remove`, `.leave`, `key.rotate`.

Who is a member is told by the set of the block's epoch. What binds at an epoch's end is said in
`ledger/binding.py`. A platform that has `OPEN_CHANGES_MAX` changes open and asks for one more gives
up the oldest of them that is not approved: it becomes void.
"""

from typing import Final

from ledger.binding import LEAVE, approved_at
from ledger.bureau.model import Model
from ledger.certificate import link_key
from ledger.errors import InvalidInput, Refused
from ledger.governance_rows import (
    Approval,
    ChangeRow,
    UsedRow,
    code_name,
    key_names,
    number_name,
)
from ledger.governing import Governance
from ledger.hashing import ZERO_HASH
from ledger.membership import PURPOSES, Proofs, Validator, possession_message
from ledger.records import TAGS, encode_record
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from ledger.rules.codes import (
    APPROVAL_EXISTS,
    BAD_CERTIFICATE,
    CHANGE_CLOSED,
    KEY_NOT_REGISTERED,
    KEYS_NOT_DISTINCT,
    LAST_MEMBER,
    LEAVING,
    NAME_TAKEN,
    NEEDS_NO_APPROVAL,
    NO_POSSESSION,
    NOT_A_MEMBER,
    NOT_AWAITED,
    OTHER_IDENTITY,
    READY_EXISTS,
    REMOVAL_EXISTS,
    REMOVES_ITSELF,
    TOO_MANY_CHANGES,
    UNKNOWN_CHANGE,
    UNKNOWN_CHECKPOINT,
    UNKNOWN_MEMBER,
    WRONG_EPOCH,
)
from ledger.rules.registry import Registry
from ledger.rules.signatures import check_key, check_no_signatures, check_signatures
from ledger.signing import verify

OPEN_CHANGES_MAX: Final = 16

_REMOVE: Final = TAGS[MemberRemove]


# --- what the bytes alone tell ---


def check_candidate(validator: Validator, proofs: Proofs) -> None:
    """Valid keys, all different, each one's possession proven, and a certificate of its one form.

    Raises:
        Refused: says which is not.
    """
    for purpose in PURPOSES:
        key, field = validator.key(purpose), f"validator.{purpose}_key"
        check_key(key, field=field)
        message = possession_message(validator.number, validator.code, purpose, key)
        if not verify(key, message, getattr(proofs, purpose)):
            raise Refused(NO_POSSESSION, "does not hold", field=f"proofs.{purpose}")
    try:
        link = link_key(validator.certificate, validator.code)
    except InvalidInput as error:
        raise Refused(BAD_CERTIFICATE, error.message, field="validator.certificate") from error
    keys = [validator.key(purpose) for purpose in PURPOSES]
    if len({*keys, link}) != len(PURPOSES) + 1:
        raise Refused(KEYS_NOT_DISTINCT, "has a key in two places", field="validator")


def check_propose(chain: bytes, record: MemberPropose, signatures: bytes) -> None:
    """Stateless: signed by the batch alone; the candidate's keys and certificate hold."""
    del chain
    check_no_signatures(signatures)
    check_candidate(record.validator, record.proofs)


def check_rotate(chain: bytes, record: KeyRotate, signatures: bytes) -> None:
    """Stateless: of the platform itself, signed by its root key, and a new one, too."""
    if record.validator.number != record.platform:
        raise Refused(OTHER_IDENTITY, "is not the record's platform", field="validator.number")
    keys = dict.fromkeys((record.root_key, record.validator.root_key))
    check_signatures(chain, encode_record(record), signatures, tuple(keys))
    check_candidate(record.validator, record.proofs)


def check_ready(chain: bytes, record: MemberReady, signatures: bytes) -> None:
    """Stateless: signed by both keys."""
    keys = (record.vote_key, record.lane_key)
    check_signatures(chain, encode_record(record), signatures, keys)


def check_by_batch(
    chain: bytes, record: MemberApprove | MemberRemove | MemberLeave, signatures: bytes
) -> None:
    """Stateless: signed by the batch alone."""
    del chain, record
    check_no_signatures(signatures)


# --- what needs the state ---


def judge_propose(registry: Registry, record: MemberPropose) -> None:
    """Stateful: by a member; number, code, keys and certificate are nobody else's."""
    governance = registry.governance
    need_member(governance, record.platform)
    names = [("number", number_name(record.validator.number))]
    names += [("code", code_name(record.validator.code)), *_all_keys(record.validator)]
    _need_new(governance, names)
    need_room(governance, record.platform)


def judge_rotate(registry: Registry, record: KeyRotate) -> None:
    """Stateful: of a member, by its registered root key; all other keys are new."""
    governance = registry.governance
    member = need_member(governance, record.platform)
    if record.validator.code != member.code:
        raise Refused(OTHER_IDENTITY, f"is not {member.code}", field="validator.code")
    if record.root_key != member.root_key:
        raise Refused(KEY_NOT_REGISTERED, "is not the platform's root key", field="root_key")
    _need_staying(governance, record.platform, field="platform")
    _need_new(governance, _new_keys(record))
    need_room(governance, record.platform)


def judge_remove(registry: Registry, record: MemberRemove) -> None:
    """Stateful: by a member, of another one, whose removal or leaving is not open."""
    governance = registry.governance
    need_member(governance, record.platform)
    if record.number == record.platform:
        raise Refused(REMOVES_ITSELF, "is the platform itself: it can leave", field="number")
    if governance.footing.member(record.number) is None:
        raise Refused(UNKNOWN_MEMBER, "is no member of this epoch", field="number")
    _need_staying(governance, record.number, field="number")
    for _, row in governance.open_changes():
        if (row.type, row.number) == (_REMOVE, record.number):
            raise Refused(REMOVAL_EXISTS, "is to be removed already: approve that", field="number")
    need_room(governance, record.platform)


def judge_leave(registry: Registry, record: MemberLeave) -> None:
    """Stateful: by a member that is not the last one and does not leave already."""
    governance = registry.governance
    need_member(governance, record.platform)
    if len(governance.footing.validators) == 1:
        raise Refused(LAST_MEMBER, "is the last member", field="platform")
    _need_staying(governance, record.platform, field="platform")


def judge_approve(registry: Registry, record: MemberApprove) -> None:
    """Stateful: by a member that has not approved it, of an open change that needs approval."""
    governance = registry.governance
    need_member(governance, record.platform)
    _, row = _need_open(governance, record.change)
    if row.type == LEAVE:
        raise Refused(NEEDS_NO_APPROVAL, "is a member's leaving", field="change")
    if any(each.number == record.platform for each in row.approvals):
        raise Refused(APPROVAL_EXISTS, "has this platform's approval already", field="change")


def judge_ready(registry: Registry, record: MemberReady) -> None:
    """Stateful: of a join or rotation that is open, by its keys, over a checkpoint of the epoch."""
    governance = registry.governance
    _, row = _need_open(governance, record.change)
    if row.validator is None:
        raise Refused(NOT_AWAITED, "is neither a join nor a rotation", field="change")
    for field, told, asked in (
        ("platform", record.platform, row.number),
        ("vote_key", record.vote_key, row.validator.vote_key),
        ("lane_key", record.lane_key, row.validator.lane_key),
    ):
        if told != asked:
            raise Refused(NOT_AWAITED, "is not that of the change", field=field)
    if record.epoch != governance.footing.epoch:
        raise Refused(WRONG_EPOCH, f"is not {governance.footing.epoch}", field="epoch")
    if governance.root_at(record.size) != record.root:
        raise Refused(UNKNOWN_CHECKPOINT, "is of no checkpoint of this epoch", field="size")
    if row.ready_epoch == record.epoch:
        raise Refused(READY_EXISTS, "is ready in this epoch already", field="change")


def need_member(governance: Governance, number: int) -> Validator:
    """The member of the block's epoch that asks for something.

    Raises:
        Refused: it is none.
    """
    member = governance.footing.member(number)
    if member is None:
        raise Refused(NOT_A_MEMBER, "is no member of this epoch", field="platform")
    return member


def _need_staying(governance: Governance, number: int, *, field: str) -> None:
    for _, row in governance.open_changes():
        if (row.type, row.number) == (LEAVE, number):
            raise Refused(LEAVING, "is leaving already", field=field)


def _need_open(governance: Governance, change: bytes) -> tuple[int, ChangeRow]:
    log_index = governance.log_index_of(change)
    if log_index is None:
        raise Refused(UNKNOWN_CHANGE, "is no accepted change", field="change")
    row = governance.need(log_index)
    if row.bound is not None or row.void is not None:
        raise Refused(CHANGE_CLOSED, "is not open any more", field="change")
    return log_index, row


def _need_new(governance: Governance, names: list[tuple[str, bytes]]) -> None:
    for field, name in names:
        taken = governance.taken(name)
        if taken is not None:
            message = f"was registered for platform {taken.number} before"
            raise Refused(NAME_TAKEN, message, field=f"validator.{field}")


def _all_keys(validator: Validator) -> list[tuple[str, bytes]]:
    return key_names(validator, link_key(validator.certificate, validator.code))


def _new_keys(record: KeyRotate) -> list[tuple[str, bytes]]:
    """The names that a rotation takes: all keys, but the root key where that stays."""
    names = _all_keys(record.validator)
    return names[:-1] if record.validator.root_key == record.root_key else names


def _own_changes(governance: Governance, proposer: int) -> list[tuple[int, ChangeRow]]:
    changes = governance.open_changes()
    return [each for each in changes if each[1].proposer == proposer and each[1].type != LEAVE]


def _oldest_unapproved(governance: Governance, changes: list[tuple[int, ChangeRow]]) -> int | None:
    members = {each.number: each for each in governance.footing.validators}
    return next((at for at, row in changes if approved_at(row, members) is None), None)


def need_room(governance: Governance, proposer: int) -> None:
    """A platform may ask for one change more.

    Raises:
        Refused: all that it may have open are approved.
    """
    own = _own_changes(governance, proposer)
    if len(own) >= OPEN_CHANGES_MAX and _oldest_unapproved(governance, own) is None:
        raise Refused(TOO_MANY_CHANGES, "has as many approved changes open as may be")


# --- what an accepted record changes ---


def enact_propose(
    registry: Registry, record: MemberPropose, log_index: int, batch_time: int
) -> None:
    """A join is open; the candidate's names are taken until it is void."""
    governance = registry.governance
    validator = record.validator
    names = [name for _, name in _all_keys(validator)]
    names += [number_name(validator.number), code_name(validator.code)]
    _take(governance, names, validator.number, log_index)
    ask_for(governance, record, log_index, validator.number, validator, asked=batch_time)


def enact_rotate(registry: Registry, record: KeyRotate, log_index: int, batch_time: int) -> None:
    """A rotation is open; the new keys are taken for ever."""
    governance = registry.governance
    names = [name for _, name in _new_keys(record)]
    _take(governance, names, record.platform, log_index)
    ask_for(governance, record, log_index, record.platform, record.validator, asked=batch_time)


def enact_remove(registry: Registry, record: MemberRemove, log_index: int, batch_time: int) -> None:
    """A removal is open."""
    ask_for(registry.governance, record, log_index, record.number, None, asked=batch_time)


def enact_leave(registry: Registry, record: MemberLeave, log_index: int, batch_time: int) -> None:
    """A leaving is open."""
    ask_for(registry.governance, record, log_index, record.platform, None, asked=batch_time)


def enact_approve(
    registry: Registry, record: MemberApprove, log_index: int, batch_time: int
) -> None:
    """One approval more."""
    del batch_time
    governance = registry.governance
    at, row = _need_open(governance, record.change)
    row.approvals = (*row.approvals, Approval(record.platform, log_index))
    governance.changes.put(at.to_bytes(8), row)


def enact_ready(registry: Registry, record: MemberReady, log_index: int, batch_time: int) -> None:
    """The candidate is ready in this epoch."""
    del batch_time
    governance = registry.governance
    at, row = _need_open(governance, record.change)
    row.ready, row.ready_epoch = log_index, record.epoch
    governance.changes.put(at.to_bytes(8), row)


def _take(governance: Governance, names: list[bytes], number: int, log_index: int) -> None:
    for name in names:
        governance.used.put(name, UsedRow(number, log_index))


def ask_for(
    governance: Governance,
    record: MemberPropose | MemberRemove | MemberLeave | KeyRotate | ModelActivate,
    log_index: int,
    number: int,
    validator: Validator | None,
    *,
    asked: int,
    model: Model | None = None,
) -> None:
    """A new open change, approved by who asks for it, in a batch of that time (ms)."""
    given_up = None
    own = _own_changes(governance, record.platform)
    if len(own) >= OPEN_CHANGES_MAX and not isinstance(record, MemberLeave):
        given_up = _oldest_unapproved(governance, own)
    if given_up is not None:
        row = governance.need(given_up)
        row.void = governance.footing.epoch
        governance.changes.put(given_up.to_bytes(8), row)
    made = ChangeRow(
        type=TAGS[type(record)],
        commitment=ZERO_HASH,  # execution knows it
        proposer=record.platform,
        number=number,
        validator=validator,
        model=model,
        approvals=(Approval(record.platform, log_index),),
        ready=None,
        ready_epoch=0,
        bound=None,
        void=None,
        asked=asked,
    )
    governance.changes.put(log_index.to_bytes(8), made)
    left = [at for at, _ in governance.open_changes() if at not in {given_up, log_index}]
    governance.keep_open((*left, log_index))
