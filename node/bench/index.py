"""`standing bench index`: what the index costs at a number of keys, in this process.

Random keys and values (SHA-256 of a counter). Built bottom-up as at a start, then blocks of updates
of existing keys, drawn evenly, as many as fill the window; then presence proofs at the newest and
at the oldest version. Memory is what the process holds more than before the build.
"""

import random
import resource
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from ledger.index import Index, verify_presence

PROOFS: Final = 500
BLOCKS_MAX: Final = 24


def measure(keys: int, block: int, window: int, report: Callable[[str], None]) -> dict[str, Any]:
    """The figures of an index of so many keys; a block updates at most `block` of them."""
    report(f"{keys:,} keys")
    names = sorted(_hash(b"key", at) for at in range(keys))
    before_mib = _rss_mib()
    begun_s = time.process_time()
    index = Index.build(_pairs(names), window, version=0)
    build_s = time.process_time() - begun_s
    built_mib = _rss_mib() - before_mib
    draw, spent_s, updated = random.Random(keys), 0.0, 0  # noqa: S311 - a load, not a secret
    blocks = min(BLOCKS_MAX, window)
    for version in range(1, blocks + 1):
        chosen = draw.sample(names, min(block, keys))
        updates = {name: _hash(name, version) for name in chosen}
        begun_s = time.process_time()
        index.apply(version, updates)
        spent_s += time.process_time() - begun_s
        updated += len(updates)
    report(f"{keys:,} keys: proofs")
    newest = _prove(index, draw.sample(names, min(PROOFS, keys)), blocks)
    oldest = _prove(index, draw.sample(names, min(PROOFS, keys)), min(index.versions()))
    return {
        "keys": keys,
        "us_per_update": round(spent_s / updated * 1e6, 2),
        "block_updates": min(block, keys),
        "build_seconds": round(build_s, 2),
        "memory_mib": round(_rss_mib() - before_mib, 1),
        "memory_built_mib": round(built_mib, 1),
        "proof_bytes": newest["bytes_max"],
        "proof_bytes_mean": newest["bytes_mean"],
        "prove_us": newest["us"],
        "prove_oldest_us": oldest["us"],
    }


def _prove(index: Index, names: list[bytes], version: int) -> dict[str, Any]:
    root = index.root(version)
    begun_s = time.process_time()
    proofs = [index.prove(name, version) for name in names]
    spent_s = time.process_time() - begun_s
    for name, proof in zip(names, proofs, strict=True):
        value = index.get(name, version)
        assert value is not None, "the key was put there"
        verify_presence(root, name, value, proof)
    sizes = [len(proof) for proof in proofs]
    return {
        "bytes_max": max(sizes),
        "bytes_mean": round(fmean(sizes)),
        "us": round(spent_s / len(names) * 1e6, 1),
    }


def _pairs(names: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for name in names:
        yield name, _hash(name, 0)


def _hash(what: bytes, number: int) -> bytes:
    return sha256(what + number.to_bytes(8)).digest()


def _rss_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # not Linux: the most that the process ever held
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20
