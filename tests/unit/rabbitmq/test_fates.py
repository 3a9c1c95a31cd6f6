"""FateTeller without a broker."""

import logging

import kombu
import pytest

from qt_events.delivery.middleware import Attempt, MiddlewareStack
from qt_events.delivery.outcome import HANDLED
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.rabbitmq.fates import FateTeller
from tests.support.waiting import until_told


def nowhere() -> kombu.Connection:
    """Connect to no broker."""
    raise ConnectionRefusedError


async def test_a_worker_that_stops_says_how_many_fates_were_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody knows whether somebody would have listened. Without a fate there is nothing to say."""
    caplog.set_level(logging.INFO, "qt_events")
    subscriptions, middleware = Subscriptions(), MiddlewareStack()
    desk = subscriptions.add("a.b", print, "desk")
    teller = FateTeller(nowhere, "qt.fates", subscriptions, middleware)
    teller.look([desk])
    await until_told(lambda: "no connection" in caplog.text)
    teller.stop()
    assert "not told" not in caplog.text
    teller.look([desk])
    for number in (1, 2):
        attempt = Attempt("id", "a.b", "desk", number, HANDLED, "tests", 0.25)
        for concluded in middleware.concluded:
            concluded(attempt)
    teller.stop()
    assert "2 fates were not told" in caplog.text
