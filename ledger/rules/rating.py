"""Rules of `rating`, and what it changes in the registry.

A rating needs its engagement, not its outcome: parties rate each other while work goes on, and an
outcome that a platform withholds must not silence them. A rating that its rater's own key signs may
come through any lane; one that its platform's batch signs comes through that platform's.
"""

from ledger.errors import Refused
from ledger.records import encode_record
from ledger.records.rating import Rating
from ledger.rules.codes import (
    DIMENSIONS_UNSORTED,
    NOT_A_PARTY,
    RATING_EXISTS,
    UNKNOWN_SCALE,
    VALUE_OUT_OF_SCALE,
)
from ledger.rules.engagement import engagement_key, need_engagement
from ledger.rules.registry import Registry, need_subject
from ledger.rules.signatures import check_no_signatures, check_registered, check_signatures


def check_rating(chain: bytes, record: Rating, signatures: bytes) -> None:
    """Stateless: dimensions in their one order; signed by the rater's key iff it is given."""
    codes = [code for code, _ in record.dimensions]
    if len(codes) > 1 and codes != sorted(set(codes)):
        raise Refused(DIMENSIONS_UNSORTED, "do not ascend, each once", field="dimensions")
    if record.rater_key:
        check_signatures(chain, encode_record(record), signatures, (record.rater_key,))
    else:
        check_no_signatures(signatures)


def judge_rating(registry: Registry, record: Rating) -> None:
    """Stateful: by the other party, once, on a known scale, by the registered key."""
    row = need_engagement(registry, record.platform, record.reference, record.at)
    of_worker = record.direction == "of-worker"
    if record.rater != (row.client if of_worker else row.worker):
        raise Refused(NOT_A_PARTY, "is not the other party of the engagement", field="rater")
    if (row.of_worker if of_worker else row.of_client) is not None:
        raise Refused(RATING_EXISTS, "has been given already", field="direction")
    scale = registry.vocabulary.scales.get(record.scale)
    if scale is None:
        raise Refused(UNKNOWN_SCALE, f"{record.scale} is not registered", field="scale")
    if not scale.low <= record.value <= scale.high:
        raise Refused(VALUE_OUT_OF_SCALE, f"is not on {record.scale}", field="value")
    for code, value in record.dimensions:
        if not scale.low <= value <= scale.high:
            raise Refused(VALUE_OUT_OF_SCALE, f"{code} is not on it", field="dimensions")
    if record.rater_key:
        rater = need_subject(registry, record.platform, record.rater, field="rater")
        check_registered(rater, record.rater_key, field="rater_key")


def enact_rating(registry: Registry, record: Rating, log_index: int, batch_time: int) -> None:
    """The party is rated."""
    del batch_time
    key = engagement_key(record.platform, record.reference)
    row = registry.engagements.get(key)
    assert row is not None, "a rating was judged before it is enacted"
    if record.direction == "of-worker":
        row.of_worker = log_index
    else:
        row.of_client = log_index
    registry.engagements.put(key, row)
