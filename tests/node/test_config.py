"""The node's TOML: complete and right, or refused with key, line and suggestion."""

from pathlib import Path

import pytest

from ledger.errors import Misconfigured
from node.config import Address, load_config, parse_config

GOOD = """\
[node]
data = "data"
genesis = "../genesis.json"
keys = "keys"

[api]
listen = "127.0.0.1:8440"

[peers]
listen = "[::1]:9440"
addresses = { b = "127.0.0.1:9441" }

[[tokens]]
name = "reader"
sha256 = "{one}"
may = ["read"]

[[tokens]]
name = "operator"
sha256 = "{two}"
may = ["read", "write"]
""".replace("{one}", "0a" * 32).replace("{two}", "0b" * 32)


def test_reads_a_whole_configuration() -> None:
    config = parse_config(GOOD, base=Path("/srv/a"))
    assert config.data == Path("/srv/a/data")
    assert config.api_listen == Address("127.0.0.1", 8440)
    assert config.peers_listen == Address("::1", 9440)
    assert str(config.peers_listen) == "[::1]:9440"
    assert config.peer_addresses == {"b": Address("127.0.0.1", 9441)}
    assert [token.name for token in config.tokens] == ["reader", "operator"]
    assert config.tokens[0].may == {"read"}
    assert config.window_blocks > 0


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('data = "data"', 'dta = "data"', 2, "did you mean 'data'"),
        ('keys = "keys"\n', "", 1, "lacks the key 'keys'"),
        ('data = "data"', 'data = "a\\u0000b"', 2, "must be a path"),
        ('data = "data"', 'data = "~nobody-of-this-name/d"', 2, "home folder"),
        ('genesis = "../genesis.json"', "genesis = 5", 3, "node.genesis"),
        ("[api]", "[apy]", 6, "did you mean 'api'"),
        ('"127.0.0.1:8440"', '"8440"', 7, "host:port"),
        ('"127.0.0.1:8440"', '"127.0.0.1:99999"', 7, "host:port"),
        ('b = "127.0.0.1:9441"', "b = 1", 11, "peers.addresses"),
        ("0b" * 32, "0B" * 32, 20, "no SHA-256"),
        ("0b" * 32, "0a" * 32, 20, "twice"),
        ('may = ["read"]', 'may = ["reed"]', 16, "tokens.may"),
        ('name = "operator"', 'nam = "operator"', 19, "did you mean 'name'"),
        ('keys = "keys"', 'keys = "keys"\nwindow_blocks = 0', 5, "from 1 to"),
    ],
)
def test_refuses_with_line_and_suggestion(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(Misconfigured) as caught:
        parse_config(GOOD.replace(old, new, 1), base=Path())
    assert words in str(caught.value)
    assert f"line {line}:" in str(caught.value)


KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1


def test_signers() -> None:
    text = GOOD + f'\n[[signers]]\nname = "ci"\nkey = "{KEY}"\nmay = ["write"]\n'
    (signer,) = parse_config(text, base=Path()).signers
    assert (signer.name, signer.key.hex(), signer.may) == ("ci", KEY, {"write"})
    for old, new, words in (
        (KEY, "00" * 32, "no public key"),
        (KEY, KEY.upper(), "no public key"),
        ('name = "ci"', 'name = ""', "must be a name"),
        ('["write"]\n', "[]\n", "signers.may"),
        ('key = "', 'keyy = "', "did you mean 'key'"),
    ):
        head, _, tail = text.rpartition(old)
        with pytest.raises(Misconfigured, match=words):
            parse_config(head + new + tail, base=Path())
    with pytest.raises(Misconfigured, match="twice"):
        parse_config(text + text[text.index("[[signers]]") :], base=Path())


def test_missing_table_and_broken_toml() -> None:
    with pytest.raises(Misconfigured, match=r"\[peers\] is missing"):
        parse_config(GOOD.replace("[peers]", "[api.x]", 1).split("[api.x]")[0], base=Path())
    with pytest.raises(Misconfigured, match="line 1"):
        parse_config("[node\n", base=Path())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nothing\.toml cannot be read"):
        load_config(tmp_path / "nothing.toml")
    with pytest.raises(Misconfigured, match="zero is longer than"):
        load_config(Path("/dev/zero"))  # it is read up to the bound, and no further


def test_the_example_in_configs_is_right() -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / "node.toml"
    config = load_config(path)
    assert [token.may for token in config.tokens] == [{"read", "write"}, {"read"}, {"govern"}]


def test_role_and_observers_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    text = GOOD
    plain = parse_config(text, base=tmp_path)
    assert (plain.is_observer, plain.observers) == (False, ())
    told = text.replace("[node]\n", '[node]\nrole = "observer"\n')
    told = told.replace("[peers]\n", '[peers]\nobservers = ["o.crt", "/p.crt"]\n')
    config = parse_config(told, base=tmp_path)
    assert (config.is_observer, config.observers) == (True, (tmp_path / "o.crt", Path("/p.crt")))
    for wrong in ('[node]\nrole = "voter"\n', "[node]\nrole = 1\n"):
        with pytest.raises(Misconfigured, match="is no role; choose one of validator, observer"):
            parse_config(text.replace("[node]\n", wrong), base=tmp_path)
    for wrong in ('"o.crt"', "[1]"):
        with pytest.raises(Misconfigured, match=r"peers\.observers.*must list paths"):
            parse_config(told.replace('["o.crt", "/p.crt"]', wrong), base=tmp_path)


def test_sync_says_whether_and_of_which_ledgers_a_snapshot_is_taken() -> None:
    config = parse_config(GOOD, base=Path("/srv/a"))
    assert (config.takes_snapshot, config.snapshot_min_blocks) == (True, 256)
    text = GOOD + "\n[sync]\nsnapshot = false\nsnapshot_min_blocks = 7\n"
    config = parse_config(text, base=Path("/srv/a"))
    assert (config.takes_snapshot, config.snapshot_min_blocks) == (False, 7)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("snapshot = 1", "neither true nor false"),
        ("snapshot_min_blocks = 0", "no number of blocks"),
        ("snapshot_min_blocks = true", "no number of blocks"),
        ("snapshots = true", "did you mean 'snapshot'"),
    ],
)
def test_sync_is_refused_with_its_line(line: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        parse_config(f"{GOOD}\n[sync]\n{line}\n", base=Path("/srv/a"))
