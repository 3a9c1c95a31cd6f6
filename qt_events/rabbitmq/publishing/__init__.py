"""Publishing: many publishes in flight over one connection, each confirmed or ended by name.

publisher.py       the thread that owns the connection, and what callers ask of it
requests.py        a publish or a declaration, and the waiter for its result
request_queue.py   requests on their way to the thread, with a window for those in flight
session.py         one connection, from connecting to its loss
state.py           facts about the broker that the thread finds out
confirms.py        publishes without a confirm, and those to be tried again; no I/O
waiting.py         why a publish waits: one decision for errors, log and statistics
waiting_log.py     the log's lines about that
spooling/          events on the local disk while the broker is away
outstanding.py     events that join() waits for
"""
