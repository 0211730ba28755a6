"""The one table of fuzz targets, for the tests and for `scripts/fuzz`."""

from functools import cache

from tests.fuzz.edge import edge
from tests.fuzz.forms import forms
from tests.fuzz.outside import outside
from tests.fuzz.snapshots import snapshots
from tests.fuzz.target import Target


@cache
def targets() -> dict[str, Target]:
    """Every target by its name."""
    found = [*forms(), *outside(), *edge(), *snapshots()]
    table = {target.name: target for target in found}
    assert len(table) == len(found), "two targets have one name"
    return table
