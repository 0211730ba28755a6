"""Rules of `evidence`: every node judges it again, from its bytes and the sets of the ledger.

Whose key it was is told by the set of an epoch: a header's own, a vote's own, and of a root that of
the first block after which the log had so many entries. Two batches count only under one lane key:
a platform that got new keys seals its heights again.
"""

from ledger.errors import Malformed, Refused
from ledger.governance_rows import EvidenceRow, slot_name
from ledger.records.evidence import Evidence as EvidenceRecord
from ledger.rules.codes import EVIDENCE_EXISTS, EVIDENCE_FORM, EVIDENCE_UNPROVEN
from ledger.rules.registry import Registry
from ledger.rules.signatures import check_no_signatures
from ledger.signing import verify
from ledger.statements import Evidence, conflict


def told(record: EvidenceRecord) -> Evidence:
    """The evidence that a record carries."""
    return Evidence(
        record.kind, record.number, record.epoch, record.slot, record.first, record.second
    )


def check_evidence(chain: bytes, record: EvidenceRecord, signatures: bytes) -> None:
    """Stateless: the parts conflict. (Whose origin a root is signed for changes nothing here.)"""
    check_no_signatures(signatures)
    try:
        conflict(chain, "", told(record))
    except Malformed as error:
        raise Refused(EVIDENCE_FORM, error.message, field=error.field) from error


def judge_evidence(registry: Registry, record: EvidenceRecord) -> None:
    """Stateful: new, and both parts are signed by one key that the accused had then."""
    governance = registry.governance
    name = slot_name(record.number, record.kind, record.epoch, record.slot)
    if governance.accused.get(name) is not None:
        raise Refused(EVIDENCE_EXISTS, "stands on the ledger already", field="slot")
    footing = governance.footing
    keys = set()
    sides = conflict(footing.chain, footing.origin, told(record))
    for field, side in zip(("first", "second"), sides, strict=True):
        epoch = side.epoch if side.epoch is not None else governance.epoch_of_size(record.slot)
        key = None if epoch is None else governance.key_of(record.number, side.purpose, epoch)
        if key is None or not verify(key, side.message, side.signature):
            message = f"is not signed by platform {record.number}'s {side.purpose} key"
            raise Refused(EVIDENCE_UNPROVEN, message, field=field)
        keys.add(key)
    if len(keys) != 1:
        raise Refused(EVIDENCE_UNPROVEN, "is signed by another key", field="second")


def enact_evidence(
    registry: Registry, record: EvidenceRecord, log_index: int, batch_time: int
) -> None:
    """It stands there for everybody to see."""
    del batch_time
    name = slot_name(record.number, record.kind, record.epoch, record.slot)
    row = EvidenceRow(log_index, record.platform, record.first, record.second)
    registry.governance.accused.put(name, row)
