"""What another model would change: a ledger executed twice, side by side, and the difference."""
