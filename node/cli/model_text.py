"""A model as people read and write it: TOML with the model's field names; Q16 beside as decimals.

A model file holds every field of the model, each with its whole number (Q16 where the limits are
those of a Q16 number: 65,536 is 1), and nothing else. Which numbers are Q16 is told by the limits
in the model itself, so that a new number needs nothing here.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from ledger.bureau.model import Q16_ONE, Model, check_model
from ledger.errors import InvalidInput, Misconfigured
from node.api.json_records import value_from_json, value_to_json

MODEL_FILE_BYTES_MAX: Final = 64 * 1_024
_DIGITS: Final = 5


@cache
def q16_fields() -> frozenset[str]:
    """The fields whose number is Q16: those whose upper limit is a whole number of Q16."""
    return frozenset(
        each.name
        for each in _fields()
        if (high := _limit(each.type)) is not None and high >= Q16_ONE and high % Q16_ONE == 0
    )


def _fields() -> tuple[inspect.Field, ...]:
    info = inspect.type_info(Model)
    assert isinstance(info, inspect.StructType), "a model is a Struct"
    return info.fields


def _limit(kind: inspect.Type) -> int | None:
    """The upper limit of a whole number's type, of a list's items too."""
    match kind:
        case inspect.Metadata():
            return _limit(kind.type)
        case inspect.IntType():
            return kind.le
        case inspect.VarTupleType() | inspect.ListType():
            return _limit(kind.item_type)
    return None


def number_text(name: str, value: Any) -> str:
    """A number of a model for people: Q16 as a decimal, others as they are."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(number_text(name, each) for each in value) + "]"
    if name in q16_fields() and isinstance(value, int):
        return f"{value / Q16_ONE:.{_DIGITS}f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def toml_text(model: Model) -> str:
    """The model file of a model."""
    lines = [
        f"# Model {model.id}: every number of the score. Q16 numbers: {Q16_ONE} is 1 (beside, as a",
        "# decimal). What each one does: ledger/bureau/README.md.",
    ]
    for name, value in value_to_json(model).items():
        line = f"{name} = {msgspec.json.encode(value).decode()}"
        if name in q16_fields():
            line += f"  # {number_text(name, value)}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def read_model(path: Path) -> Model:
    """The model of a file, within its limits.

    Raises:
        Misconfigured: it cannot be read, is no model file, or its numbers contradict each other.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MODEL_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MODEL_FILE_BYTES_MAX:
        raise Misconfigured(f"{path} has more than {MODEL_FILE_BYTES_MAX} bytes: no model file")
    try:
        given = tomllib.loads(data.decode())
        model = value_from_json(Model, given)
        check_model(model)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, InvalidInput) as error:
        raise Misconfigured(
            f"{path} is no model file: {error}; `standing model show --toml` writes one"
        ) from error
    return model
