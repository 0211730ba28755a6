"""`standing bench faults`: what failures of real processes cost, under load.

`ground.py` is the running federation with its load; `leader_kill.py`, `freeze.py` and `flood.py`
are the faults; `flooder.py` is a hostile member's process; `run.py` puts them in order.
"""
