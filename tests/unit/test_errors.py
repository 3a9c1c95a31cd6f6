"""Tree of errors, sorted by whose fault each one is."""

import pytest

import qt_events
from qt_events import errors
from qt_events.errors import (
    BrokerBlockedError,
    BrokerError,
    BrokerUnreachableError,
    PublishRefusedError,
    PublishTimeoutError,
)


def test_every_error_is_public() -> None:
    """Errors that may be raised can be caught by their names in the package."""
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert raised <= set(qt_events.__all__)


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        # UnroutableError is no BrokerError, because publishing again does not help.
        (errors.UnroutableError, (errors.QtEventsError,)),
        (errors.InvalidOptionError, (errors.UsageError,)),
        (errors.InvalidPolicyError, (errors.UsageError,)),
        (errors.UnknownDeadLetterError, (errors.UsageError,)),
        (errors.UnknownSubscriptionError, (errors.UsageError,)),
    ],
)
def test_whose_fault(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    """An error's base class names the one who can fix it."""
    assert kind.__bases__ == bases


def test_errors_of_the_broker_can_be_caught_together() -> None:
    """A caller that publishes again needs only BrokerError; timeouts are TimeoutErrors too."""
    for error in (
        BrokerUnreachableError,
        BrokerBlockedError,
        PublishTimeoutError,
        PublishRefusedError,
    ):
        assert issubclass(error, BrokerError)
    assert issubclass(BrokerBlockedError, TimeoutError)
