"""Evidence: two messages that one key should not have signed both, for every node to judge.

Never erased. What the parts are is said in `ledger/statements.py`.
"""

from typing import Annotated

import msgspec

from ledger.encoding import PlatformNumber, TimeMs, Uint, Value
from ledger.statements import EVIDENCE_KIND_MAX, PART_BYTES_MAX, PART_BYTES_MIN

Part = Annotated[bytes, msgspec.Meta(min_length=PART_BYTES_MIN, max_length=PART_BYTES_MAX)]
EvidenceKind = Annotated[int, msgspec.Meta(ge=1, le=EVIDENCE_KIND_MAX)]


class Evidence(Value, tag=60):
    """What platform `number` signed twice. Signed by the platform that tells it.

    `kind`, `number`, `epoch`, `slot`, `first`, `second` as in `ledger.statements.Evidence`.
    """

    platform: PlatformNumber
    at: TimeMs
    kind: EvidenceKind
    number: PlatformNumber
    epoch: Uint
    slot: Uint
    first: Part
    second: Part
