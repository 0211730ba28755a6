"""Fixtures that every test may use: where the outside vectors and data lie."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases on every machine, and no verdict on its speed.
settings.register_profile("standing", deadline=None, derandomize=True)
settings.load_profile("standing")

ROOT = Path(__file__).resolve().parent.parent


def _outside(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable) or ROOT.parent / "shared" / default)
    if not path.is_dir():
        pytest.skip(f"{variable} names no folder ({path})")
    return path


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The official test vectors, read in place."""
    return _outside("STANDING_VECTORS", "vectors")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets, read in place."""
    return _outside("STANDING_DATA", "data")
