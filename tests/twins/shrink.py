"""A case reduced to what its difference needs: fewer files, entries, and numbers of its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import msgspec

from ledger.bureau.model import FIRST_MODEL, check_model
from ledger.bureau.standing import NEW_PLATFORM
from ledger.errors import Malformed
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES
from tests.node.web.js.random_files import Case

TRIALS_MAX: Final = 3_000

Differs = Callable[[Case], bool]


def shrink(case: Case, differs: Differs, trials_max: int = TRIALS_MAX) -> Case:
    """The smallest case found that still differs; steps are tried until none of them helps."""
    left = trials_max
    while True:
        for smaller in _smaller(case):
            if left == 0:
                return case
            left -= 1
            if differs(smaller):
                case = smaller
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """Cases with a little less each, the greatest steps first."""
    yield from _fewer_files(case)
    yield from _fewer_facts(case)
    yield from _plainer(case)


def _fewer_files(case: Case) -> Iterator[Case]:
    asked = case.question.platform, case.question.handle
    for file in case.files:
        if (file.platform, file.handle) != asked:
            yield replace(case, files=tuple(each for each in case.files if each is not file))


def _fewer_facts(case: Case) -> Iterator[Case]:
    """Each file without a half of its entries, a quarter, … one of them."""
    most = max((len(file.facts) for file in case.files), default=0)
    size = (most + 1) // 2
    while size:
        for at, file in enumerate(case.files):
            for start in range(0, len(file.facts), size):
                facts = [*file.facts[:start], *file.facts[start + size :]]
                files = [*case.files]
                files[at] = replace(file, facts=facts)
                yield replace(case, files=tuple(files))
        size //= 2


def _plainer(case: Case) -> Iterator[Case]:
    """With numbers of the first model, a new platform's, no domain."""
    replaced = msgspec.structs.replace
    if case.tally is not None:
        yield replace(case, tally=None)
        for field in NEW_PLATFORM.__struct_fields__:
            value = getattr(NEW_PLATFORM, field)
            if getattr(case.tally, field) != value:
                yield replace(case, tally=replaced(case.tally, **{field: value}))
    if case.question.domain:
        yield replace(case, question=replaced(case.question, domain=""))
    parameters = case.parameters
    for field, value in (("scales", FIRST_SCALES), ("domains", FIRST_DOMAINS), ("domains", ())):
        if getattr(parameters, field) != value and len(value) <= len(getattr(parameters, field)):
            yield replace(case, parameters=replaced(parameters, **{field: value}))
    for field in FIRST_MODEL.__struct_fields__:
        value = getattr(FIRST_MODEL, field)
        if getattr(parameters.model, field) == value:
            continue
        model = replaced(parameters.model, **{field: value})
        try:
            check_model(model)
        except Malformed:
            continue
        yield replace(case, parameters=replaced(parameters, model=model))
