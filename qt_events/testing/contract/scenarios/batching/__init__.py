"""Batch handlers: lists of events, and an outcome for each event of a list.

gathering.py    lists that are gathered, full or due, and finished at a stop
failing.py      lists that fail, in part or as a whole
subscribing.py  subscribing with `batch=`, and what is refused
recording.py    a record of each event of a list
"""

from qt_events.testing.contract.scenarios.batching import failing, gathering, subscribing

MODULES = (gathering, failing, subscribing)
