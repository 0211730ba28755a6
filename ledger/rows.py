"""Rows of the store that more than one room reads. Each is a canonical MessagePack array."""

from ledger.encoding import Hash, PlatformNumber, Signature, Uint, Value


class CosignatureRow(Value):
    """One validator's cosignature/v1 of a checkpoint; `time_s` is in seconds since 1970."""

    number: PlatformNumber
    time_s: Uint
    signature: Signature


class CheckpointRow(Value):
    """A certified checkpoint: exactly q cosignatures, ascending by validator number."""

    height: Uint
    size: Uint
    root: Hash
    cosignatures: tuple[CosignatureRow, ...]
