"""`qt-events topology`: what it prints and sets, on which broker, and what it refuses."""

import json
import re
import shlex
import sys
from types import ModuleType
from typing import Any

import pytest
from celery import Celery
from typer.testing import CliRunner, Result

from qt_events import CeleryEventBus, Component
from qt_events.cli.topology import topology
from qt_events.errors import BrokerUnreachableError
from qt_events.rabbitmq.operating import administration
from qt_events.testing.ports import free_ports

PASSWORD = "planted-secret"
ELSEWHERE = "amqp://operator:word@elsewhere/floor"


class FakeApi:
    """Stands in for the management API: notes what is set."""

    calls: list[tuple[str, ...]] = []  # noqa: RUF012
    known: set[str] = set()  # noqa: RUF012

    def __init__(self, url: str, vhost: str, _tls: Any) -> None:
        self.calls.append((url, vhost))

    def queues(self) -> list[dict[str, Any]]:
        return [{"name": "shop.sub.desk.on_order", "messages_ready": 3}, {"name": "qt.sub.another"}]

    def users(self) -> set[str]:
        self.calls.append(("users",))
        return self.known

    def create_user(self, name: str, password: str) -> None:
        self.calls.append(("create", name, password))

    def permit(self, user: str, *_: str) -> None:
        self.calls.append(("permit", user))

    def permit_topic(self, user: str, exchange: str, *_: str) -> None:
        self.calls.append(("topic", user, exchange))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An app of one component, on a broker that nobody asks."""
    module: Any = ModuleType("guarded_desk")
    module.app = Celery(
        "desk", broker=f"amqp://admin:{PASSWORD}@localhost/desks", set_as_current=False
    )
    bus = CeleryEventBus(app=module.app, prefix="shop")
    desk = bus.subscribe("order.placed", print, name="desk.on_order")
    module.components = lambda: [Component("desk", ("trade.executed",), (desk,))]
    monkeypatch.setitem(sys.modules, "guarded_desk", module)
    monkeypatch.setattr(administration, "ManagementApi", FakeApi)
    monkeypatch.setattr(FakeApi, "calls", [])
    monkeypatch.setattr(FakeApi, "known", set())
    for name in ("QT_APP", "QT_BROKER_URL", "QT_MANAGEMENT_URL"):
        monkeypatch.delenv(name, raising=False)
    return module


def run(*arguments: str) -> Result:
    return CliRunner().invoke(topology, [*arguments, "-A", "guarded_desk"], env={"COLUMNS": "300"})


def test_permissions_are_shown_for_people(app: Any) -> None:
    """By user, with the topics; delay levels in one line."""
    shown = run("permissions").stdout
    assert shown.startswith("shop-desk\n  configure ")
    assert (
        "topics of shop.events\n    write   ^(trade\\.executed)$\n    read    ^(order\\.placed)$\n"
        in shown
    )
    assert "shop.retry.838860800 (26)" in shown
    assert FakeApi.calls == []


def test_the_same_for_programs_and_for_shells(app: Any) -> None:
    """JSON, or command lines of rabbitmqctl, and nothing else."""
    (desk,) = json.loads(run("permissions", "--json").stdout)["permissions"]
    assert (desk["component"], desk["user"], len(desk["topics"])) == ("desk", "shop-desk", 28)
    lines = [shlex.split(line) for line in run("permissions", "--commands").stdout.splitlines()]
    start = ["rabbitmqctl", "--vhost", "desks"]
    assert [
        *start,
        "set_permissions",
        "shop-desk",
        desk["configure"],
        desk["write"],
        desk["read"],
    ] == lines[-1]
    topics = [
        [*start, "set_topic_permissions", "shop-desk", *each.values()] for each in desk["topics"]
    ]
    assert topics == lines[:-1]


def test_applying_sets_topics_before_exchanges(app: Any) -> None:
    """Until RabbitMQ knows of topics, any key goes."""
    FakeApi.known = {"shop-desk"}
    done = run("permissions", "--apply")
    assert (done.exit_code, done.stdout) == (0, "set for 1 users in the vhost 'desks'\n")
    (url, vhost), *calls = FakeApi.calls
    assert (url, vhost) == (f"http://admin:{PASSWORD}@localhost:15672/api/", "desks")
    assert [call[0] for call in calls] == ["users", *["topic"] * 28, "permit"]


def test_who_there_is_is_asked_once(app: Any) -> None:
    """However many components there are."""
    desk = app.components()[0]
    app.components = lambda: [desk, Component("ledger", (), desk.subscriptions)]
    FakeApi.known = {"shop-desk", "shop-ledger"}
    assert run("permissions", "--apply").exit_code == 0
    assert FakeApi.calls.count(("users",)) == 1


def test_users_that_there_are_not_are_made_only_if_asked(app: Any) -> None:
    """Their passwords are shown once; the administrator's never."""
    refused = run("permissions", "--apply")
    assert refused.exit_code == 1
    assert "shop-desk" in str(refused.exception)
    assert "--create-users" in str(refused.exception)
    assert FakeApi.calls[1:] == [("users",)]
    made = run("permissions", "--apply", "--create-users")
    (password,) = (call[2] for call in FakeApi.calls if call[0] == "create")
    assert f"shop-desk {password}\n" in made.stdout
    assert len(password) >= 32
    assert PASSWORD not in made.output + refused.output + str(refused.exception)


@pytest.mark.parametrize("options", [["--create-users"], ["--json", "--commands"]])
def test_what_cannot_be_meant_is_wrong_usage(app: Any, options: list[str]) -> None:
    """Before anybody is asked."""
    assert run("permissions", *options).exit_code == 2
    assert FakeApi.calls == []


def test_an_app_that_tells_of_no_components_is_told_how(app: Any) -> None:
    """Wrong usage, with what to write."""
    del app.components
    refused = run("permissions")
    assert refused.exit_code == 2
    assert "components()" in refused.output


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_url_says_where_and_the_app_says_what(
    app: Any, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The names are those of the app's prefix; host, user and vhost are the URL's, for the management API too."""
    options = ["--url", ELSEWHERE] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("QT_BROKER_URL", ELSEWHERE)
    shown = json.loads(run("show", "--json", *options).stdout)
    assert [(each["name"], each["waiting"]) for each in shown["subscriptions"]] == [
        ("desk.on_order", 3)
    ]
    assert FakeApi.calls == [("http://operator:word@elsewhere:15672/api/", "floor")]
    assert (
        "rabbitmqctl --vhost floor set_permissions shop-desk"
        in run("permissions", "--commands", *options).stdout
    )


@pytest.mark.parametrize("words", [["declare"], ["remove", "desk.on_order", "--yes"]])
def test_what_changes_the_broker_changes_that_of_the_url(app: Any, words: list[str]) -> None:
    """The app's own is not asked."""
    (port,) = free_ports(1)
    refused = run(*words, "--url", f"amqp://operator:word@127.0.0.1:{port}/floor")
    assert isinstance(refused.exception, BrokerUnreachableError)
    assert f"127.0.0.1:{port}" in str(refused.exception)
    assert "word" not in str(refused.exception)


@pytest.mark.parametrize(
    "words", [["declare"], ["show"], ["remove", "desk.on_order"], ["permissions"]]
)
def test_a_url_that_is_none_is_wrong_usage(app: Any, words: list[str]) -> None:
    """It is not told: a piece of a password may be in it."""
    refused = run(*words, "--url", "amqp://operator:word@elsewhere:planted//")
    assert refused.exit_code == 2
    assert "amqp://user:password@host" in refused.output
    assert "planted" not in refused.output
    assert FakeApi.calls == []


def test_a_table_that_nobody_sees_is_wide(app: Any) -> None:
    """Where there is no terminal; what nobody serves says so."""
    shown = (
        CliRunner().invoke(topology, ["show", "-A", "guarded_desk"], env={"COLUMNS": "20"}).stdout
    )
    assert re.search(r"^ *desk\.on_order +3 +0 +nobody +0 +0 *$", shown, re.MULTILINE)
    assert shown.endswith("1 subscriptions, 1 of them served by nobody; 0 events lost\n")


def test_an_app_that_there_is_not_is_wrong_usage() -> None:
    """As for every command."""
    assert CliRunner().invoke(topology, ["show", "-A", "no_such_app"]).exit_code == 2
