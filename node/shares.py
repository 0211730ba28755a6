"""Fair shares of the intake among those who hand records in: whoever the token names.

**Room.** Own records that are not final yet are bounded (`pending_records_max`). One caller may
have at most `SHARE` times as many of them under way as there is room left. So a single one gets
SHARE / (SHARE + 1) of all, several get equal shares, and there is always room for one who comes
later. (Choudhury and Hahne's dynamic threshold, as for queues in a shared memory.)

**Turns.** A caller's calls are taken one at a time, however many streams it has: so the loop that
takes offers goes round the callers, not the streams.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary

SHARE: Final = 4


class Shares:
    """What each caller has under way, and whose turn it is."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, who: str) -> asyncio.Lock:
        """To be held while a call's offers are taken."""
        lock = self._turns.get(who)
        if lock is None:
            lock = self._turns[who] = asyncio.Lock()
        return lock

    def has_room(self, who: str, room: int) -> bool:
        """Whether a caller may hand in one more, while there is room for so many of all callers."""
        return self._under_way[who] < SHARE * room

    def take(self, who: str) -> None:
        """One more of a caller's is under way."""
        self._under_way[who] += 1

    def give_back(self, counts: Mapping[str, int]) -> None:
        """So many of each caller's are no longer under way."""
        for who, count in counts.items():
            self._under_way[who] -= count
            if self._under_way[who] <= 0:
                del self._under_way[who]
