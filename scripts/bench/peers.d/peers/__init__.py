"""The peers' bench: one load, one machine, one run; Standing and what one would pick instead."""
