"""Management: the part of RabbitMQ's HTTP API that commands need."""

import http.client
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote, unquote

from qt_events.errors import BrokerError, BrokerUnreachableError, LoginRefusedError
from qt_events.rabbitmq.connection.connections import BrokerConnection
from qt_events.rabbitmq.connection.tls import context_of, describe
from qt_events.rabbitmq.connection.urls import split

ADVICE = "RabbitMQ's management API has a URL such as http://user:password@host:15672/api/"
_PORTS = {"http": 15672, "https": 15671}
_PATIENCE = 30.0  # seconds for an answer
_COLUMNS = "name,messages,messages_ready,messages_unacknowledged,messages_dlx,consumers"


class ManagementApi:
    """API of one broker, for one vhost. No error shows the password.

    Raises:
        InvalidUrlError: `url` is none of http or https.

    Each call raises:
        BrokerUnreachableError: nobody answers there.
        LoginRefusedError: the user is unknown there, or may not do that.
        BrokerError: the broker refuses it for another reason, in its own words.
    """

    def __init__(self, url: str, vhost: str, tls: Any = None) -> None:
        """Take a `url` with user and password; the path `/api/` may be left out.

        Over https, the certificate is verified with `tls`, the app's `broker_use_ssl`, and must
        have the host's name in `url`.
        """
        self._parts = split(url, {"http", "https"}, ADVICE)._replace(query="")
        self._vhost, self._tls = quote(vhost, safe=""), tls

    @property
    def url(self) -> str:
        """URL with user, password and path. Flower needs the slash at the end."""
        return self._parts._replace(path=f"{self._base}/").geturl()

    @property
    def place(self) -> str:
        """URL without user and password."""
        return self._parts._replace(
            netloc=self._parts.netloc.rpartition("@")[2], path=f"{self._base}/"
        ).geturl()

    def check(self) -> None:
        """Raise an error unless it answers and lets this user look at queues."""
        self._asked("GET", f"queues/{self._vhost}?columns=name")

    def queues(self) -> list[dict[str, Any]]:
        """Return a row for each queue. The figures are some seconds old."""
        rows: list[dict[str, Any]] = self._asked("GET", f"queues/{self._vhost}?columns={_COLUMNS}")
        return rows

    def bindings(self) -> list[dict[str, Any]]:
        """Return a row for each binding, of whatever exchange."""
        columns = "source,destination,routing_key"
        rows: list[dict[str, Any]] = self._asked("GET", f"bindings/{self._vhost}?columns={columns}")
        return rows

    def users(self) -> set[str]:
        return {row["name"] for row in self._asked("GET", "users?columns=name")}

    def create_user(self, name: str, password: str) -> None:
        """Create a user without tags, who has no rights but those in vhosts."""
        self._asked("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": ""})

    def permit(self, user: str, configure: str, write: str, read: str) -> None:
        path = f"permissions/{self._vhost}/{quote(user, safe='')}"
        self._asked("PUT", path, {"configure": configure, "write": write, "read": read})

    def permit_topic(self, user: str, exchange: str, write: str, read: str) -> None:
        path = f"topic-permissions/{self._vhost}/{quote(user, safe='')}"
        self._asked("PUT", path, {"exchange": exchange, "write": write, "read": read})

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            status, answer = self._answer(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise BrokerUnreachableError(
                f"no answer from RabbitMQ's management API at {self.place} ({self._why(error)})"
            ) from error
        if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            raise LoginRefusedError(
                f"RabbitMQ's management API at {self.place} does not let the user {self._user!r} "
                f"{method} /{path}: looking needs the tag `management` (or `monitoring`), users "
                "and permissions `administrator`"
            )
        if status >= http.client.BAD_REQUEST:
            text = answer.decode(errors="replace")
            raise BrokerError(f"{method} /{path} at {self.place}: {status} {text}; {ADVICE}")
        return json.loads(answer) if answer else None

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"{self._base}/{path}", content, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _why(self, error: Exception) -> str:
        """Return the error with advice: about TLS, else about the plugin."""
        text = describe(error, tls=True) if self._parts.scheme == "https" else str(error)
        return f"{error}; is its plugin rabbitmq_management on?" if text == str(error) else text

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_PATIENCE)
        return http.client.HTTPSConnection(
            host, port, timeout=_PATIENCE, context=context_of(self._tls)
        )

    @property
    def _base(self) -> str:
        return self._parts.path.rstrip("/") or "/api"

    @property
    def _user(self) -> str:
        return unquote(self._parts.username or "guest")

    @property
    def _headers(self) -> dict[str, str]:
        password = unquote(self._parts.password or "guest")
        token = b64encode(f"{self._user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}", "Content-Type": "application/json"}


def default_api(connection: BrokerConnection) -> str:
    """Return the URL of the management API at its default port, with the broker's own user.

    It has TLS if the broker has: the password must not go over the network without.
    """
    user, password = (
        quote(each or "guest", safe="") for each in (connection.userid, connection.password)
    )
    host = connection.hostname or "localhost"
    scheme = "https" if connection.is_tls else "http"
    place = f"[{host}]" if ":" in host else host
    return f"{scheme}://{user}:{password}@{place}:{_PORTS[scheme]}/api/"
