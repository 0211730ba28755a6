"""Attacks of fewer fakes, for tests that are about something else."""

import pytest

from node.evaluation import attack_table, attacks


@pytest.fixture
def few_fakes(monkeypatch):
    """The large attacks have 30 fakes."""
    monkeypatch.setattr(attacks, "LARGE", 30)
    monkeypatch.setattr(attack_table, "LARGE", 30)
