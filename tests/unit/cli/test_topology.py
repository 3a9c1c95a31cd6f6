"""`qt-events topology`: what it prints and sets, on which broker, and what it refuses."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from celery import Celery

from qt_events import CeleryEventBus, Component
from qt_events.rabbitmq.operating import target
from qt_events.testing.ports import free_ports
from tests.unit.cli.commands import Command

PASSWORD = "planted-secret"
ELSEWHERE = "amqp://operator:word@elsewhere/floor"
ON_ORDER = [("desk.on_order", 3)]


class FakeApi:
    """Stand-in for the management API that records what is set."""

    calls: list[tuple[str, ...]] = []  # noqa: RUF012
    known: set[str] = set()  # noqa: RUF012

    def __init__(self, url: str, vhost: str, _tls: Any) -> None:
        self.calls.append((url, vhost))

    def queues(self) -> list[dict[str, Any]]:
        return [{"name": "shop.sub.desk.on_order", "messages_ready": 3}, {"name": "qt.sub.another"}]

    def bindings(self) -> list[dict[str, Any]]:
        return []

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
    monkeypatch.setattr(target, "ManagementApi", FakeApi)
    monkeypatch.setattr(FakeApi, "calls", [])
    monkeypatch.setattr(FakeApi, "known", set())
    return module


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(command: Command, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `qt-events topology` for the app, unless another place is named."""

    def run(*arguments: str, place: Sequence[str] = ("-A", "guarded_desk")) -> Ended:
        code = command("topology", *arguments, *place)
        return Ended(code, *capsys.readouterr())

    return run


def test_permissions_are_shown_for_people(app: Any, run: Run) -> None:
    """By user, with the topics; delay levels in one line."""
    shown = run("permissions").out
    assert shown.startswith("shop-desk\n  configure ")
    assert (
        "topics of shop.events\n    write   ^(trade\\.executed)$\n    read    ^(order\\.placed)$\n"
        in shown
    )
    assert "shop.retry.838860800 (26)" in shown
    assert FakeApi.calls == []


@pytest.mark.parametrize("name", ["guarded_desk:app", "guarded_desk.app"])
def test_the_app_may_be_named_in_full(app: Any, run: Run, name: str) -> None:
    """Its module still says which components there are."""
    assert run("permissions", place=("-A", name)).out.startswith("shop-desk\n")


def test_the_same_for_programs_and_for_shells(app: Any, run: Run) -> None:
    """JSON, or command lines of rabbitmqctl, and nothing else."""
    (desk,) = json.loads(run("permissions", "--json").out)["permissions"]
    assert (desk["component"], desk["user"], len(desk["topics"])) == ("desk", "shop-desk", 29)
    lines = [shlex.split(line) for line in run("permissions", "--commands").out.splitlines()]
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


def test_applying_sets_topics_before_exchanges(app: Any, run: Run) -> None:
    """Until RabbitMQ knows of topics, any key goes."""
    FakeApi.known = {"shop-desk"}
    done = run("permissions", "--apply")
    assert done[:2] == (0, "set for 1 users in the vhost 'desks'\n")
    (url, vhost), *calls = FakeApi.calls
    assert (url, vhost) == (f"http://admin:{PASSWORD}@localhost:15672/api/", "desks")
    assert [call[0] for call in calls] == ["users", *["topic"] * 29, "permit"]


def test_who_there_is_is_asked_once(app: Any, run: Run) -> None:
    """However many components there are."""
    desk = app.components()[0]
    app.components = lambda: [desk, Component("ledger", (), desk.subscriptions)]
    FakeApi.known = {"shop-desk", "shop-ledger"}
    assert run("permissions", "--apply").code == 0
    assert FakeApi.calls.count(("users",)) == 1


def test_users_that_there_are_not_are_made_only_if_asked(app: Any, run: Run) -> None:
    """Their passwords are shown once; the administrator's never."""
    refused = run("permissions", "--apply")
    assert refused.code == 1
    assert "shop-desk" in refused.err
    assert "--create-users" in refused.err
    assert FakeApi.calls[1:] == [("users",)]
    made = run("permissions", "--apply", "--create-users")
    (password,) = (call[2] for call in FakeApi.calls if call[0] == "create")
    assert f"shop-desk {password}\n" in made.out
    assert len(password) >= 32
    assert PASSWORD not in f"{made} {refused}"


@pytest.mark.parametrize("options", [["--create-users"], ["--json", "--commands"]])
def test_what_cannot_be_meant_is_wrong_usage(app: Any, run: Run, options: list[str]) -> None:
    """Before anybody is asked."""
    assert run("permissions", *options).code == 2
    assert FakeApi.calls == []


def test_an_app_that_tells_of_no_components_is_told_how(app: Any, run: Run) -> None:
    """Wrong usage, with what to write."""
    del app.components
    refused = run("permissions")
    assert refused.code == 2
    assert "components()" in refused.err


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_url_says_where_and_the_app_says_what(
    app: Any, run: Run, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Names are those of the app's prefix; host, user and vhost are the URL's, for both APIs."""
    options = ["--url", ELSEWHERE] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("QT_BROKER_URL", ELSEWHERE)
    shown = json.loads(run("show", "--json", *options).out)
    assert [(each["name"], each["waiting"]) for each in shown["subscriptions"]] == ON_ORDER
    assert FakeApi.calls == [("http://operator:word@elsewhere:15672/api/", "floor")]
    printed = run("permissions", "--commands", *options).out
    assert "rabbitmqctl --vhost floor set_permissions shop-desk" in printed


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_url_alone_is_enough_to_look(
    app: Any, run: Run, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """No app is imported: the prefix says which names are meant."""
    monkeypatch.delitem(sys.modules, "guarded_desk")
    place = {"--url": ELSEWHERE, "--prefix": "shop", "--management-url": "http://api"}
    if by == "environment":
        for name, value in zip(
            ("BROKER_URL", "PREFIX", "MANAGEMENT_URL"), place.values(), strict=True
        ):
            monkeypatch.setenv(f"QT_{name}", value)
        place = {}
    options = [word for pair in place.items() for word in pair]
    shown = json.loads(run("show", "--json", place=options).out)
    assert [(each["name"], each["waiting"]) for each in shown["subscriptions"]] == ON_ORDER
    assert FakeApi.calls == [("http://api", "floor")]


def test_without_a_prefix_that_of_every_bus_is_meant(run: Run, app: Any) -> None:
    """`qt`, unless an app says another."""
    shown = json.loads(run("show", "--json", place=["--url", ELSEWHERE]).out)
    assert [each["name"] for each in shown["subscriptions"]] == ["another"]


def test_a_prefix_that_is_not_the_apps_is_wrong_usage(app: Any, run: Run) -> None:
    """Neither of the two is ignored in silence; the app's own prefix may be repeated."""
    refused = run("show", "--prefix", "store")
    assert refused.code == 2
    assert "the app 'guarded_desk' has the prefix 'shop'" in refused.err
    assert run("show", "--prefix", "shop").code == 0


@pytest.mark.parametrize("words", [["show"], ["remove", "desk.on_order"]])
def test_looking_needs_a_broker(run: Run, words: list[str]) -> None:
    """By URL or by app; one line says how to write both."""
    refused = run(*words, place=())
    (line,) = refused.err.splitlines()
    assert refused.code == 2
    assert "--url" in line
    assert "QT_BROKER_URL" in line
    assert "--app" in line


@pytest.mark.parametrize("words", [["declare"], ["permissions"], ["take-over", "desk.on_order"]])
def test_declaring_and_guarding_need_an_app(run: Run, words: list[str]) -> None:
    """A URL alone does not say what there is to be."""
    refused = run(*words, place=("--url", ELSEWHERE))
    assert refused.code == 2
    assert refused.err.startswith("qt-events: give --app MODULE (or QT_APP)")


@pytest.mark.parametrize(
    "words",
    [
        ["declare"],
        ["remove", "desk.on_order", "--yes"],
        ["take-over", "desk.on_order"],
        ["unbind", "desk.on_order", "trade.#"],
        ["move", "desk.on_order", "desk.orders"],
    ],
)
def test_what_changes_the_broker_changes_that_of_the_url(
    app: Any, run: Run, words: list[str]
) -> None:
    """The app's own is not asked."""
    (port,) = free_ports(1)
    refused = run(*words, "--url", f"amqp://operator:word@127.0.0.1:{port}/floor")
    assert refused.code == 1
    assert f"127.0.0.1:{port}" in refused.err
    assert "word" not in refused.err


@pytest.mark.parametrize(
    "words", [["declare"], ["show"], ["remove", "desk.on_order"], ["permissions"]]
)
def test_a_url_that_is_none_is_wrong_usage(app: Any, run: Run, words: list[str]) -> None:
    """It is not told: a piece of a password may be in it."""
    refused = run(*words, "--url", "amqp://operator:word@elsewhere:planted//")
    assert refused.code == 2
    assert "amqp://user:password@host" in refused.err
    assert "planted" not in refused.err
    assert FakeApi.calls == []


def test_a_table_that_nobody_sees_is_wide(
    app: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no terminal; `nobody` marks what is not served."""
    monkeypatch.setenv("COLUMNS", "20")
    shown = run("show").out
    assert re.search(r"^ *desk\.on_order +3 +0 +nobody +0 +0 *$", shown, re.MULTILINE)
    assert shown.endswith("1 subscriptions, 1 of them served by nobody; 0 events lost\n")


def test_an_app_that_there_is_not_is_wrong_usage(run: Run) -> None:
    """As for every command."""
    assert run("show", place=("-A", "no_such_app")).code == 2
