"""Settings of a Celery app with a bus: what its author chose stays."""

import types
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus, InvalidUrlError


def app_with(**settings: Any) -> celery.Celery:
    app = celery.Celery("configured", broker="amqp://localhost//", set_as_current=False)
    app.config_from_object(types.SimpleNamespace(**settings))
    return app


def test_what_the_app_was_configured_with_wins_over_a_default() -> None:
    """celeryconfig.py is a user's word: the bus only fills in what it leaves out."""
    app = app_with(worker_concurrency=7, broker_heartbeat=33, worker_pool="threads")
    CeleryEventBus(app=app)
    assert (app.conf.worker_concurrency, app.conf.broker_heartbeat, app.conf.worker_pool) == (
        7,
        33,
        "threads",
    )


def test_what_was_set_on_the_app_wins_over_a_default() -> None:
    """The same for app.conf."""
    app = celery.Celery("configured", broker="amqp://localhost//", set_as_current=False)
    app.conf.worker_concurrency = 7
    CeleryEventBus(app=app)
    assert app.conf.worker_concurrency == 7


def test_what_a_bus_needs_is_set_whatever_the_app_says() -> None:
    """Celery's own consumer would bind the queues to other events, too."""
    app = app_with(worker_consumer="celery.worker.consumer:Consumer")
    CeleryEventBus(app=app)
    assert app.conf.worker_consumer == "qt_events.rabbitmq.worker.consumer:EventConsumer"


@pytest.mark.parametrize(
    "url", ["http://localhost", "amqp://", "amqp://host:port//", "amqp://[::1", "localhost"]
)
def test_a_url_that_is_no_amqp_url_is_refused_without_showing_it(url: str) -> None:
    """The URL may hold a password."""
    with pytest.raises(InvalidUrlError, match="such as amqp://") as refused:
        CeleryEventBus(url)
    assert "such as amqp://user:password@host:5672/vhost" in str(refused.value)
