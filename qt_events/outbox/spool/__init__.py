"""Spool: events on the local disk while the broker is away. See docs/spool.md.

spool.py       Spool: a path, and how much may wait there for how long
spool_file.py  SpoolFile: the events in one SQLite file
schema.py      the table, and whether a file is a spool's
family.py      one file for each process, and those that dead processes left
locking.py     FileLock: a file is one process's, for as long as it lives
faults.py      errors of SQLite and of the disk, by their names here
looking.py     what an operator does: look, and have events sent that were set aside
"""

from qt_events.outbox.spool.spool import Spool

__all__ = ["Spool"]
