"""RFC 6962 §2.1 read aloud: recursive, slow, and nothing shared with the code under test."""

from hashlib import sha256


def split(count):
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def tree_hash(entries):
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:])).digest()


def path(index, entries):
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if index < k:
        return [*path(index, entries[:k]), tree_hash(entries[k:])]
    return [*path(index - k, entries[k:]), tree_hash(entries[:k])]


def proof(size1, entries):
    return subproof(size1, entries, whole=True)


def subproof(m, entries, *, whole):
    if m == len(entries):
        return [] if whole else [tree_hash(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole=whole), tree_hash(entries[k:])]
    return [*subproof(m - k, entries[k:], whole=False), tree_hash(entries[:k])]


def frontier(entries):
    """The roots of the largest complete subtrees, left to right."""
    if not entries:
        return []
    k = 1
    while k * 2 <= len(entries):
        k *= 2
    return [tree_hash(entries[:k]), *frontier(entries[k:])]
