"""The export of the public log to a folder that any web server can serve (`run`)."""
