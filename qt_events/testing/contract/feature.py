"""Feature: what a backend can do beyond handing events to handlers, and what a scenario needs."""

from enum import Flag, auto


class Feature(Flag):
    """A backend declares those it lacks; a scenario that needs one of them is not collected for it."""

    #: Handlers run after publish has returned, and wait for their retries without holding it up.
    BACKGROUND = auto()
    #: A handler that takes its time holds up no other subscription's.
    SIDE_BY_SIDE = auto()
    #: With concurrency 1, a subscription's events are handled one by one, in publish order.
    ORDER = auto()
    #: A subscription's `concurrency` is how many of its events are handled at a time, if there are so many.
    CONCURRENCY = auto()
    #: A broadcast subscription gets each event in every process.
    BROADCAST = auto()
    #: The bus that publishes delivers too: it counts deliveries, joins, subscribes and unsubscribes while it runs.
    LOCAL = auto()
    #: `run_forever()`, `stop()` and `async with` of that bus do the delivering.
    HOSTED = auto()
    #: Whoever delivers may stop and begin again; what was published meanwhile waits.
    RESTART = auto()
    #: Events that wait for slow handlers count against `max_queue_size` of the bus that published them.
    BACKPRESSURE = auto()
    #: Several members may serve the same subscriptions.
    FLEET = auto()
