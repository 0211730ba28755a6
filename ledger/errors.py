"""The errors of Standing, and whose fault each one is.

    StandingError
    ├── InvalidInput      the bytes, proof, record or request that was handed in is wrong
    │   ├── Malformed     cannot be decoded, or is not in its one canonical form
    │   ├── BadSignature  a signature does not hold
    │   ├── BadProof      a proof, note, receipt or bundle does not hold
    │   ├── Erased        a state is asked for whose records have been erased since
    │   └── Refused       a well-formed record that breaks a named rule
    ├── StoreDamaged      what is on disk is not what was written
    └── Misconfigured     the operator's configuration is wrong

`assert` is for our own bugs only. The HTTP edge maps each class to a status in one table.
"""

from typing import Final

KEYS_LOST: Final = (
    "This costs the platform its keys: without the store that knows what they signed they never "
    "sign again. The way back is `standing network rotate`, which makes new ones, with the root key"
)
"""Goes with every repair that gives a store up."""


class StandingError(Exception):
    """Root of all errors that Standing raises on purpose."""


class InvalidInput(StandingError):
    """What was handed in is wrong. `field` names the part at fault, or is empty."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class Malformed(InvalidInput):
    """Bytes that cannot be decoded, exceed a bound, or are not in canonical form."""


class BadSignature(InvalidInput):
    """An Ed25519 signature that does not hold, or a key that is not a valid point."""


class BadProof(InvalidInput):
    """A Merkle proof, note, receipt or bundle that does not hold."""


class Erased(InvalidInput):
    """An older checkpoint is asked for, and a record that it needs has been erased since."""


class Refused(InvalidInput):
    """A record that breaks a rule. `rule` is the rule's stable code (ledger/README.md)."""

    def __init__(self, rule: str, message: str, *, field: str = "") -> None:
        super().__init__(message, field=field)
        self.rule = rule


class StoreDamaged(StandingError):
    """A row on disk that is not what was written. `where` names it; the message, the repair."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where


class Misconfigured(StandingError):
    """A configuration that cannot be used: names the key, its line and a suggestion."""
