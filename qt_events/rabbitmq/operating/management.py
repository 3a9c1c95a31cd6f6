"""Management: RabbitMQ's HTTP API, as far as commands need it."""

import http.client
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote, unquote

from qt_events.errors import BrokerError, BrokerUnreachableError, LoginRefusedError
from qt_events.urls import split

ADVICE = "RabbitMQ's management API has a URL such as http://user:password@host:15672/api/"
_PATIENCE = 30.0  # seconds for an answer
_COLUMNS = "name,messages,messages_ready,messages_unacknowledged,consumers"


class ManagementApi:
    """One broker's, for one vhost. No error says the password.

    Raises:
        InvalidUrlError: `url` is none of http or https.

    Each call raises:
        BrokerUnreachableError: nobody answers there.
        LoginRefusedError: the user is unknown there, or may not do that.
        BrokerError: the broker refuses it for another reason, in its own words.
    """

    def __init__(self, url: str, vhost: str) -> None:
        """`url` with user and password; the path `/api/` may be left out."""
        self._parts = split(url, {"http", "https"}, ADVICE)
        self._vhost = quote(vhost, safe="")

    def queues(self) -> list[dict[str, Any]]:
        """A row for each queue, its figures some seconds old."""
        rows: list[dict[str, Any]] = self._asked("GET", f"queues/{self._vhost}?columns={_COLUMNS}")
        return rows

    def users(self) -> set[str]:
        """The names of all users."""
        return {row["name"] for row in self._asked("GET", "users?columns=name")}

    def create_user(self, name: str, password: str) -> None:
        """One without tags: it may do nothing but what it is permitted in vhosts."""
        self._asked("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": ""})

    def permit(self, user: str, configure: str, write: str, read: str) -> None:
        """Set the user's permissions in the vhost."""
        path = f"permissions/{self._vhost}/{quote(user, safe='')}"
        self._asked("PUT", path, {"configure": configure, "write": write, "read": read})

    def permit_topic(self, user: str, exchange: str, write: str, read: str) -> None:
        """Set the user's permissions for the routing keys of an exchange."""
        path = f"topic-permissions/{self._vhost}/{quote(user, safe='')}"
        self._asked("PUT", path, {"exchange": exchange, "write": write, "read": read})

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            status, answer = self._answer(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            message = f"no answer from RabbitMQ's management API at {self._place} ({error}): is its plugin on?"
            raise BrokerUnreachableError(message) from error
        if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            message = (
                f"RabbitMQ's management API at {self._place} does not let the user {self._user!r} {method} /{path}: "
                "looking needs the tag `management` (or `monitoring`), users and permissions `administrator`"
            )
            raise LoginRefusedError(message)
        if status >= http.client.BAD_REQUEST:
            text = answer.decode(errors="replace")
            raise BrokerError(f"{method} /{path} at {self._place}: {status} {text}; {ADVICE}")
        return json.loads(answer) if answer else None

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        secure = self._parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self._parts.hostname or "", self._parts.port, timeout=_PATIENCE)
        try:
            base = self._parts.path.rstrip("/") or "/api"
            connection.request(method, f"{base}/{path}", None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def _user(self) -> str:
        return unquote(self._parts.username or "guest")

    @property
    def _headers(self) -> dict[str, str]:
        password = unquote(self._parts.password or "guest")
        token = b64encode(f"{self._user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    @property
    def _place(self) -> str:
        return f"{self._parts.scheme}://{self._parts.hostname}:{self._parts.port or self._parts.scheme}"
