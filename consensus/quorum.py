"""All thresholds of the protocol: how many of n validators are enough for what.

f = ⌊(n − 1) / 3⌋    validators that may be faulty in any way
q = n − f            a quorum: two of them share an honest validator
f + 1                at least one of them is honest
"""

from ledger.membership import faults, quorum

__all__ = ["N_MAX", "N_MIN", "faults", "quorum", "witnesses"]

N_MIN = 1
N_MAX = 100


def witnesses(n: int) -> int:
    """f + 1: how many distinct validators include an honest one."""
    return faults(n) + 1
