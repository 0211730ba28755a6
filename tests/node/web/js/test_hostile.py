"""Changed input by the thousand: the browser's verifier and the ledger say the same of each.

No error but `Refused` may leave the module: any other ends the run in Node, and the test with it.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from ledger.errors import InvalidInput
from tests.fuzz import ground
from tests.fuzz.bad_input import PYTHON, Bad, as_given, cases
from tests.fuzz.mutate import random_input
from tests.node.web.js.in_node import in_node, needs_node
from tests.vectors.frozen import read

pytestmark = needs_node

CASES = int(os.environ.get("STANDING_JS_CASES", "400"))
HEX = ("leaf", "root", "key", "value", "path")


def changed_hex(rng: random.Random, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a proof's verifier with one of them changed."""
    name = rng.choice([name for name in HEX if name in given])
    if isinstance(given[name], str):
        data = bytes.fromhex(given[name])
        return {**given, name: random_input(rng, [data]).hex()}
    items = [bytes.fromhex(each) for each in given[name]] or [b""]
    kind = rng.randrange(5)
    at = rng.randrange(len(items))
    if kind == 0:
        items[at] = random_input(rng, [items[at]])
    elif kind == 1:
        del items[at]
    elif kind == 2:
        items.insert(at, rng.choice(items))
    elif kind == 3:
        rng.shuffle(items)
    else:
        return {**given, "index": rng.randrange(-1, 80), "size": rng.randrange(0, 140)}
    return {**given, name: [each.hex() for each in items]}


def changed_form(rng: random.Random, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "data": random_input(rng, [bytes.fromhex(given["data"])]).hex()}


def changed_text(rng: random.Random, given: str) -> str:
    return random_input(rng, [given.encode()]).decode("utf-8", "surrogateescape")


def changed_note(rng: random.Random, given: bytes) -> bytes:
    return random_input(rng, [given, *ground.notes()])


def changed_bundle(rng: random.Random, given: dict[str, Any]) -> dict[str, Any]:
    data = random_input(rng, [bytes.fromhex(given["bundle"])])
    return {**given, "bundle": data.hex()}


CHANGES: dict[str, Callable[[random.Random, Any], Any]] = {
    "inclusions": changed_hex,
    "presences": changed_hex,
    "absences": changed_hex,
    "policies": changed_text,
    "checkpoints": changed_note,
    "forms": changed_form,
    "bundles": changed_bundle,
}


SLOW = {"policies": 4}  # the module checks each key of each


def frozen() -> list[Bad]:
    """Our frozen bundles, of files of every kind there is."""
    told = [case for case in read("bundle") if "refused" not in case]
    return [
        Bad("bundles", case["name"], {name: case[name] for name in ("bundle", "policy")}, None)
        for case in told
    ]


def judged(kind: str, given: Any) -> tuple[bool, str]:
    """The ledger's verdict, and its reason."""
    try:
        PYTHON[kind](given)
    except InvalidInput as error:
        return False, error.message
    return True, ""


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_both_say_the_same_of_changed_input(kind: str) -> None:
    rng, count = random.Random(kind), CASES // SLOW.get(kind, 1)
    known = [case for case in (*cases(), *frozen()) if case.kind == kind]
    good = [case for case in known if case.says is None]
    made = [
        type(case)(kind, "", CHANGES[kind](rng, case.given), None)
        for case in (rng.choice(good if rng.randrange(3) else known) for _ in range(count))
    ]
    told = in_node(kind, cases=[as_given(case) for case in made])
    for case, one in zip(made, told, strict=True):
        held, reason = judged(kind, case.given)
        if kind == "bundles":
            assert one["valid"] == held, case
            assert held or one["steps"][-1]["name"] == reason, case
        else:
            assert one["held"] == held, (case, one["value"], reason)
    assert any(not judged(kind, case.given)[0] for case in made)
