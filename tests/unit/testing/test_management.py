"""Management and the broker's odd answers; plain ones are tested on a real broker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from qt_events.errors import BrokerError
from qt_events.testing.broker.management import Management


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[Management, list[str]]]:
    """Serve one connection, and answer each DELETE or PUT with the next status; 0 is no answer."""
    left, deleted = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, json.dumps([{"name": "one -> two"}]).encode())

        def do_DELETE(self) -> None:
            deleted.append(self.path)
            if status := left.pop(0):
                self.answer(status, b"")

        do_PUT = do_DELETE  # noqa: N815  # http.server's way of naming

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield (
                Management(
                    f"http://guest:guest@127.0.0.1:{server.server_port}", "amqp://localhost"
                ),
                deleted,
            )
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("statuses", [(204,), (404,), (500, 404), (500, 204), (0, 404)])
def test_a_connection_that_goes_by_itself_meanwhile_counts_as_closed(
    statuses: tuple[int, ...],
) -> None:
    """The broker answers a bare 500, or hangs up, where a connection ends within the call."""
    with answering(*statuses) as (management, deleted):
        assert management.close_connections() == 1
    assert deleted == ["/api/connections/one%20-%3E%20two"] * len(statuses)


@pytest.mark.parametrize(("status", "told"), [(500, "500"), (0, "does not answer")])
def test_a_broker_that_goes_on_failing_is_an_error(status: int, told: str) -> None:
    with answering(status, status) as (management, _), pytest.raises(BrokerError, match=told):
        management.close_connections()


def test_a_vhost_that_takes_a_busy_cluster_long_is_asked_for_again() -> None:
    """RabbitMQ answers 500 when it has waited for 10 s, and goes on making it."""
    with answering(500, 204, 204) as (management, put):
        assert management.create_vhost("new") == "amqp://localhost/new"
    assert put == ["/api/vhosts/new", "/api/vhosts/new", "/api/permissions/new/guest"]
