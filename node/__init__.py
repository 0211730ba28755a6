"""The shell: storage, links, HTTP, command line, pages, configuration.

Clocks, disks, sockets and randomness live here, and only here.
"""
