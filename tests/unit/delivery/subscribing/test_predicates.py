"""Predicates: whether a handler gets the event at all."""

from unittest.mock import AsyncMock, MagicMock

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import DeadLetter, Done, Retry
from tests.unit.delivery.samples import EVENT, subscription


async def test_a_predicate_that_says_no_keeps_the_handler_from_the_event() -> None:
    """The delivery is done, and not handled; any false value says no."""
    for no in (False, None, 0, ""):
        handler = AsyncMock()
        assert await deliver(EVENT, subscription(handler, when=MagicMock(return_value=no))) == Done(
            handled=False
        )
        handler.assert_not_called()


async def test_a_predicate_that_raises_is_a_failed_attempt() -> None:
    """The policy decides about a predicate's error as about a handler's."""
    handler = AsyncMock()
    broken = subscription(handler, when=MagicMock(side_effect=OSError("no field")))
    assert isinstance(await deliver(EVENT, broken), Retry)
    assert isinstance(await deliver(EVENT, broken, 3), DeadLetter)
    handler.assert_not_called()
