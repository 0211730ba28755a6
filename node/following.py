"""Observers that follow through this member's links: a platform's further nodes, former members.

One platform has one node that signs; its further nodes are observers, made by `standing node
observe`. They have a link key of their own, whose certificate (observer.crt) a member's operator
lists in `peers.observers`; that member lets them in and tells them, behind each certified
checkpoint, where it stands: they fetch what they lack. They are known on links by numbers from 2³¹
up (node/links/tls.py), their votes would count for nothing, and they sign nothing.
"""

import ssl
from typing import Final

from consensus.effects import BatchResealed, BatchSealed, BatchVoid, Execute, Unsealed
from consensus.messages import encode_message
from consensus.sync import status_of
from ledger.errors import Malformed, Misconfigured
from ledger.membership import CERTIFICATE_BYTES_MAX
from ledger.position import Applied
from ledger.rows import CheckpointRow
from node.config import Config
from node.driver import Driver
from node.links.peers import Peers
from node.links.tls import GUEST, Guest, guest

_CODE: Final = "observer"


def load_guests(config: Config) -> tuple[Guest, ...]:
    """The observers whose certificates the configuration lists.

    Raises:
        Misconfigured: a file cannot be read, holds no certificate, or one stands there twice.
    """
    found: dict[int, Guest] = {}
    for path in config.observers:
        try:
            with path.open("rb") as file:
                text = file.read(2 * CERTIFICATE_BYTES_MAX).decode("ascii")
            each = guest(_CODE, ssl.PEM_cert_to_DER_cert(text))
        except OSError as error:
            raise Misconfigured(f"peers.observers: {path}: {error.strerror}") from error
        except (ValueError, Malformed) as error:
            raise Misconfigured(
                f"peers.observers: {path} is no certificate: name the observer.crt that "
                "`standing node observe` has made"
            ) from error
        if found.setdefault(each.number, each) is not each:
            raise Misconfigured(f"peers.observers: {path} stands there twice; remove one")
    return tuple(found.values())


class Following:
    """Tells guests where this node stands. It is a `Watcher` of the pump."""

    def __init__(self, driver: Driver, peers: Peers) -> None:
        self._driver, self._peers = driver, peers

    def sealed(self, effect: BatchSealed) -> None:
        """Nothing to tell."""

    def moved(self, effect: BatchVoid | BatchResealed | Unsealed) -> None:
        """Nothing to tell."""

    def executed(self, block: Execute, applied: Applied) -> None:
        """Nothing to tell."""

    def certified(self, row: CheckpointRow) -> None:  # noqa: ARG002
        """A checkpoint is certified: whoever follows may fetch up to it."""
        guests = [peer for peer in self._peers.linked() if peer >= GUEST]
        if guests:
            message = encode_message(status_of(self._driver.consensus))
            for peer in guests:
                self._peers.send(peer, message, bulk=False)
