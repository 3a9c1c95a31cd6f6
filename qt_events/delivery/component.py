"""Component: a part of a program with a broker user, and so rights, of its own."""

from dataclasses import dataclass

from qt_events.delivery.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Component:
    """Part of a program, described by what it publishes and what it hears. See docs/security.md.

    A function `components()` in an app's module, beside the `app` that `qt-events topology` is
    given, returns those of the app.
    """

    name: str
    #: Event types.
    publishes: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
