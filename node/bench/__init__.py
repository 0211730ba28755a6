"""Figures: fixed loads on whole nodes, and what they cost. Measured, never asserted in a test."""
