"""What is agreed: lanes and Simplex over cuts, as pure state machines over the ledger's types."""
