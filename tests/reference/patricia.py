"""The map read aloud: from a dictionary the whole tree, made anew for every state."""

from hashlib import sha256


def bit(key, b):
    return key[b // 8] >> (7 - b % 8) & 1


def parting(keys):
    """The first bit on which the keys do not all agree: the smallest and the largest part there."""
    low, high = min(keys), max(keys)
    return next(b for b in range(256) if bit(low, b) != bit(high, b))


def tree(contents):
    """(hash, key, value) of a leaf, (hash, bit, left, right) of an inner node, () of nothing."""
    if not contents:
        return ()
    if len(contents) == 1:
        [(key, value)] = contents.items()
        return (sha256(key + value).digest(), key, value)
    b = parting(contents)
    left = tree({k: v for k, v in contents.items() if not bit(k, b)})
    right = tree({k: v for k, v in contents.items() if bit(k, b)})
    return (sha256(left[0] + right[0] + bytes([b])).digest(), b, left, right)


def root(node):
    return node[0] if node else sha256(b"").digest()


def prove(node, key):
    items = b""
    while len(node) == 4:
        _, b, left, right = node
        node, other = (right, left) if bit(key, b) else (left, right)
        items = bytes([b]) + other[0] + items
    return items if not node or node[1] == key else node[1] + node[2] + items
