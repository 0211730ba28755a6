"""TOML within bounds: what would recurse, or take the square of its size, is refused at once."""

import pytest

from ledger.errors import Misconfigured
from node.config import parse_config
from node.importing.mapping import parse_mapping
from node.toml_text import BadToml, parse_toml

HOSTILE = [
    "a=" + "[" * 5_000 + "]" * 5_000,
    "a=" + "{a=" * 5_000,
    "a" + ".a" * 100_000 + "=1",
    "[a" + ".a" * 100_000 + "]",
    "b = {a" + ".a" * 100_000 + "=1}",
    "a=1" + "1" * 100_000,
    'a="' + '"""' * 60_000,
    "a=" + '"""\\"' * 40_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_refused(text: str, tmp_path) -> None:
    with pytest.raises(BadToml):
        parse_toml(text)
    with pytest.raises(Misconfigured):
        parse_mapping(text.encode())
    with pytest.raises(Misconfigured):
        parse_config(text, base=tmp_path)


def test_dots_in_strings_and_comments_part_nothing() -> None:
    dots = "." * 100
    text = f"a = \"{dots}\\\"{dots}\" # {dots}\nb = '{dots}'\nc = '''{dots}\n'{dots}'''\n"
    text += f'd = """{dots}"\n""{dots}"""\ne.f = 1\n'
    found = parse_toml(text)
    assert found == {
        "a": f'{dots}"{dots}',
        "b": dots,
        "c": f"{dots}\n'{dots}",
        "d": f'{dots}"\n""{dots}',
        "e": {"f": 1},
    }
