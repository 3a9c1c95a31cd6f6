"""Feature: abilities of a backend beyond handing events to handlers, and needs of a scenario."""

from enum import Flag, auto


class Feature(Flag):
    """An ability that a backend may lack. A scenario that needs it is not collected there."""

    #: Handlers run after publish has returned, and wait for their retries without holding it up.
    BACKGROUND = auto()
    #: A slow handler holds up no other subscription's.
    SIDE_BY_SIDE = auto()
    #: With concurrency 1, a subscription's events are handled one by one, in publish order.
    ORDER = auto()
    #: A subscription's `concurrency` is the number of its events that are handled at a time.
    CONCURRENCY = auto()
    #: A broadcast subscription gets each event in every process.
    BROADCAST = auto()
    #: The bus that publishes delivers too: it counts deliveries, joins, subscribes and unsubscribes
    #: while it runs.
    LOCAL = auto()
    #: `run_forever()`, `stop()` and `async with` of that bus do the delivering.
    HOSTED = auto()
    #: Members may stop and begin again; events published meanwhile wait.
    RESTART = auto()
    #: Events that wait for slow handlers count against `max_queue_size` of the bus that published
    #: them.
    BACKPRESSURE = auto()
    #: Several members may serve the same subscriptions.
    FLEET = auto()
