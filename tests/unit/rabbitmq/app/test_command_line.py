"""What a bus adds to `celery worker`'s command line; without starting one."""

import sys
import types
from types import SimpleNamespace
from typing import Any

import celery
import click
import pytest
from celery.bin.worker import WORKERS_POOL
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.thread import TaskPool as Threads

from qt_events import CeleryEventBus, Event, InvalidOptionError, NotSupportedError
from qt_events.rabbitmq.app.command_line import SubscriptionsOption, app_with_bus
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool


def handle(_: Event) -> None: ...


def app_with(**settings: Any) -> celery.Celery:
    app = celery.Celery("of_a_test", broker="amqp://localhost//", set_as_current=False)
    app.config_from_object(SimpleNamespace(**settings))
    CeleryEventBus(app=app).subscribe("happened", handle, name="desk.on_happened")
    return app


def parsed(app: celery.Celery, *args: str) -> dict[str, Any]:
    """What Celery's worker would get, by a command with the three options that matter."""
    [option] = app.user_options["worker"]
    command = click.Command(
        "worker",
        params=[
            click.Option(["-P", "--pool"], default="prefork", type=WORKERS_POOL),
            click.Option(["-Q", "--queues"]),
            option,
        ],
    )
    with command.make_context("worker", list(args), obj=SimpleNamespace(app=app)) as context:
        return context.params


def test_an_app_with_a_bus_has_the_option() -> None:
    """And so `celery -A app worker --help` shows it."""
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
    ("configured", "name"), [({}, "asyncio"), ({"worker_pool": "threads"}, "threads")]
)
def test_prefork_that_celery_would_not_give_is_refused(
    args: list[str], configured: dict[str, Any], name: str
) -> None:
    """However it is written; the text says what would have come, and what to write."""
    with pytest.raises(click.BadParameter, match=f"the configuration, {name}: write -P processes"):
        parsed(app_with(**configured), *args)


@pytest.mark.parametrize(
    ("configured", "args", "expected"),
    [
        ({}, [], AsyncioPool),
        ({}, ["-P", "asyncio"], AsyncioPool),
        ({"worker_pool": "threads"}, ["-P", "asyncio"], AsyncioPool),
        ({}, ["-P", "processes"], Prefork),
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


def test_subscriptions_and_queues_are_not_chosen_together() -> None:
    """Of queues that -Q leaves out, none could be served."""
    with pytest.raises(click.UsageError, match="give one of them"):
        parsed(app_with(), "--subscriptions", "desk", "-Q", "qt.sub.other")


def module_with(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> str:
    module = types.ModuleType("module_of_a_test")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_finds_the_app_as_celery_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the module alone, or with the attribute's name."""
    app = app_with()
    name = module_with(monkeypatch, app=app)
    assert app_with_bus(name) is app
    assert app_with_bus(f"{name}:app") is app


@pytest.mark.parametrize(
    "name", ["no_such_module", "no_such_module.inside", "json.no_such_module", "json", "json:app"]
)
def test_an_app_that_is_not_there_is_named(name: str) -> None:
    """No module, or no app in it."""
    with pytest.raises(InvalidOptionError, match=r"there is no (module|Celery app)"):
        app_with_bus(name)


def test_an_app_without_a_bus_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of it would serve no subscription."""
    plain = celery.Celery("plain", set_as_current=False)
    with pytest.raises(NotSupportedError, match=r"CeleryEventBus\(app=app\)"):
        app_with_bus(module_with(monkeypatch, app=plain))


def test_a_module_whose_own_import_is_missing_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Its traceback says where."""
    (tmp_path / "needs_more.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        app_with_bus("needs_more")
