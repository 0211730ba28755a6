"""Records about a subject itself: a platform's handle for its worker or client, and links."""

from typing import Annotated, Literal

import msgspec

from ledger.encoding import Handle, PlatformNumber, PublicKey, TimeMs, Value

Assurance = Literal["none", "contact", "document", "in-person"]
OptionalKey = Annotated[
    bytes, msgspec.Meta(max_length=32, description="an Ed25519 key, or empty for none")
]


class SubjectRegister(Value, tag=1):
    """A platform names one of its workers or clients by a random handle. Signed by the platform."""

    platform: PlatformNumber
    at: TimeMs
    handle: Handle
    key: OptionalKey
    assurance: Assurance


class SubjectLink(Value, tag=4):
    """Two handles are one person: says the person, with both keys. May come through any lane.

    `(first_platform, first_handle)` comes before `(second_platform, second_handle)`, so that a link
    has one form.
    Signatures: by the first key, then by the second.
    """

    platform: PlatformNumber
    at: TimeMs
    first_platform: PlatformNumber
    first_handle: Handle
    first_key: PublicKey
    second_platform: PlatformNumber
    second_handle: Handle
    second_key: PublicKey
