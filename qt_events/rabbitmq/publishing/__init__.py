"""Publishing: many publishes in flight over one connection, each confirmed or ended by name.

requests.py      what a publisher is asked to do, and who waits for it
publisher.py     the thread that owns the connection, and its queue of requests
session.py       the life of one publisher connection
confirms.py      unconfirmed delivery tags; no I/O
nacks.py         publishes that the broker could not store, until they are tried again; no I/O
outstanding.py   events that join() waits for
"""
