"""Feature: what a backend can do beyond handing events to handlers, and what a scenario needs."""

from enum import Flag, auto


class Feature(Flag):
    """A backend declares those it has; a scenario that needs another one is not collected for it."""

    #: Handlers run after publish has returned: they overlap, wait for their retries, hold up nobody.
    BACKGROUND = auto()
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
