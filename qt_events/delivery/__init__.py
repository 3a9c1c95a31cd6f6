"""Delivery: who wants an event, how a handler is called, and what follows from its outcome.

subscription.py    one subscriber: name, handler, patterns and options
subscriptions.py   a bus's subscribers, by name, by handler, by what they hear
component.py       a part of a program with a broker user of its own
deliver.py         one attempt: the only place that calls a handler
outcome.py         how an attempt ended: done, again later, or a dead letter
attempts.py        which attempt is next, and when the first one failed
retry.py           RetryPolicy: again, when, or never
lane.py            events that wait for one subscription in this process
lanes.py           a lane for each subscription that has something to do
capacity.py        how many events a bus may hold, and who waits for a place
threads.py         threads for sync handlers
clock.py           time for retries: the event loop's, or a test's own
stats.py           the counters behind get_stats()
middleware.py      observers of publishes and of attempts
"""
