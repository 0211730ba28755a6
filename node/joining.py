"""A node with a new store first learns what its own lane holds; until then it takes no records.

A new store is new because the network is, or because the old one was lost. In the second case peers
hold batches of this platform that it no longer knows of, and a record taken now would stand at a
height of its lane that is taken already. So the node waits until q − 1 peers have said where they
stand, and until it has executed what they had final and holds every own batch that they hint. The
mark (row `N` "new") goes away then, and with it the wait, for ever.
"""

from typing import Final

from consensus.quorum import quorum
from ledger.store import NODE
from node.driver import Driver
from node.storage.leveldb import LevelStore

NEW_KEY: Final = NODE + b"new"


class Joining:
    """Whether the node knows its own lane."""

    def __init__(self, driver: Driver, store: LevelStore) -> None:
        self._driver, self._store = driver, store
        self._over = store.get(NEW_KEY) is None

    def is_over(self) -> bool:
        """Whether records may be taken."""
        if not self._over and self._knows_own_lane():
            self._over = True
            self._store.submit({NEW_KEY: None})
        return self._over

    def _knows_own_lane(self) -> bool:
        consensus, heard = self._driver.consensus, self._driver.heard_from
        config = consensus.config
        if len(heard) + 1 < quorum(len(config.validators)):
            return False
        final = max((consensus.peers[peer].final_height for peer in heard), default=0)
        own = consensus.lanes.lanes[config.me]
        return self._driver.ledger.height >= final and not own.ahead
