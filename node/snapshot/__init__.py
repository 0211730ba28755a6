"""Snapshots: giving the state at an epoch's end to nodes with an empty store, and taking it."""
