"""Importing: rows of a CSV or JSONL file become records, by a mapping written in TOML.

    rows.py      bytes → rows, each with its line; what cannot be read is a bad row, never lost
    terms.py     the closed grammar of a mapping's values: {column}, lookup, table, equal, constants
    mapping.py   the mapping file: what it may say, with line and suggestion where it errs
    plan.py      row → drafts of records that name the platform's own references
    target.py    where records go: a node by HTTP, or a dry run on this machine
    rejects.py   the rejects file: line, reason, original
    run.py       the whole: batches of rows, handles, submission, resumption, figures

The arithmetic that always holds: rows = applied + rejected + duplicates.
"""
