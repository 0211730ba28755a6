"""In an audit: who broke faith. Evidence on the ledger is what every node has verified, and so has
this audit's replay: it is no fault of the ledger, but whoever reads it should know."""

from collections.abc import Iterator, Sequence

from ledger.governance_rows import ACCUSED, slot_name
from ledger.governing import read_evidence
from ledger.membership import Validator
from ledger.source import Finding as Found
from ledger.statements import EVIDENCE_NAMES
from ledger.store import Reader


def accusations(reader: Reader, platforms: Sequence[Validator]) -> Iterator[Found]:
    """One finding for each piece of evidence: against whom, and what it signed."""
    codes = {each.number: each.code for each in platforms}
    for each in read_evidence(reader):
        told = each.evidence
        key = ACCUSED + slot_name(told.number, told.kind, told.epoch, told.slot)
        epoch = f" of epoch {told.epoch}" if told.epoch else ""
        yield Found(
            "evidence",
            f"platform {told.number} (key {key.hex()})",
            f"{codes.get(told.number, told.number)} signed {EVIDENCE_NAMES[told.kind]}"
            f"{epoch}, slot {told.slot}: record at log index {each.log_index}",
        )
