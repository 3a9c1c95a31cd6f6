"""SubscriptionOptions: the options of subscribe(), on their way to a Subscription."""

from dataclasses import dataclass, fields
from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscription import EventHandler, Predicate, Subscription
from qt_events.errors import DuplicateSubscriptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Options as they were given; None stands for one that was left out.

    Subscription has the defaults and the checks.
    """

    when: Predicate | None = None
    retry: RetryPolicy | None = None
    concurrency: int | None = None
    broadcast: bool | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that were not left out, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def subscription(
        self, name: str, handler: EventHandler, retry: RetryPolicy | None = None
    ) -> Subscription:
        """Make a new subscription; `retry` is its policy if none was given.

        Raises:
            InvalidHandlerError, InvalidOptionError, InvalidPolicyError: see Subscription.
        """
        default = {} if retry is None else {"retry": retry}
        return Subscription(name, handler, **(default | self.given()))

    def must_agree(self, subscription: Subscription, handler: EventHandler) -> None:
        """Refuse another handler, or other options, than the subscription has.

        Raises:
            DuplicateSubscriptionError: handler or options differ; the text names the difference.
        """
        whose = f"the subscription {subscription.name!r}"
        if subscription.handler != handler:
            message = (
                f"{whose} belongs to {subscription.handler!r}: "
                f"give {handler!r} a name of its own with name="
            )
            raise DuplicateSubscriptionError(message)
        for option, value in self.given().items():
            has = getattr(subscription, option)
            if has != value:
                message = (
                    f"{whose} has {option}={has!r} already, now {value!r}: "
                    "leave it out when adding a pattern, or take another name"
                )
                raise DuplicateSubscriptionError(message)


#: Nothing was given.
NO_OPTIONS = SubscriptionOptions()
