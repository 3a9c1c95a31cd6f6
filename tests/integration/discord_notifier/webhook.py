"""Webhook: an HTTP server with the responses of each test; Harness: a notifier that posts there."""

import asyncio
import json
import traceback
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from qt_events import HealthStatus, HealthStatusChangedEvent, InMemoryEventBus
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until
from workers.store import Store
from workers.system.listeners.discord_notifier import ALERTS, DiscordNotifier

SECRET = "T0k3nT0k3n"
PATH = f"/api/webhooks/42/{SECRET}"
#: Seconds that a webhook without a response may take.
SHORT = 0.5
#: A response that never comes.
HANG = b""
HTML = {"content-type": "text/html; charset=utf-8"}


def response(status: int, body: str = "", **headers: str) -> bytes:
    """Return an HTTP response; underscores in a header's name are hyphens."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-length: {len(body.encode())}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", body]).encode()


def limited(body: Any = None, **headers: str) -> bytes:
    """Return the 429 of a server with too many requests."""
    return response(429, "" if body is None else json.dumps(body), **headers)


TAKEN = response(204)


@dataclass(frozen=True)
class Post:
    """A request as it came in."""

    head: str  #: request line and headers
    body: Any  #: its JSON


class Webhook:
    """A server on a port of its own. It gives its responses in turn, and repeats the last one."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [TAKEN]
        self.posts: list[Post] = []
        self._over = asyncio.Event()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PATH}"

    async def close(self) -> None:
        self._over.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client may leave without a word.
        with closing(writer), suppress(asyncio.IncompleteReadError):
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            line for line in head.lower().splitlines() if line.startswith("content-length:")
        )
        self.posts.append(
            Post(head, json.loads(await reader.readexactly(int(length.split(":")[1]))))
        )
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said == HANG:
            await self._over.wait()
        writer.write(said)


class Harness:
    """A notifier on a bus with a clock that a test moves."""

    def __init__(self, store: Store, url: str | None) -> None:
        self.store, self.clock = store, ManualClock()
        # Retries that wait at the end of a test are dropped.
        self.bus = InMemoryEventBus(clock=self.clock, grace=0.1)
        self.notifier = DiscordNotifier(self.bus, store, url)

    async def waits(self) -> float:
        """Return the seconds until the next attempt, after the one before has failed."""
        await until(lambda: self.clock.due)
        (due,) = self.clock.due
        return due - self.clock.time()

    async def wait_and_retry(self) -> None:
        """Let exactly so much time pass."""
        await self.clock.advance(await self.waits())

    async def letter(self) -> DeadLetterRecord:
        """Return the only dead letter."""
        (letter,) = await self.bus.dead_letters.list()
        return letter

    async def sent(self) -> list[bool]:
        """Return for each kept alert if it was posted."""
        return [alert["sent"] for alert in (await self.store.documents.all(ALERTS)).values()]


def changed(status: HealthStatus = HealthStatus.CRITICAL) -> HealthStatusChangedEvent:
    return HealthStatusChangedEvent.create(
        old_status=HealthStatus.DEGRADED,
        new_status=status,
        component="DrawdownGuard",
        reason="drawdown -12.4% in 63 days",
    )


def words_of(error: BaseException) -> str:
    """Return all text that a log or a dead letter may show."""
    return "".join(traceback.format_exception(error)) + repr(error)
