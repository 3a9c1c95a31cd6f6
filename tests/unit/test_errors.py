"""Tree of errors, sorted by whose fault each one is, and the names that they have on the wire."""

import pickle
from importlib import import_module

import pytest

import qt_events
from qt_events import errors
from qt_events.errors import (
    BrokerBlockedError,
    BrokerError,
    BrokerUnreachableError,
    PublishRefusedError,
    PublishTimeoutError,
    name_of_type,
)

PUBLIC = [
    kind
    for kind in (getattr(qt_events, name) for name in qt_events.__all__)
    if isinstance(kind, type) and issubclass(kind, BaseException)
]


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


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_the_type_text_of_an_error_is_a_public_path(kind: type[BaseException]) -> None:
    """Dead letters on brokers, logs and monitors have it: no move of a module may change it."""
    module, _, name = name_of_type(kind.__new__(kind)).rpartition(".")
    assert module == ("qt_events.errors" if hasattr(errors, name) else "qt_events")
    assert getattr(import_module(module), name) is kind


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_comes_through_a_pipe(kind: type[BaseException]) -> None:
    """Processes hand errors to each other: its class and its arguments stay."""
    own: dict[type, object] = {qt_events.RetryLater: 2.5, qt_events.BatchFailed: {}}
    error = kind(own.get(kind, "no such trade"))
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(back), back.args, str(back)) == (kind, error.args, str(error))
