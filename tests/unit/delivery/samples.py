"""An event, and a subscription to it whose retry delays are round numbers."""

from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event

EVENT: Event[Any] = Event("unit.delivered", None, {"n": 1})
POLICY = RetryPolicy(max_attempts=3, initial=2, factor=2, jitter=0, give_up_on=(KeyError,))


def subscription(handler: Any, **options: Any) -> Subscription:
    return Subscription("unit", handler, **{"retry": POLICY, **options})
