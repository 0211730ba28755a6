"""Erasure: a subject asks that what is held about it be destroyed; each platform says when it has.

Neither record is ever erased itself: they say that something was, and why it cannot be opened.
"""

from typing import Literal

from ledger.encoding import Handle, Hash, PlatformNumber, PublicKey, TimeMs, Value

Scope = Literal["platform", "whole"]


class Erasure(Value, tag=30):
    """Openings in a subject's file are to be destroyed at every node. Signed by the subject's key.

    `scope`: the file of this handle alone, or that and all files that links join to it.
    """

    platform: PlatformNumber
    at: TimeMs
    handle: Handle
    key: PublicKey
    scope: Scope


class ErasureAck(Value, tag=31):
    """A platform's node has nothing left of what an erasure covers. Signed by the platform.

    `erasure` is the record id of the erasure.
    """

    platform: PlatformNumber
    at: TimeMs
    erasure: Hash
