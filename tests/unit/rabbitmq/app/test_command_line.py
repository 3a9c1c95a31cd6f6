"""Options that a bus adds to `celery worker`. No worker is started here."""

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import celery
import click
import pytest
from celery.bin.worker import WORKERS_POOL
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.thread import TaskPool as Threads

from qt_events import CeleryEventBus, Event
from qt_events.rabbitmq.app.command_line import SubscriptionsOption
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.subscription_task import is_plain


def handle(_: Event) -> None: ...


def app_with(*, bus: Mapping[str, Any] = MappingProxyType({}), **settings: Any) -> celery.Celery:
    app = celery.Celery("of_a_test", broker="amqp://localhost//", set_as_current=False)
    app.config_from_object(SimpleNamespace(**settings))
    # pytest-celery's, which every app of this process shares.
    for name in [name for name, task in app.tasks.items() if is_plain(task)]:
        app.tasks.unregister(name)
    CeleryEventBus(app=app, **bus).subscribe("happened", handle, name="desk.on_happened")
    return app


def parsed(app: celery.Celery, *args: str) -> dict[str, Any]:
    """Return the options that Celery's worker would get."""
    [option] = app.user_options["worker"]
    command = click.Command(
        "worker",
        params=[
            click.Option(["-P", "--pool"], default="prefork", type=WORKERS_POOL),
            click.Option(["-c", "--concurrency"], type=int),
            click.Option(["-Q", "--queues"]),
            option,
        ],
    )
    with command.make_context("worker", list(args), obj=SimpleNamespace(app=app)) as context:
        return context.params


def test_an_app_with_a_bus_has_the_option() -> None:
    """The help of `celery -A app worker` shows it."""
    [option] = app_with().user_options["worker"]
    assert isinstance(option, SubscriptionsOption)


def test_subscriptions_are_given_to_the_worker_as_patterns() -> None:
    """Several times, or with commas."""
    app = app_with()
    assert parsed(app)["subscriptions"] == ()
    given = parsed(app, "--subscriptions", "desk,desk.*", "--subscriptions", "*")
    assert given["subscriptions"] == ("desk", "desk.*", "*")


def test_the_environment_chooses_too_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty variable, as a compose file may set it, is none."""
    app = app_with()
    monkeypatch.setenv("QT_SUBSCRIPTIONS", "desk.*")
    assert parsed(app)["subscriptions"] == ("desk.*",)
    assert parsed(app, "--subscriptions", "*")["subscriptions"] == ("*",)
    monkeypatch.setenv("QT_SUBSCRIPTIONS", "")
    assert parsed(app)["subscriptions"] == ()


@pytest.mark.parametrize(
    "args", [["-P", "prefork"], ["-Pprefork"], ["--pool=prefork"], ["--pool", "prefork"]]
)
@pytest.mark.parametrize(
    ("configured", "name"),
    [
        ({"worker_pool": "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"}, "asyncio"),
        ({"worker_pool": "threads"}, "threads"),
    ],
)
def test_prefork_that_celery_would_not_give_is_refused(
    args: list[str], configured: dict[str, Any], name: str
) -> None:
    """All spellings are; the text says what would have come, and what to write."""
    with pytest.raises(click.BadParameter, match=f"the configuration, {name}: write -P processes"):
        parsed(app_with(**configured), *args)


@pytest.mark.parametrize(
    ("configured", "args", "expected"),
    [
        ({}, [], AsyncioPool),
        ({}, ["-P", "asyncio"], AsyncioPool),
        ({"worker_pool": "threads"}, ["-P", "asyncio"], AsyncioPool),
        ({}, ["-P", "processes"], Prefork),
        ({}, ["-P", "prefork"], Prefork),
        ({"worker_pool": "prefork"}, ["-P", "prefork"], Prefork),
        ({"worker_pool": "processes"}, ["-P", "prefork"], Prefork),
        ({}, ["-P", "threads"], Threads),
        ({"worker_pool": "threads"}, [], Threads),
    ],
)
def test_what_is_not_refused_is_what_was_asked_for(
    configured: dict[str, Any], args: list[str], expected: type
) -> None:
    """Celery resolves the rest by itself."""
    assert parsed(app_with(**configured), *args)["pool"] is expected


@pytest.mark.parametrize(
    ("configured", "args", "expected"),
    [
        ({}, [], Prefork),
        ({}, ["-P", "asyncio"], AsyncioPool),
        ({"worker_pool": "threads"}, [], Threads),
        ({"worker_pool": "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"}, [], AsyncioPool),
    ],
)
def test_tasks_of_the_apps_own_run_where_celery_would_run_them(
    configured: dict[str, Any], args: list[str], expected: type
) -> None:
    """Their author counts on processes, time limits and one CPU each, bus or not."""
    app = app_with(**configured)

    @app.task(shared=False)
    def plain() -> None: ...

    assert parsed(app, *args)["pool"] is expected


@pytest.mark.parametrize(
    ("configured", "args", "threads"),
    [
        ({}, [], 3),
        ({}, ["-P", "asyncio"], 3),
        ({}, ["-c", "7"], 7),
        ({"worker_concurrency": 5}, [], None),
        ({}, ["-P", "processes"], None),
    ],
)
def test_max_workers_are_the_threads_of_the_asyncio_pool(
    configured: dict[str, Any], args: list[str], threads: int | None
) -> None:
    """Unless it is told otherwise. The other pools have as many as Celery gives them."""
    app = app_with(bus={"max_workers": 3}, **configured)
    assert parsed(app, *args)["concurrency"] == threads


def test_subscriptions_and_queues_are_not_chosen_together() -> None:
    """Subscriptions whose queues -Q leaves out could not be served."""
    with pytest.raises(click.UsageError, match="give one of them"):
        parsed(app_with(), "--subscriptions", "desk", "-Q", "qt.sub.other")
