"""Who may propose in a view: rotation over the epoch's validators, past who failed lately.

**Rotation.** View v of epoch e is the turn of seat (e + v) mod n, by ascending numbers. The epoch
is added so that the views that begin epochs are led by different platforms.

**Passing over.** The rounds of n views in which everybody leads in his turn whatever has happened
are *trials*: round 0 (views 1 … n), and every `TRIAL_ROUNDS`-th after it. Who had a trial in epoch
e − 1 before its last block's view, and made no block of that epoch in any, is passed over in epoch
e: outside of trials his views are led by the next seat that is not passed over. If there are more
than f of them, nobody is: then the network had failed, not its leaders.

This is safe whatever the rule says, since a node notarizes once per view, whoever leads. It is
alike everywhere, since no node is in epoch e before the blocks of epoch e − 1 are final and
certified. And it keeps liveness: of n − f seats that lead, at most f are faulty; and whoever works
again leads his trials, makes a block in one, and is back an epoch later.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from consensus.quorum import faults

TRIAL_ROUNDS: Final = 8


def leader(
    numbers: Sequence[int], epoch: int, view: int, passed: frozenset[int] = frozenset()
) -> int:
    """The number of the platform that leads a view. `numbers` are the epoch's validators in
    ascending order, `passed` those of them that are passed over in it."""
    turn = (epoch + view) % len(numbers)
    if not passed or _is_trial(len(numbers), view):
        return numbers[turn]
    return next(each for each in (*numbers[turn:], *numbers[:turn]) if each not in passed)


def passed_over(numbers: Sequence[int], epoch: int, views: Iterable[int]) -> frozenset[int]:
    """Whom the next epoch passes over. `numbers` are this epoch's validators in ascending order,
    `views` those of all its blocks, ascending."""
    n = len(numbers)
    made, last = set(), 0
    for last in views:
        if _is_trial(n, last):
            made.add(leader(numbers, epoch, last))
    tried = {leader(numbers, epoch, view) for view in range(1, min(n + 1, last))}
    failed = frozenset(tried - made)
    return failed if len(failed) <= faults(n) else frozenset()


def _is_trial(n: int, view: int) -> bool:
    return (view - 1) // n % TRIAL_ROUNDS == 0
