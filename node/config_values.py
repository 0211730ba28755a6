"""What a node's configuration names: who may do what over HTTP, other logs, outside witnesses."""

from dataclasses import dataclass
from typing import Literal

from ledger.note import Verifier

Right = Literal["read", "write", "govern"]
"""`govern`: hand in records about who is a member, and those alone (node/api/auth.py)."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of the HTTP API, known by its hash (64 lowercase hex digits) only."""

    name: str
    sha256: str
    may: frozenset[Right]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who may sign requests (node/api/signatures.py): an Ed25519 key, and what it may do."""

    name: str
    key: bytes
    may: frozenset[Right]


@dataclass(frozen=True, slots=True)
class WitnessedLog:
    """A key of another log that this node's witness knows; a log may have several."""

    origin: str
    key: Verifier


@dataclass(frozen=True, slots=True)
class OutsideWitness:
    """A witness that is asked to cosign: `url` is its submission prefix, without a last slash."""

    url: str
    key: Verifier
