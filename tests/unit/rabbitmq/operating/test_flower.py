"""`qt-events flower`: its checks before Flower starts, and the queues that Flower shows."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import celery
import pytest
from flower.utils import broker
from tornado.httpclient import HTTPRequest

from qt_events.errors import InvalidUrlError, NotSupportedError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import BrokerConnection
from qt_events.rabbitmq.operating import flower
from qt_events.rabbitmq.operating.flower import (
    run_flower,
    show_every_queue,
    trouble_with,
)
from qt_events.rabbitmq.operating.management import ManagementApi, default_api


class FakeApi(ThreadingHTTPServer):
    """Stand-in for RabbitMQ's management API, which records requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[tuple[str, str | None]] = []
        self.status, self.queues = (
            200,
            ["qt.sub.executor", "qt.dead.executor", "other", "known", "qt.celeryev.1"],
        )

    @property
    def url(self) -> str:
        return f"http://me:mine@127.0.0.1:{self.server_port}/api/"


class _Answer(BaseHTTPRequestHandler):
    server: FakeApi

    def do_GET(self) -> None:  # http.server's name
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        body = json.dumps([{"name": name, "messages": 1} for name in self.server.queues]).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet in the tests' output."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("amqp://me:mine@rabbit:5672//", "http://me:mine@rabbit:15672/api/"),
        ("amqp://rabbit/desk", "http://guest:guest@rabbit:15672/api/"),
        ("amqp://me%40home:a%2Fb@rabbit", "http://me%40home:a%2Fb@rabbit:15672/api/"),
        ("amqp://me:mine@[::1]:5672//", "http://me:mine@[::1]:15672/api/"),
        ("amqps://me:mine@rabbit//", "https://me:mine@rabbit:15671/api/"),
    ],
)
def test_the_management_api_is_looked_for_beside_the_broker(broker: str, expected: str) -> None:
    """The API has its usual port, and the broker's own user."""
    with BrokerConnection(broker) as connection:
        assert default_api(connection) == expected


def test_without_flower_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error needs no app and no broker."""
    monkeypatch.setattr(flower, "find_spec", lambda name: None)
    with pytest.raises(NotSupportedError, match=r"pip install 'qt-events\[flower\]'"):
        run_flower("no_such_app", None, None, [])


def test_an_api_that_answers_is_no_trouble(api: FakeApi) -> None:
    """The request is for the queues of one vhost, by the user of the URL."""
    assert not trouble_with(ManagementApi(api.url, "/"))
    assert api.asked == [("/api/queues/%2F?columns=name", "Basic bWU6bWluZQ==")]


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/"])
def test_flower_is_given_the_address_that_was_tried(path: str) -> None:
    """The URL ends in a slash, which Flower needs. The place has no password."""
    api = ManagementApi(f"http://me:mine@[::1]:1{path}", "/")
    assert api.url == "http://me:mine@[::1]:1/api/"
    assert api.place == "http://[::1]:1/api/"


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "refuses the user"), (403, "refuses the user"), (404, "/api/")]
)
def test_an_api_that_refuses_is_told_without_its_password(
    status: int, advice: str, api: FakeApi
) -> None:
    """Readers of a log need not know it."""
    api.status = status
    trouble = trouble_with(ManagementApi(api.url, "/"))
    assert advice in trouble
    assert f"127.0.0.1:{api.server_port}" in trouble
    assert "mine" not in trouble


@pytest.mark.parametrize(
    "url", ["rabbit:15672/api/", "amqp://me:secret@rabbit", "http://", "http://me:secret@rabbit:x/"]
)
def test_what_is_no_address_of_an_api_is_refused(url: str) -> None:
    """The text has an example. It shows nothing of the URL, which may hold a password."""
    with pytest.raises(InvalidUrlError, match="http://user:password@host:15672/api/") as caught:
        ManagementApi(url, "/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("vhost", "path"), [("/", "/api/queues/%2F"), ("a b/c", "/api/queues/a%20b%2Fc")]
)
def test_flower_lists_the_bus_s_queues_and_those_it_knows_of_one_vhost(
    vhost: str, path: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted by name, without those of strangers and Flower's own."""
    monkeypatch.setattr(broker, "RabbitMQ", broker.RabbitMQ)  # as it was, afterwards
    app = celery.Celery(broker="amqp://rabbit//", set_as_current=False)
    app.conf.event_queue_prefix = "qt.celeryev"
    bus = CeleryEventBus(app=app)
    try:
        show_every_queue(app, vhost)
        queues = asyncio.run(broker.Broker("amqp://rabbit//", http_api=api.url).queues(["known"]))
    finally:
        bus.close()
    assert [queue["name"] for queue in queues] == ["known", "qt.dead.executor", "qt.sub.executor"]
    assert [asked for asked, _ in api.asked] == [path]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?verify=verify_peer&heartbeat=5", ssl.CERT_REQUIRED),
        ("?verify=verify_none", ssl.CERT_NONE),
    ],
)
def test_over_https_the_api_is_verified_as_the_broker_is(
    query: str, expected: ssl.VerifyMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower itself knows only the names of Redis's options."""
    monkeypatch.setattr(broker, "RabbitMQ", broker.RabbitMQ)  # as it was, afterwards
    app = celery.Celery("desk", broker=f"amqps://host{query}", set_as_current=False)
    CeleryEventBus(app=app)
    show_every_queue(app, "/")
    queues = broker.Broker(
        "amqps://host", http_api="https://host:15671/api/", broker_use_ssl=app.conf.broker_use_ssl
    )
    asked = HTTPRequest("https://host", **queues._tls_kwargs())  # noqa: SLF001  # Flower's own way
    assert isinstance(asked.ssl_options, ssl.SSLContext)
    assert asked.ssl_options.verify_mode is expected
