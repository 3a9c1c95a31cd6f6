"""The bus that a command works with: by an app, by a URL, or by both."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus, InvalidOptionError, InvalidUrlError
from qt_events.errors import BrokerUnreachableError, LoginRefusedError
from qt_events.rabbitmq.dead_letters.operations import RabbitMQDeadLetters
from qt_events.rabbitmq.operating import target as module
from qt_events.rabbitmq.operating.target import Target, find_target

OWN, ELSEWHERE = "amqp://me:mine@own/desks", "amqp://me:mine@elsewhere/floor"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> celery.Celery:
    """An app with a prefix and one subscription, in a module `shop`."""
    made = celery.Celery("shop", broker=OWN, set_as_current=False)
    bus = CeleryEventBus(app=made, prefix="shop", queue_type="classic")
    bus.subscribe("order.placed", print, name="desk")
    shop: Any = ModuleType("shop")
    shop.app = made
    monkeypatch.setitem(sys.modules, "shop", shop)
    return made


class Api:
    """Stand-in for the management API."""

    queues_there = ("shop.sub.desk", "shop.dead.audit", "qt.sub.other")
    asked: list[tuple[str, str]] = []  # noqa: RUF012
    error: Exception | None = None

    def __init__(self, url: str, vhost: str, _tls: Any) -> None:
        self.asked.append((url, vhost))

    def queues(self) -> list[dict[str, Any]]:
        if self.error:
            raise self.error
        return [{"name": each} for each in self.queues_there]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[Api]:
    monkeypatch.setattr(module, "ManagementApi", Api)
    monkeypatch.setattr(Api, "asked", [])
    monkeypatch.setattr(Api, "error", None)
    return Api


def known(target: Target, subscription: str | None = None, url: str | None = None) -> Sequence[str]:
    letters = target.dead_letters(subscription, url)
    assert isinstance(letters, RabbitMQDeadLetters)
    return letters.known


def test_an_app_brings_its_bus(app: celery.Celery) -> None:
    """The target has the broker, the names and the subscriptions of the app."""
    target = find_target("shop", None, None)
    assert target.bus is app.qt_events_bus
    assert str(target.connection().hostname) == "own"
    assert [each.name for each in target.subscriptions()] == ["desk"]


def test_a_url_is_a_bus_without_subscriptions() -> None:
    """The prefix is the given one, or the default."""
    target = find_target(None, ELSEWHERE, None)
    connection = target.connection()
    assert (connection.hostname, connection.virtual_host) == ("elsewhere", "floor")
    assert (target.bus.topology.prefix, target.subscriptions()) == ("qt", [])
    assert find_target("", ELSEWHERE, "shop").bus.topology.prefix == "shop"


def test_with_both_the_url_is_the_broker_and_the_app_says_the_rest(app: celery.Celery) -> None:
    """The app's bus is left alone."""
    target = find_target("shop", ELSEWHERE, "shop")
    assert target.bus is not app.qt_events_bus
    assert target.connection().hostname == "elsewhere"
    topology = target.bus.topology
    assert (topology.prefix, topology.queue_type) == ("shop", "classic")
    assert [each.name for each in target.subscriptions()] == ["desk"]


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        ((None, None, None), InvalidOptionError, "give --url amqp://.* or --app MODULE"),
        (("", "", ""), InvalidOptionError, "give --url amqp://.* or --app MODULE"),
        (("shop", None, "qt"), InvalidOptionError, "the app 'shop' has the prefix 'shop'"),
        (("no_such_app", ELSEWHERE, None), InvalidOptionError, "no module 'no_such_app'"),
        ((None, "http://h", None), InvalidUrlError, "amqp://user:password@host"),
        ((None, ELSEWHERE, "a b"), InvalidOptionError, "prefix"),
    ],
)
def test_a_place_that_is_none_is_refused(
    app: celery.Celery, place: tuple[str | None, ...], error: type[Exception], text: str
) -> None:
    """The error names the option to write."""
    with pytest.raises(error, match=text):
        find_target(*place)


def test_the_management_api_is_beside_the_broker_unless_it_is_named(api: type[Api]) -> None:
    """The user is the broker's."""
    target = find_target(None, ELSEWHERE, None)
    target.management()
    target.management("http://api")
    assert api.asked == [("http://me:mine@elsewhere:15672/api/", "floor"), ("http://api", "floor")]


@pytest.mark.parametrize("url", [None, ELSEWHERE])
def test_of_an_app_its_own_subscriptions_are_looked_through(
    app: celery.Celery, api: type[Api], url: str | None
) -> None:
    """The broker is the app's or that of a URL; no management API is needed."""
    assert known(find_target("shop", url, None)) == ["desk"]
    assert api.asked == []


def test_of_a_url_all_that_the_broker_has_are_looked_through(api: type[Api]) -> None:
    """The management API lists the queues of the prefix, because AMQP cannot."""
    assert known(find_target(None, ELSEWHERE, "shop")) == ["audit", "desk"]
    assert len(api.asked) == 1


def test_of_an_app_all_are_looked_through_if_the_management_api_is_named(
    app: celery.Celery, api: type[Api]
) -> None:
    """Even those that the app does not know."""
    assert known(find_target("shop", None, None), url="http://api") == ["desk", "audit"]


def test_one_subscription_needs_no_list(api: type[Api]) -> None:
    """No management API is needed either."""
    assert known(find_target(None, ELSEWHERE, "shop"), "desk") == []
    assert api.asked == []


@pytest.mark.parametrize("error", [BrokerUnreachableError, LoginRefusedError])
def test_without_a_list_the_ways_out_are_told(
    api: type[Api], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """The error keeps its type."""
    monkeypatch.setattr(api, "error", error("no answer"))
    with pytest.raises(error, match=r"no answer; .*: give --subscription, or --management-url"):
        find_target(None, ELSEWHERE, None).dead_letters(None)
