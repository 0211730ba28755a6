"""Pages for people: sign-in, look-up, a subject's report, the network. Rendered on the server."""

from node.web.pages import add_pages

__all__ = ["add_pages"]
