"""Logs: the event that is being handled, on every line that is logged.

configure.py    configure_logging(), and the filter that adds an event's fields
formatters.py   a log record as a line of text or JSON
"""
