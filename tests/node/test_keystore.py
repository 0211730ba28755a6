"""Key files: only their owner's, in one form, never overwritten."""

from pathlib import Path

import pytest

from ledger.errors import Misconfigured
from ledger.signing import SigningKey
from node.keystore import ONLINE, Keystore, key_path, read_seed, write_seed


def _seeds(folder: Path) -> dict[str, bytes]:
    seeds = {purpose: bytes([at]) * 32 for at, purpose in enumerate(ONLINE, 1)}
    for purpose, seed in seeds.items():
        write_seed(key_path(folder, purpose), seed)
    return seeds


def test_loads_what_was_written(tmp_path: Path) -> None:
    seeds = _seeds(tmp_path)
    keys = Keystore.load(tmp_path)
    assert keys.vote.public == SigningKey.from_seed(seeds["vote"]).public
    assert keys.link_seed == seeds["link"]
    assert key_path(tmp_path, "lane").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700 | 0o001])
def test_refuses_a_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    _seeds(tmp_path)
    key_path(tmp_path, "log").chmod(mode)
    with pytest.raises(Misconfigured, match=r"log\.key has mode .* chmod 600"):
        Keystore.load(tmp_path)


def test_refuses_missing_and_malformed(tmp_path: Path) -> None:
    path = key_path(tmp_path, "lane")
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_seed(path)
    for text in ("", "00" * 32, "00" * 31 + "\n", "0G" * 32 + "\n", "00" * 32 + "\n\n"):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(Misconfigured, match="does not hold a seed"):
            read_seed(path)


def test_never_overwrites(tmp_path: Path) -> None:
    path = key_path(tmp_path, "lane")
    write_seed(path, bytes(32))
    with pytest.raises(Misconfigured, match="cannot be written"):
        write_seed(path, bytes([1]) * 32)
    assert read_seed(path) == bytes(32)
