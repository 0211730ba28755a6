"""`standing key`: a new key file that nobody else reads, and its public half."""

import json
from pathlib import Path

import pytest

from ledger.signing import SigningKey
from node.cli import main
from node.keystore import read_seed, write_seed


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["key", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_new_key_is_in_the_form_that_erasing_reads(tmp_path: Path, capsys) -> None:
    path = tmp_path / "worker.key"
    assert call("new", str(path)) == 0
    printed = capsys.readouterr()
    public = SigningKey.from_seed(read_seed(path)).public
    assert printed.out == public.hex() + "\n"
    assert "keep it" in printed.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_seed(path).hex() not in printed.out + printed.err
    assert call("show", str(path)) == 0
    assert capsys.readouterr().out == public.hex() + "\n"
    other = tmp_path / "other.key"
    assert call("new", str(other), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["public_key"] == SigningKey.from_seed(read_seed(other)).public.hex()
    assert read_seed(other) != read_seed(path)


def test_a_key_is_never_overwritten_nor_read_where_others_may(tmp_path: Path, capsys) -> None:
    path = tmp_path / "worker.key"
    write_seed(path, bytes(32))
    assert call("new", str(path)) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert read_seed(path) == bytes(32)
    path.chmod(0o644)
    assert call("show", str(path)) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert call("show", str(tmp_path / "none.key")) == 2
