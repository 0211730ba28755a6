"""Ratings: one party's opinion of the other, on a registered scale, once per direction."""

from typing import Annotated, Literal

import msgspec

from ledger.encoding import Code, Handle, PlatformNumber, Small, TimeMs, Value
from ledger.records.engagement import Reference
from ledger.records.subject import OptionalKey

Direction = Literal["of-worker", "of-client"]
Dimension = tuple[Code, Small]
Dimensions = Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=8)]


class Rating(Value, tag=12):
    """A value on a scale, by a party to the engagement.

    Signed by the platform, or, where `rater_key` is given, by the rater's registered key.
    `dimensions` are sorted by code, each code once, each value on the same scale.
    """

    platform: PlatformNumber
    at: TimeMs
    reference: Reference
    direction: Direction
    rater: Handle
    rater_key: OptionalKey
    scale: Code
    value: Small
    dimensions: Dimensions
