"""Dead letters: events that failed for good, kept for an operator to send back or discard.

record.py       DeadLetterRecord
filters.py      DeadLetterFilter: which of them a call is about
groups.py       records counted by their error
operations.py   the calls for an operator, the same on every backend
scan.py         one pass through dead letters: check, send back at a pace, remove
in_memory.py    dead letters of a bus without a broker
"""
