"""The tree of errors, by whose fault each is."""

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
    """Whatever may be raised can be caught by its name in the package."""
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert raised <= set(qt_events.__all__)


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (
            errors.UnroutableError,
            (errors.QtEventsError,),
        ),  # no BrokerError: publishing again does not help
        (errors.InvalidOptionError, (errors.UsageError,)),
        (errors.InvalidPolicyError, (errors.UsageError,)),
        (errors.UnknownDeadLetterError, (errors.UsageError,)),
        (errors.UnknownSubscriptionError, (errors.UsageError,)),
    ],
)
def test_whose_fault(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    """An error stands where its advice is true."""
    assert kind.__bases__ == bases


def test_errors_of_the_broker_can_be_caught_together() -> None:
    """Whoever publishes again need know one class only; those of time are TimeoutErrors too."""
    for error in (
        BrokerUnreachableError,
        BrokerBlockedError,
        PublishTimeoutError,
        PublishRefusedError,
    ):
        assert issubclass(error, BrokerError)
    assert issubclass(BrokerBlockedError, TimeoutError)
