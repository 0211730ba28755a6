"""The HTTP face of a node: one module per resource, one table of errors, one table of routes."""
