"""All thresholds of the protocol: how many of n validators are enough for what.

f = ⌊(n − 1) / 3⌋    validators that may be faulty in any way
q = n − f            a quorum: two of them share an honest validator
f + 1                at least one of them is honest
"""

N_MIN = 1
N_MAX = 100


def faults(n: int) -> int:
    """f: how many of n validators may be faulty."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """q: how many distinct validators make a certificate or a certified checkpoint."""
    return n - faults(n)


def witnesses(n: int) -> int:
    """f + 1: how many distinct validators include an honest one."""
    return faults(n) + 1
