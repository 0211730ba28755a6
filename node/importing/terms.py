"""Terms: what a mapping may say where a value stands. The grammar is closed.

    term     = text | integer | lookup | table | equal
    text     = "… {column} …"                         "{{" and "}}" stand for braces
    lookup   = { lookup = NAME, key = term }          the other file's value for this key
    table    = { of = term, table = { "text" = text | integer, … } [, otherwise = text | integer] }
    equal    = { equal = [term, term] }               yields "yes", "no", or "unknown" where
                                                      a lookup on either side finds nothing

`{name}` names a column of the file, or a value named under [values] above the place of use. A term
yields a text or an integer. It fails for a row (and the row is rejected with the reason) where a
column is absent, a lookup finds nothing, or a table has no such text and no `otherwise`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

TEXT_MAX: Final = 4_096
DEPTH_MAX: Final = 8
_FORMS: Final = {
    "lookup": ({"lookup", "key"}, {"lookup", "key"}),
    "table": ({"of", "table"}, {"of", "table", "otherwise"}),
    "equal": ({"equal"}, {"equal"}),
}


class BadTerm(ValueError):
    """A term that the grammar does not know."""


class RowRejected(Exception):
    """Why a row yields no records."""


class NotFound(RowRejected):
    """A lookup that finds nothing: `equal` makes it `unknown`, all else rejects the row."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a row offers to its terms: columns, named values, the other files."""

    cells: Mapping[str, str]
    values: Mapping[str, "Term"]
    lookups: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Term:
    """A compiled term. `constant` is its value if it is the same for every row, else None.

    `outcomes` are the constants that it may yield, where they are known (tables).
    """

    of: Callable[[Scope], str | int]
    constant: str | int | None = None
    outcomes: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """What a term may refer to, known when the mapping is read."""

    columns: frozenset[str]
    values: frozenset[str]
    lookups: frozenset[str]


def compile_term(value: object, names: Names, depth: int = 0) -> Term:
    """Read a TOML value as a term.

    Raises:
        BadTerm: says what is wrong, with a suggestion.
    """
    if depth > DEPTH_MAX:
        raise BadTerm(f"terms stand more than {DEPTH_MAX} deep in each other")
    if isinstance(value, bool) or not isinstance(value, str | int | dict):
        raise BadTerm(f"{value!r} is not a text, an integer, or a lookup, table or equal")
    if isinstance(value, int):
        return Term(lambda _scope: value, constant=value)
    if isinstance(value, str):
        return _compile_text(value, names)
    form = _form_of(value)
    if form == "lookup":
        return _compile_lookup(value, names, depth)
    if form == "table":
        return _compile_table(value, names, depth)
    return _compile_equal(value, names, depth)


def suggestion(name: str, known: "frozenset[str] | set[str] | Mapping[str, Any]") -> str:
    """`; did you mean …?`, or what there is."""
    near = get_close_matches(name, sorted(known), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(sorted(known)[:12])}" if known else ""


def _form_of(value: dict[str, Any]) -> str:
    form = next((each for each in _FORMS if each in value), None)
    if form is None:
        key = next(iter(value), "")
        raise BadTerm(f"{key!r} begins no term{suggestion(key, set(_FORMS))}")
    needed, allowed = _FORMS[form]
    for key in value:
        if key not in allowed:
            raise BadTerm(f"{key!r} is not part of a {form} term{suggestion(key, allowed)}")
    for key in sorted(needed - value.keys()):
        raise BadTerm(f"a {form} term needs {key!r}")
    return form


def _compile_text(text: str, names: Names) -> Term:
    if len(text) > TEXT_MAX:
        raise BadTerm(f"a text of more than {TEXT_MAX} characters")
    parts = list(_parts(text))
    for name, is_column in parts:
        if is_column and name not in names.columns and name not in names.values:
            known = names.columns | names.values
            raise BadTerm(f"there is no column or value {name!r}{suggestion(name, known)}")
    if not any(is_column for _, is_column in parts):
        plain = "".join(each for each, _ in parts)
        return Term(lambda _scope: plain, constant=plain)
    if len(parts) == 1:
        only = parts[0][0]
        return Term(lambda scope: _named(scope, only))
    return Term(
        lambda scope: "".join(
            str(_named(scope, part)) if is_column else part for part, is_column in parts
        )
    )


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into (plain, False) and (name, True)."""
    at = 0
    plain = ""
    while at < len(text):
        sign = text[at]
        if text[at : at + 2] in ("{{", "}}"):
            plain += sign
            at += 2
        elif sign == "{":
            end = text.find("}", at)
            name = text[at + 1 : end] if end > 0 else ""
            if not name or "{" in name:
                raise BadTerm(f"a brace is opened and not closed in {text!r}; write '{{{{' for one")
            if plain:
                yield plain, False
                plain = ""
            yield name, True
            at = end + 1
        elif sign == "}":
            raise BadTerm(f"a brace is closed and not opened in {text!r}; write '}}}}' for one")
        else:
            plain += sign
            at += 1
    if plain:
        yield plain, False


def _named(scope: Scope, name: str) -> str | int:
    value = scope.values.get(name)
    if value is not None:
        return value.of(scope)
    cell = scope.cells.get(name)
    if cell is None:
        raise RowRejected(f"column {name!r} is absent")
    return cell


def _compile_lookup(value: dict[str, Any], names: Names, depth: int) -> Term:
    name = value["lookup"]
    if not isinstance(name, str) or name not in names.lookups:
        raise BadTerm(f"there is no [lookups.{name}]{suggestion(str(name), names.lookups)}")
    key = compile_term(value["key"], names, depth + 1)

    def find(scope: Scope) -> str:
        wanted = str(key.of(scope))
        found = scope.lookups[name].get(wanted)
        if found is None:
            raise NotFound(f"lookup {name!r} has no {wanted!r}")
        return found

    return Term(find)


def _compile_table(value: dict[str, Any], names: Names, depth: int) -> Term:
    table = value["table"]
    if not isinstance(table, dict) or not table:
        raise BadTerm("'table' must be a table of texts and constants")
    otherwise = value.get("otherwise")
    constants = [*table.values(), *([] if otherwise is None else [otherwise])]
    for each in constants:
        if isinstance(each, bool) or not isinstance(each, str | int):
            raise BadTerm(f"{each!r} in a table is not a text or an integer")
    of = compile_term(value["of"], names, depth + 1)

    def look(scope: Scope) -> str | int:
        wanted = str(of.of(scope))
        found: str | int | None = table.get(wanted, otherwise)
        if found is None:
            raise RowRejected(f"{wanted!r} stands in no table and there is no otherwise")
        return found

    return Term(look, outcomes=tuple(constants))


def _compile_equal(value: dict[str, Any], names: Names, depth: int) -> Term:
    sides = value["equal"]
    if not isinstance(sides, list) or len(sides) != 2:
        raise BadTerm("'equal' must be a list of two terms")
    left, right = (compile_term(side, names, depth + 1) for side in sides)

    def compare(scope: Scope) -> str:
        try:
            return "yes" if str(left.of(scope)) == str(right.of(scope)) else "no"
        except NotFound:
            return "unknown"

    return Term(compare)
