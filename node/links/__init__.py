"""Peer links: one mutually authenticated TLS 1.3 WebSocket for each pair of members."""
