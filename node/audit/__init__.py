"""The audit of a ledger: a folder, a running node, or its public log (`run`)."""
