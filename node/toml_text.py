"""TOML, parsed within bounds: `tomllib` alone recurses without end, and takes the square of a key's
parts in time and memory (`a.a.a…` of 200 KB: 43 s and 6 GB).
"""

import re
import tomllib
from typing import Any, Final

KEY_DOTS_MAX: Final = 64

# Strings and comments, in which dots part nothing. One that is not closed reaches as far as it
# can (tomllib refuses it): each begins a match, so nothing is tried twice. Possessive repetition
# would say so more plainly, but Python 3.11.2 matches too little with it.
_QUOTED: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*(?:"""|\\?\Z)|\'\'\'(?:[^\']|\'(?!\'\'))*(?:\'\'\'|\Z)'
    r'|"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\\?\Z)|\'[^\'\n]*\'?|#[^\n]*',
    re.DOTALL,
)


class BadToml(ValueError):
    """A text that is not TOML, or beyond what a file of ours may hold."""


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        BadToml: says why not.
    """
    if any(line.count(".") > KEY_DOTS_MAX for line in _QUOTED.sub("_", text).split("\n")):
        raise BadToml(f"a line has more than {KEY_DOTS_MAX} dots outside of its strings")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise BadToml("it is nested too deep") from error
    except ValueError as error:  # tomllib's own, and whole numbers of thousands of digits
        raise BadToml(str(error)) from error
