"""Management: RabbitMQ's HTTP API, as far as tests need it.

A client of its own: tests check the bus's own client with it.
"""

import base64
import http.client
import json
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from qt_events.errors import BrokerError

_TIMEOUT = 60.0  # seconds
_PAUSE = 0.2  # seconds before the broker is asked again


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

    def create_vhost(self, name: str) -> str:
        """Make a vhost that the same user may use fully, and return its AMQP URL."""
        self._put_vhost(name)
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        user = unquote(self._url.username or "guest")
        self._request("PUT", f"/permissions/{_quoted(name)}/{_quoted(user)}", everything)
        return self.vhost_url(name)

    def _put_vhost(self, name: str) -> None:
        """Ask for a vhost until it is there.

        RabbitMQ 3.10 gives up waiting after 10 s and goes on with it: a busy cluster takes longer.
        """
        path, deadline = f"/vhosts/{_quoted(name)}", monotonic() + _TIMEOUT
        status, answer = self._asked("PUT", path)
        while status == http.client.INTERNAL_SERVER_ERROR and monotonic() < deadline:
            sleep(_PAUSE)
            status, answer = self._asked("PUT", path)
        self._accepted("PUT", path, status, answer)

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

        A new connection shows up some milliseconds after it was opened.
        """
        return self._listed(
            "/connections" if vhost is None else f"/vhosts/{_quoted(vhost)}/connections"
        )

    def close_connections(self, vhost: str | None = None) -> int:
        """Close connections from the broker's side, and return how many there were."""
        found = self.connections(vhost)
        for connection in found:
            self._close_connection(f"/connections/{_quoted(connection['name'])}")
        return len(found)

    def _close_connection(self, path: str) -> None:
        """Close one connection that may go by itself meanwhile.

        A connection that has gone is a 404; one that goes within the call is a 500, and gone when
        asked again.
        """
        try:
            self._request("DELETE", path, missing_ok=True)
        except BrokerError:
            self._request("DELETE", path, missing_ok=True)

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
            status, _ = self._answer("GET", f"/health/checks/{name}", None)
        except OSError:
            return False
        return status == http.client.OK

    def _listed(self, path: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self._request("GET", path))
        return listed

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        missing_ok: bool = False,
    ) -> bytes:
        status, answer = self._asked(method, path, body)
        if missing_ok and status == http.client.NOT_FOUND:
            return answer
        return self._accepted(method, path, status, answer)

    def _accepted(self, method: str, path: str, status: int, answer: bytes) -> bytes:
        if status >= http.client.BAD_REQUEST:
            raise BrokerError(
                f"{method} {path} at {self._place}: {status} {answer.decode(errors='replace')}"
            )
        return answer

    def _asked(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        try:
            return self._answer(method, path, body)
        except OSError as error:
            raise BrokerError(
                f"RabbitMQ's management API does not answer at {self._place}: {error}"
            ) from error

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        https = self._url.scheme == "https"
        connect = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = connect(self._url.hostname or "127.0.0.1", self._url.port, timeout=_TIMEOUT)
        try:
            connection.request(
                method, f"/api{path}", None if body is None else json.dumps(body), self._headers
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            # A node on its way up or down hangs up in the middle of an answer.
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    @property
    def _place(self) -> str:
        return f"{self._url.hostname}:{self._url.port}"

    @property
    def _headers(self) -> dict[str, str]:
        user, password = (
            unquote(self._url.username or "guest"),
            unquote(self._url.password or "guest"),
        )
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}", "Content-Type": "application/json"}


def _quoted(name: str) -> str:
    return quote(name, safe="")
