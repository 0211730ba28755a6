"""Fixtures for a member's commands: a served node (`governed`), its platform's folder (`home`)."""

from tests.node.governed import governed, home

__all__ = ["governed", "home"]
