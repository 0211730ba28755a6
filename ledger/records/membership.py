"""Records about who is a member: join, approve, ready, remove, leave, and new keys for old ones.

A *change* is what `member.propose`, `member.remove`, `member.leave` and `key.rotate` ask for. It is
named by the record id of the record that asked. None of these records is ever erased.
"""

from ledger.encoding import Hash, PlatformNumber, PublicKey, TimeMs, Uint, Value
from ledger.membership import Proofs, Validator


class MemberPropose(Value, tag=50):
    """A member proposes that a new platform joins. Signed by the member, which so approves it."""

    platform: PlatformNumber
    at: TimeMs
    validator: Validator
    proofs: Proofs


class MemberApprove(Value, tag=51):
    """A member approves a change (its record id). Signed by the member."""

    platform: PlatformNumber
    at: TimeMs
    change: Hash


class MemberReady(Value, tag=52):
    """Who is to join, or to return with new keys, has the ledger and can sign.

    `platform` is its number; `epoch` the current one; `size`, `root`: a checkpoint of that epoch,
    or the one that it began with. May come through any lane. Signatures: by the change's vote key,
    then by its lane key.
    """

    platform: PlatformNumber
    at: TimeMs
    change: Hash
    epoch: Uint
    size: Uint
    root: Hash
    vote_key: PublicKey
    lane_key: PublicKey


class MemberRemove(Value, tag=53):
    """A member proposes that another is removed. Signed by the member, which so approves it."""

    platform: PlatformNumber
    at: TimeMs
    number: PlatformNumber


class MemberLeave(Value, tag=54):
    """A member leaves. Signed by the member; nobody need approve."""

    platform: PlatformNumber
    at: TimeMs


class KeyRotate(Value, tag=55):
    """A member's new lane, vote, cosigner and log keys and certificate. May come through any lane.

    `root_key` is the registered one. Signatures: by it, then, where the validator names another
    root key, by that one. It is the member's own approval.
    """

    platform: PlatformNumber
    at: TimeMs
    root_key: PublicKey
    validator: Validator
    proofs: Proofs
