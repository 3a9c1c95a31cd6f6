"""Passwords stay where they were given: a bus, its parts and its errors contain no planted one."""

import asyncio
import logging
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

import celery
import pytest

from qt_events.errors import BrokerError, QtEventsError
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import for_errands
from tests.integration.planted import LOGIN, USER, leaks, places


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all errors that led to it, whether shown or not."""
    while error is not None:
        yield error
        yield from chain(error.__cause__)
        error = error.__context__


def join_repr_and_str(thing: object) -> str:
    return f"{thing!r}\n{thing}"


async def errors_of(bus: CeleryEventBus) -> list[BaseException]:
    """Return the errors of all operations on a broker that does not answer."""
    calls: Iterable[Any] = (
        bus.publish(Event("order.placed")),
        bus.run_forever(),
        bus.dead_letters.list("desk"),
        bus.delete_topology(),
        asyncio.to_thread(bus.publish_sync, Event("order.placed")),
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, Exception) for each in results), results
    return [each for each in results if isinstance(each, BaseException)]


@pytest.mark.parametrize(
    ("made", "place"), [("by a URL", "refused"), ("by a URL", "away"), ("by an app", "refused")]
)
async def test_nothing_that_a_bus_shows_of_itself_tells_a_secret(
    made: str, place: str, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Representations, statistics, reports, logs and errors with their causes show no secret."""
    caplog.set_level(logging.DEBUG)
    url = places(amqp_url)[place]
    given = (
        {"url": url}
        if made == "by a URL"
        else {"app": celery.Celery("own", broker=url, set_as_current=False)}
    )
    bus = CeleryEventBus(**given, publish_timeout=1.0)
    bus.subscribe("order.placed", print, name="desk")
    errors = await errors_of(bus)
    await asyncio.to_thread(bus.close)
    connection = for_errands(bus.app)
    parts = (
        bus,
        bus.app,
        bus.publisher,
        bus.serving,
        bus.subscriptions,
        bus.dead_letters,
        bus.get_stats(),
        connection,
    )
    texts = [
        *map(join_repr_and_str, parts),
        *(join_repr_and_str(each) for error in errors for each in chain(error)),
        *("".join(traceback.format_exception(error)) for error in errors),
        bus.app.bugreport(),
        bus.app.conf.humanize(with_defaults=True),
        caplog.text,
        *(f"{record.__dict__}" for record in caplog.records),
    ]
    assert leaks("\n".join(texts)) == []
    assert any(isinstance(error, BrokerError) for error in errors)
    assert any("no connection" in each for each in texts)


@pytest.mark.parametrize(
    "url",
    [
        f"amqp://{USER}:gXq7/wZk9@host",
        f"amqp://{USER}:7?wZk9=hVn3@host",
        f"amqp://{USER}:7#gXq7@host",
        f"amqp://{USER}:gXq7@host:wZk9",
        f"amqp://{LOGIN}@host;{USER}:gXq7@other",
        f"amqp://{LOGIN}@host?keyfile=/nowhere",
        f"amqps://{LOGIN}@host?certfile=/nowhere",
        f"amqps://{LOGIN}@[::1?verify=verify_none",
    ],
)
def test_a_refused_url_is_not_shown(url: str) -> None:
    """The error hides the password, wherever in it the URL was split."""
    for given in ({"url": url}, {"app": celery.Celery(broker=url, set_as_current=False)}):
        with pytest.raises(QtEventsError) as refused:
            CeleryEventBus(**given)
        assert leaks("\n".join(map(join_repr_and_str, chain(refused.value)))) == []
