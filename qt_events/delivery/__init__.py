"""Delivery: who wants an event, how a handler is called, and what follows from its outcome.

subscribing/       who hears what: subscriptions, their handlers and options
waiting/           events that wait in this process: lanes, places, clocks
batching/          handlers of many events at a time
publishing/        the result of a publish, and the disk where events wait for a broker
transacting/       handlers whose effects and publishes are one transaction
telling/           fates: what became of events, told to those who listen
base_bus.py        subscribe() and use(), the same on every backend
deliver.py         one attempt: the only place that calls a handler
running_attempt.py  an attempt that waits, fails or is slow
bursts.py          events that wait for one async handler, handed to it in one pass
threads.py         threads for sync handlers
django_connections.py  Django's database connections, looked after around each handler
ending.py          the end of a run, after which nothing that fails is judged
middleware.py      code of the user's around publishes and handlers, and observers
observed.py        attempts as observers see them: with the time that they took
outcome.py         how an attempt ended, what follows from it, and which attempt is next
retry.py           RetryPolicy: again, when, or never
forwarding.py      an event that was kept as bytes, published
redelivering.py    an event sent again, to one subscription
stats.py           the counters behind get_stats(), and reports of slow handlers
"""
