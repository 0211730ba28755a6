"""Where rows live on disk: engines behind the port of `ledger/store.py`."""
