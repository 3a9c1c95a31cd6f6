"""Component: who connects to the broker with a user of its own, and so with rights of its own."""

from dataclasses import dataclass

from qt_events.delivery.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a program, by what it says and what it hears; see docs/security.md.

    An app's module tells of its own by a function `components()`, beside the `app` that `qt-events topology` is given.
    """

    name: str
    publishes: tuple[str, ...] = ()  #: event types
    subscriptions: tuple[Subscription, ...] = ()
