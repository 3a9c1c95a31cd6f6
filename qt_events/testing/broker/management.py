"""Management: RabbitMQ's HTTP API, as far as tests need it.

A client of its own: tests check the bus's own client with it.
"""

import base64
import json
import re
from collections.abc import Collection
from http.client import (
    BAD_REQUEST,
    INTERNAL_SERVER_ERROR,
    NOT_FOUND,
    OK,
    HTTPConnection,
    HTTPException,
    HTTPSConnection,
)
from time import monotonic, sleep, time
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from qt_events.errors import BrokerError

_TIMEOUT = 60.0  # seconds
# Seconds before the broker is asked again
_PAUSE = 0.2
# Seconds after which a connection is listed, a statistics interval of a PrivateBroker and a bit
_SHOWS_UP = 1.3


class Management:
    """The management API of one broker. Every call blocks for one HTTP request, a few milliseconds.

    Safe to use from any thread. Give names of exchanges, queues and vhosts as they are, not quoted.
    A request that the broker refuses, or does not answer within 60 s, is a BrokerError with the
    broker's own words. Counters (`messages`, rates) lag behind by the broker's statistics interval,
    a second on a PrivateBroker. Lists of exchanges, queues and bindings are current.
    """

    def __init__(self, url: str, amqp_url: str) -> None:
        """Take a `url` like `http://guest:guest@127.0.0.1:15672`, and the broker's `amqp_url`."""
        self._url = urlsplit(url)
        self._amqp = urlsplit(amqp_url)
        self._user = unquote(self._url.username or "guest")

    def create_vhost(self, name: str) -> str:
        """Make a vhost that the same user may use fully, and return its AMQP URL."""
        path, deadline = f"/vhosts/{_quoted(name)}", monotonic() + _TIMEOUT
        # RabbitMQ 3.10 stops waiting after 10 s and goes on with it: a busy cluster takes longer.
        busy = {INTERNAL_SERVER_ERROR}
        while self._request("PUT", path, accept=busy)[0] in busy:
            sleep(_PAUSE)
            busy = busy if monotonic() < deadline else set()
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._request("PUT", f"/permissions/{_quoted(name)}/{_quoted(self._user)}", everything)
        return self.vhost_url(name)

    def vhost_url(self, name: str) -> str:
        """Return the AMQP URL of a vhost, existing or not."""
        return self._amqp._replace(path=f"/{_quoted(name)}").geturl()

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it; the broker closes its connections."""
        self._request("DELETE", f"/vhosts/{_quoted(name)}")

    def exchanges(self, vhost: str) -> list[dict[str, Any]]:
        """Return every exchange, the built-in ones (`""`, `amq.*`) included."""
        return self._listed(f"/exchanges/{_quoted(vhost)}")

    def queues(self, vhost: str) -> list[dict[str, Any]]:
        """Return every queue: `name`, `arguments`, `durable`, `messages`, `consumers`, ..."""
        return self._listed(f"/queues/{_quoted(vhost)}")

    def bindings(self, vhost: str) -> list[dict[str, Any]]:
        """Return every binding, those to the default exchange (`source` is `""`) included."""
        return self._listed(f"/bindings/{_quoted(vhost)}")

    def connections(self, vhost: str | None = None) -> list[dict[str, Any]]:
        """Return the open client connections, of one vhost or of all.

        A new connection shows up within a second of a PrivateBroker, else within five.
        """
        return self._listed(
            "/connections" if vhost is None else f"/vhosts/{_quoted(vhost)}/connections"
        )

    def close_connections(self, vhost: str | None = None) -> int:
        """Close the connections of now from the broker's side, and return how many there were.

        It takes as long as a new one may take to show up on a PrivateBroker. Those that are opened
        meanwhile stay.
        """
        called, deadline, closed = time() * 1000, monotonic() + _SHOWS_UP, set[str]()
        while True:
            for each in self.connections(vhost):
                # One that is about to close may have no more than its name.
                if each["name"] not in closed and each.get("connected_at", 0) <= called:
                    closed.add(each["name"])
                    self._close_connection(each["name"])
            if monotonic() > deadline:
                return len(closed)
            sleep(_PAUSE)

    def _close_connection(self, name: str) -> None:
        path = f"/connections/{_quoted(name)}"
        # One that has gone by itself is a 404. One that goes within the call is a 500 or no answer,
        # and gone when asked again.
        try:
            self._request("DELETE", path, accept={NOT_FOUND})
        except BrokerError:
            self._request("DELETE", path, accept={NOT_FOUND})

    def version(self) -> tuple[int, ...]:
        """Return RabbitMQ's version, such as (4, 3, 6)."""
        overview = json.loads(self._request("GET", "/overview")[1])
        return tuple(map(int, re.findall(r"\d+", overview["rabbitmq_version"])[:3]))

    def running_nodes(self) -> list[str]:
        """Return the names of the cluster's running nodes."""
        return [node["name"] for node in self._listed("/nodes") if node["running"]]

    def is_ready(self, amqp_port: int) -> bool:
        """Return True if the broker listens on `amqp_port` and its vhosts are up."""
        return self.check(f"port-listener/{amqp_port}") and self.check("virtual-hosts")

    def is_alarmed(self) -> bool:
        """Return True if an alarm for memory or disk blocks every connection that publishes."""
        return not self.check("local-alarms")

    def check(self, name: str) -> bool:
        """Run one of RabbitMQ's health checks (`/api/health/checks/<name>`); no answer is False."""
        try:
            return self._answer("GET", f"/health/checks/{name}")[0] == OK
        except OSError:
            return False

    def _listed(self, path: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self._request("GET", path)[1])
        return listed

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        accept: Collection[int] = (),
    ) -> tuple[int, bytes]:
        """Return status and answer; BrokerError for an error that is not in `accept`."""
        place = f"{self._url.hostname}:{self._url.port}"
        try:
            status, answer = self._answer(method, path, body)
        except OSError as error:
            raise BrokerError(
                f"RabbitMQ's management API does not answer at {place}: {error}"
            ) from error
        if status >= BAD_REQUEST and status not in accept:
            raise BrokerError(
                f"{method} {path} at {place}: {status} {answer.decode(errors='replace')}"
            )
        return status, answer

    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        connect = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = connect(self._url.hostname or "127.0.0.1", self._url.port, timeout=_TIMEOUT)
        login = f"{self._user}:{unquote(self._url.password or 'guest')}"
        token = base64.b64encode(login.encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api{path}", content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except HTTPException as error:
            # A node on its way up or down hangs up in the middle of an answer.
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


def _quoted(name: str) -> str:
    return quote(name, safe="")
