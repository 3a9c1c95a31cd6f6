"""Delivery: who wants an event, how a handler is called, and what follows from its outcome.

subscription.py    one subscriber: name, handler, patterns and options
options.py         the options of subscribe(), as they were given
subscriptions.py   a bus's subscribers, by name, by handler, by what they hear
base_bus.py        what is the same on every backend: subscribe() and use()
component.py       a part of a program with a broker user of its own
deliver.py         one attempt: the only place that calls a handler
outcome.py         how an attempt ended, and everything that follows from it
attempts.py        which attempt is next, and when the first one failed
retry.py           RetryPolicy: again, when, or never
slow_handlers.py   reports of handlers that take long
lane.py            events that wait for one subscription in this process
lanes.py           a lane for each subscription that has something to do
capacity.py        the number of events that a bus may hold, and the line for a place
threads.py         threads for sync handlers
clock.py           time for retries: the event loop's, or a test's own
stats.py           the counters behind get_stats()
middleware.py      code of the user's around publishes and handlers, and observers
"""
