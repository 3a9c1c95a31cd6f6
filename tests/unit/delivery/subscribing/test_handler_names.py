"""Names of handlers: unique on a broker, the same in every process, and former ones."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from celery import Celery

from qt_events import CeleryEventBus, InMemoryEventBus
from qt_events.delivery.subscribing.handler_names import (
    ALONE,
    checked_service,
    former_name_of,
    identity_of,
    lasting_name_of,
    name_of,
)
from qt_events.errors import (
    DuplicateSubscriptionError,
    InvalidHandlerError,
    InvalidOptionError,
)
from qt_events.events.event import Event

HERE = __name__


async def function(event: Event[Any]) -> None: ...


async def two_first(more: int, event: Event[Any]) -> None: ...


class HTTPRouter:
    async def on_event(self, event: Event[Any]) -> None: ...

    @classmethod
    async def on_class(cls, event: Event[Any]) -> None: ...

    @staticmethod
    async def on_nothing(event: Event[Any]) -> None: ...


class Inherits(HTTPRouter): ...


class Shop:
    class OrderHandler:
        async def on_order(self, event: Event[Any]) -> None: ...


class OrderHandler:
    async def on_order(self, event: Event[Any]) -> None: ...


class Caller:
    async def __call__(self, event: Event[Any]) -> None: ...


@functools.wraps(function)
async def decorated(*arguments: Any) -> None: ...


def made() -> Callable[[Event[Any]], object]:
    class Local:
        async def on_event(self, event: Event[Any]) -> None: ...

    return Local().on_event


NAMES = [
    (function, "function", f"{HERE}.function"),
    (HTTPRouter().on_event, "http_router.on_event", "http_router.on_event"),
    (HTTPRouter.on_class, "http_router.on_class", "http_router.on_class"),
    (HTTPRouter.on_nothing, "HTTPRouter.on_nothing", f"{HERE}.HTTPRouter.on_nothing"),
    (Inherits().on_event, "inherits.on_event", "inherits.on_event"),
    (Shop.OrderHandler().on_order, "shop.order_handler.on_order", "order_handler.on_order"),
    (OrderHandler().on_order, "order_handler.on_order", "order_handler.on_order"),
    (Caller(), "caller", "caller"),
    (functools.partial(two_first, 1), "two_first", f"{HERE}.two_first"),
    (decorated, "function", f"{HERE}.function"),
    (made(), "made.local.on_event", "local.on_event"),
    (AsyncMock(), None, None),
    (lambda event: None, None, None),
    (functools.partial(lambda more, event: None, 1), None, None),
]


@pytest.mark.parametrize(("handler", "path", "former"), NAMES)
def test_a_name_has_the_service_the_module_and_the_class(
    handler: Any, path: str | None, former: str | None
) -> None:
    """Two services, two modules or two classes with one name share no queue unasked."""
    expected = None if path is None else f"{HERE}.{path}"
    assert name_of(handler) == expected
    assert name_of(handler, "shop") == (expected and f"shop.{expected}")
    assert former_name_of(handler) == former


def test_a_module_below_the_service_does_not_say_it_twice() -> None:
    """`shop.orders` of the service `shop` is `shop.orders`; `shopping` is another word."""
    top, _, rest = HERE.partition(".")
    assert rest
    assert name_of(function, top) == f"{HERE}.function"
    assert name_of(function, HERE) == f"{HERE}.function"
    assert name_of(function, top[:-1]) == f"{top[:-1]}.{HERE}.function"


def test_a_local_function_has_no_name_that_lasts() -> None:
    """A function inside a function needs name=."""

    def local(event: Event[Any]) -> None: ...

    assert name_of(local) is None
    with pytest.raises(InvalidHandlerError, match=r"no name of its own.*name="):
        lasting_name_of(local, "shop")


def test_without_a_service_no_name_is_its_own_on_the_broker() -> None:
    """The error says what to give."""
    with pytest.raises(InvalidHandlerError, match=r"another service.*name=.*service="):
        lasting_name_of(function, None)


@pytest.mark.parametrize("service", ["my shop", "s" * 190])
def test_a_name_that_no_queue_takes_is_asked_for(service: str) -> None:
    """A Celery app may have any name; of that one no queue's name can be made."""
    with pytest.raises(InvalidHandlerError, match=r"would be.*name="):
        lasting_name_of(function, service)


def test_a_bus_that_is_alone_needs_no_name_of_a_service() -> None:
    """As in a test: the names are those of a bus in memory without a service."""
    bus = CeleryEventBus("amqp://nobody@localhost//", service=ALONE)
    assert bus.subscribe("a", function).name == f"{HERE}.function"
    bus.close()


@pytest.mark.parametrize("service", ["", " ", "a b", "x" * 101, 5, ".a", "a\n"])
def test_a_service_is_a_name(service: Any) -> None:
    """Letters, digits, `_ . -`, up to 100 characters."""
    with pytest.raises(InvalidOptionError, match="service="):
        checked_service(service)
    with pytest.raises(InvalidOptionError, match="service="):
        InMemoryEventBus(service=service)


def test_in_memory_the_names_are_those_of_rabbitmq() -> None:
    """With the same service; nothing is refused, because nobody else is there."""
    bus = InMemoryEventBus(service="shop")
    assert bus.subscribe("a", function).name == lasting_name_of(function, "shop")
    assert bus.subscribe("a", lambda event: None).name == "anonymous.1"
    assert InMemoryEventBus().subscribe("a", function).name == f"{HERE}.function"


def test_a_celery_task_of_that_name_would_get_the_events() -> None:
    """Celery calls its tasks `module.function` too."""
    app = Celery("shop", set_as_current=False)
    app.task(function, name=f"shop.{HERE}.function")
    app.finalize()
    bus = CeleryEventBus(app=app)
    with pytest.raises(DuplicateSubscriptionError, match=r"is a Celery task of this app.*name="):
        bus.subscribe("a", function)
    assert list(bus.subscriptions) == []
    bus.subscribe("a", function, name="mine")
    bus.subscribe("b", function, name="mine")


def test_who_a_handler_is() -> None:
    """Module and path, whatever it is called on."""
    assert identity_of(function) == f"{HERE}:function"
    assert identity_of(HTTPRouter().on_event) == f"{HERE}:HTTPRouter.on_event"
    assert identity_of(Caller()) == f"{HERE}:Caller"
    assert identity_of(functools.partial(two_first, 1)) == f"{HERE}:two_first"
    assert identity_of([].append) == "builtins:list.append"


SCRIPT = """
import json
from qt_events.delivery.subscribing.handler_names import lasting_name_of, name_of
from qt_events.errors import InvalidHandlerError

async def on_order(event): ...

class OrderHandler:
    async def on_order(self, event): ...

def named(handler):
    try:
        return lasting_name_of(handler, "shop")
    except InvalidHandlerError as error:
        return str(error)

print(json.dumps([named(on_order), named(OrderHandler().on_order)]))
"""


def test_main_is_no_module_but_the_name_that_python_m_was_given_is(tmp_path: Path) -> None:
    """Every script is `__main__`: two of them would share a queue."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text(SCRIPT)

    def told(*command: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, check=True, cwd=tmp_path
        )
        return list(json.loads(done.stdout))

    assert told("-m", "shop.orders") == [
        "shop.orders.on_order",
        "shop.orders.order_handler.on_order",
    ]
    assert all("__main__: give name=" in each for each in told("shop/orders.py"))
