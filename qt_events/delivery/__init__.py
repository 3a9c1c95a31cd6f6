"""Delivery: who wants an event, how a handler is called, and what follows from its outcome.

base_bus.py        subscribe() and use(), the same on every backend
subscription.py    one subscriber: name, handler, patterns and options
handler_names.py   the default name of a subscription, and who a handler is
annotations.py     the event class that a handler says it takes
redefinition.py    a handler made again by a notebook's cell or a reload
subscriptions.py   the subscribers of a bus, by name, by handler, by what they hear
capacity.py        the number of events that a bus may hold, and the line for a place
batch_lane.py      a lane whose events are handled many at a time
lanes.py           events that wait in this process, in a lane for each subscription
threads.py         threads for sync handlers
deliver.py         one attempt: the only place that calls a handler
running_attempt.py  an attempt that waits, fails or is slow
bursts.py          events that wait for one async handler, handed to it in one pass
batches.py         one attempt at many events, and BatchFailed
in_memory.py       batch subscriptions of InMemoryEventBus
ending.py          the end of a run, after which nothing that fails is judged
django_connections.py  Django's database connections, looked after around each handler
middleware.py      code of the user's around publishes and handlers, and observers
outcome.py         how an attempt ended, what follows from it, and which attempt is next
retry.py           RetryPolicy: again, when, or never
clock.py           time for retries: the event loop's, or a test's own
manual_clock.py    a clock that stands until it is told to go on
redelivering.py    an event sent again, to one subscription
observed.py        attempts as observers see them: with the time that they took
fate_telling.py    fates of attempts, until they are told, and those who listen
local_fates.py     fates inside one process, for its own listeners
fates.py           how an attempt ended, as it is told to those who listen
stats.py           the counters behind get_stats(), and reports of slow handlers
"""
