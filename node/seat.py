"""The own platform's place in the network: does its node vote, may its lane be written, since when
not, and who else may be asked.

*Validator*: the set of the current epoch names the platform with keys that this node holds, and
they may sign. *Observer*: every other node; it follows, verifies and serves reads.
"""

from collections.abc import Callable
from typing import Final, Literal

from ledger.binding import LEAVE, approved_at
from ledger.governing import read_open
from ledger.records import TAGS
from ledger.records.membership import MemberRemove
from ledger.store import Reader
from node.driver import NEVER_SIGNS, Driver
from node.intake import LEAVES

Role = Literal["validator", "observer"]

_REMOVE: Final = TAGS[MemberRemove]
REMOVED: Final = "this platform is to be removed: its lane ends with this epoch"


class Seat:
    """What the node knows of its own seat."""

    def __init__(
        self, driver: Driver, reader: Reader, number: int, ended: Callable[[], str]
    ) -> None:
        """`ended`: that the platform's membership has ended, or nothing (node/keyring.py)."""
        self._driver, self._reader, self.number = driver, reader, number
        self._ended = ended
        self._looked_at = -1
        self._ends = ""

    @property
    def role(self) -> Role:
        """Whether this node votes."""
        is_silenced = bool(self._driver.forgotten)
        return "observer" if self._driver.keys is None or is_silenced else "validator"

    @property
    def closed(self) -> str:
        """Why this node takes no records, and what to do; nothing where it does."""
        if ended := self._ended():
            return ended
        if self._driver.forgotten:
            return f"{self._driver.forgotten}. {NEVER_SIGNS}"
        if self._driver.keys is None:
            return (
                f"this node is an observer: platform {self.number} is no member of epoch "
                f"{self._driver.consensus.epoch}, or with other keys; a member's node takes records"
            )
        return self._ending()

    def _ending(self) -> str:
        ledger = self._driver.ledger
        if ledger.height != self._looked_at:
            self._ends = ""
            members = {each.number: each for each in ledger.validators}
            for _, row in read_open(self._reader):
                if row.number == self.number and row.type == LEAVE and len(members) > 1:
                    self._ends = LEAVES  # (the last member stays until another has joined)
                elif (
                    row.number == self.number
                    and row.type == _REMOVE
                    and approved_at(row, members) is not None
                ):
                    self._ends = REMOVED
            self._looked_at = ledger.height
        return self._ends
