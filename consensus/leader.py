"""Who may propose in a view: rotation over the epoch's validators, in order of their numbers."""

from collections.abc import Sequence


def leader(numbers: Sequence[int], epoch: int, view: int) -> int:
    """The number of the platform that leads a view: seat (epoch + view) mod n.

    `numbers` are the epoch's validators in ascending order. The epoch is added so that the views
    that begin epochs are led by different platforms.
    """
    return numbers[(epoch + view) % len(numbers)]
