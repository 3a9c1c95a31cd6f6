"""Logs: every line that a handler causes has the event that is being handled.

configure.py    configure_logging(), and the filter that adds an event's fields
own_lines.py    what the library itself logs, harmless in any format
formatters.py   a log record as a line of text or JSON
"""
