"""Discord Notifier against a real HTTP server with the responses of each test."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from qt_events import HealthStatus, HealthStatusChangedEvent, InMemoryEventBus, Reject
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until
from workers.store import Store
from workers.system.listeners.discord_notifier import (
    ALERTS,
    BUSY_WAIT,
    LONGEST_WAIT,
    RETRY,
    DiscordNotifier,
    InvalidWebhookError,
    WebhookError,
)

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
        with (
            closing(writer),
            suppress(asyncio.IncompleteReadError),
        ):  # a client may leave without a word
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


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_WEBHOOK_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.dispose()


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    server = Webhook()
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def harness(store: Store, webhook: Webhook) -> AsyncIterator[Harness]:
    harness = Harness(store, webhook.url)
    async with harness.bus:
        yield harness


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


# What is posted


async def test_posts_what_became_critical(harness: Harness, webhook: Webhook) -> None:
    """The message is one JSON document as Discord takes it, and the alert is kept."""
    await harness.bus.publish(changed())
    await harness.bus.join()
    (post,) = webhook.posts
    assert post.head.startswith(f"POST {PATH} HTTP/1.1\r\n")
    assert "content-type: application/json" in post.head.lower()
    assert post.body == {
        "content": "CRITICAL: DrawdownGuard: drawdown -12.4% in 63 days (was DEGRADED)"
    }
    assert await harness.sent() == [True]


@pytest.mark.parametrize("status", [HealthStatus.DEGRADED, HealthStatus.HEALTHY])
async def test_posts_nothing_else(harness: Harness, webhook: Webhook, status: HealthStatus) -> None:
    await harness.bus.publish(changed(status))
    await harness.bus.join()
    assert (webhook.posts, await harness.sent()) == ([], [])


@pytest.mark.parametrize(
    "taken", [TAKEN, response(200, '{"id": "1"}', content_type="application/json")]
)
async def test_takes_an_empty_answer_and_one_in_json(
    harness: Harness, webhook: Webhook, taken: bytes
) -> None:
    """Discord answers 204; with `?wait=true` it answers 200 and the message."""
    webhook.answers = [taken]
    await harness.bus.publish(changed())
    await harness.bus.join()
    assert (len(webhook.posts), await harness.sent(), await harness.bus.dead_letters.list()) == (
        1,
        [True],
        [],
    )


async def test_without_a_url_the_alert_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The alert is kept as not sent, and nothing fails."""
    harness = Harness(store, None)
    async with harness.bus:
        await harness.bus.publish(changed())
        await harness.bus.join()
    assert "no DISCORD_WEBHOOK_URL is set: CRITICAL: DrawdownGuard" in caplog.text
    assert (await harness.sent(), await harness.bus.dead_letters.list()) == ([False], [])


async def test_the_url_is_the_environments(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet is configured like this."""
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", webhook.url)
    await Harness(store, None).notifier.on_health_changed(changed())
    assert len(webhook.posts) == 1


# When it is asked for patience


def in_so_many_seconds(seconds: float) -> str:
    """Return a time as an HTTP date, in whole seconds."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("said", "delay"),
    [
        (
            limited(
                {"message": "You are being rate limited.", "retry_after": 2.5, "global": False}
            ),
            2.5,
        ),
        (limited({"retry_after": 2.5}, retry_after="9"), 2.5),
        (limited(retry_after="7"), 7.0),
        (limited({"message": "later"}, retry_after="7"), 7.0),
        (limited([], retry_after="7"), 7.0),
        (response(429, "<html>slow down</html>", retry_after="7", content_type="text/html"), 7.0),
        (limited(), BUSY_WAIT),
        (limited(retry_after="soon"), BUSY_WAIT),
        (limited({"retry_after": "soon"}), BUSY_WAIT),
        (limited(retry_after="-3"), 0.0),
        (limited(retry_after="Mon, 01 Jan 2024 00:00:00 GMT"), 0.0),
        (limited({"retry_after": 1e9}), LONGEST_WAIT),
    ],
    ids=[
        "JSON",
        "JSON before the header",
        "header",
        "header, for the JSON does not say",
        "header, for the JSON is no object",
        "header, for the body is a page",
        "neither",
        "a header that says nothing",
        "JSON that says nothing",
        "less than nothing",
        "a date that is past",
        "for ever",
    ],
)
async def test_waits_as_long_as_a_429_asks(
    harness: Harness, webhook: Webhook, said: bytes, delay: float
) -> None:
    """The delay has no jitter; then it posts again."""
    webhook.answers = [said, TAKEN]
    await harness.bus.publish(changed())
    assert await harness.waits() == delay
    await harness.wait_and_retry()
    await harness.bus.join()
    assert (len(webhook.posts), await harness.sent()) == (2, [True])


async def test_waits_until_the_date_of_a_429(harness: Harness, webhook: Webhook) -> None:
    """Retry-After may be a date (RFC 9110, 10.2.3)."""
    webhook.answers = [limited(retry_after=in_so_many_seconds(1000)), TAKEN]
    await harness.bus.publish(changed())
    assert 900 < await harness.waits() <= 1000


async def test_posts_no_sooner_than_it_was_asked(harness: Harness, webhook: Webhook) -> None:
    webhook.answers = [limited({"retry_after": 60.5}), TAKEN]
    await harness.bus.publish(changed())
    assert await harness.waits() == 60.5
    await harness.clock.advance(60.4)
    assert (len(webhook.posts), len(harness.clock.due)) == (1, 1)
    await harness.clock.advance(0.1)
    await harness.bus.join()
    assert len(webhook.posts) == 2


# When it fails


async def test_a_server_in_trouble_is_asked_again(harness: Harness, webhook: Webhook) -> None:
    """The policy's delays apply, and the alert is kept once it is taken."""
    webhook.answers = [response(500, "oops"), response(503), response(408), TAKEN]
    await harness.bus.publish(changed())
    for backoff in (0.5, 1.0, 2.0):
        assert backoff <= await harness.waits() <= backoff * (1 + RETRY.jitter)
        assert await harness.sent() == []
        await harness.wait_and_retry()
    await harness.bus.join()
    assert (len(webhook.posts), await harness.sent()) == (4, [True])


async def test_trouble_without_end_is_a_dead_letter(harness: Harness, webhook: Webhook) -> None:
    """The dead letter, after hours, names the status and the server's text."""
    webhook.answers = [response(500, "database on fire")]
    await harness.bus.publish(changed())
    for _ in range(RETRY.max_attempts - 1):
        await harness.wait_and_retry()
        await until(lambda: harness.clock.due or not harness.bus.get_stats()["queue_size"])
    letter = await harness.letter()
    assert (letter.reason, letter.attempts) == ("exhausted", RETRY.max_attempts)
    assert letter.message == "the webhook answered 500 Internal Server Error: 'database on fire'"
    assert harness.clock.time() > 2 * 3600


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            response(403, "<html>login</html>", **HTML),
            "403 Forbidden: a page of HTML, which no webhook sends",
        ),
        (
            response(404, '{"message": "Unknown Webhook", "code": 10015}'),
            '404 Not Found: \'{"message": "Unknown',
        ),
        (response(401), "401 Unauthorized"),
        (response(302, location="http://127.0.0.1:1/elsewhere"), "302 Found"),
    ],
    ids=["HTML", "unknown", "unauthorized", "moved"],
)
async def test_what_will_never_be_taken_is_a_dead_letter_at_once(
    harness: Harness, webhook: Webhook, said: bytes, words: str
) -> None:
    """A wrong URL stays wrong; the error names what to check."""
    webhook.answers = [said]
    await harness.bus.publish(changed())
    await harness.bus.join()
    letter = await harness.letter()
    assert (letter.reason, letter.attempts, len(webhook.posts)) == ("rejected", 1, 1)
    assert f"the webhook answered {words}" in letter.message
    assert letter.message.endswith("; check DISCORD_WEBHOOK_URL")
    assert await harness.sent() == []


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (response(200, "<html>maintenance</html>", **HTML), r"answered 200 OK: a page of HTML"),
        (
            response(502, "<html>bad gateway</html>", **HTML),
            r"answered 502 Bad Gateway: a page of HTML",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"cannot be reached \(RemoteProtocolError\)"),
        (response(204)[:20], r"cannot be reached \(RemoteProtocolError\)"),
    ],
    ids=["a page for a success", "a proxy's page", "no HTTP", "half a response"],
)
async def test_what_no_webhook_answers_is_worth_another_try(
    harness: Harness, webhook: Webhook, said: bytes, complaint: str
) -> None:
    """A proxy may stand between, for a while."""
    webhook.answers = [said]
    with pytest.raises(WebhookError, match=complaint):
        await harness.notifier.on_health_changed(changed())
    assert await harness.sent() == []


async def test_a_webhook_that_hangs_is_given_up_and_asked_again(
    store: Store, webhook: Webhook
) -> None:
    """The timeout ends the attempt, and the next one succeeds."""
    harness = Harness(store, None)
    notifier = DiscordNotifier(InMemoryEventBus(), store, webhook.url, timeout=SHORT)
    webhook.answers = [HANG, TAKEN]
    with pytest.raises(WebhookError, match=r"did not answer within 0\.5 s"):
        async with asyncio.timeout(40):
            await notifier.on_health_changed(changed())
    await notifier.on_health_changed(changed())
    assert (len(webhook.posts), await harness.sent()) == (2, [True])


async def test_nobody_there_is_worth_another_try(harness: Harness, webhook: Webhook) -> None:
    """A connection refused is retried like any trouble of the server's."""
    await webhook.close()
    await harness.bus.publish(changed())
    assert 0.5 <= await harness.waits() <= 0.55
    with pytest.raises(WebhookError, match=r"cannot be reached \(ConnectError\)"):
        await harness.notifier.on_health_changed(changed())


# The URL is a secret


@pytest.mark.parametrize(
    "url",
    [
        "nonsense/{}",
        "ftp://127.0.0.1/{}",
        "http:///{}",
        "http://[::1/{}",
        "http://127.0.0.1:port/{}",
        "http://\x00/{}",
        "http://xn--/{}",
        "http://127.0.0.1:99999/{}",
        "https://user:p@[::1/{}",
        "mailto:{}",
        "http://é\ud800/{}",
    ],
)
def test_a_url_that_is_none_is_refused_at_once_without_saying_it(store: Store, url: str) -> None:
    """The worker does not start to serve; the URL is a secret all the same."""
    with pytest.raises(InvalidWebhookError, match="DISCORD_WEBHOOK_URL") as refused:
        DiscordNotifier(InMemoryEventBus(), store, url.format(SECRET))
    assert SECRET not in words_of(refused.value)


@pytest.mark.parametrize(
    "said",
    [response(500), response(404), response(200, "<html>", **HTML), b"nonsense\r\n"],
    ids=["500", "404", "page", "-"],
)
async def test_no_error_tells_the_url(harness: Harness, webhook: Webhook, said: bytes) -> None:
    """The URL is in no error text and in no traceback."""
    webhook.answers = [said]
    with pytest.raises((WebhookError, Reject)) as failed:
        await harness.notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)


async def test_a_timeout_does_not_tell_the_url(store: Store, webhook: Webhook) -> None:
    """httpx's own error would."""
    webhook.answers = [HANG]
    notifier = DiscordNotifier(InMemoryEventBus(), store, webhook.url, timeout=0.05)
    with pytest.raises(WebhookError) as failed:
        await notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)
    assert "During handling" not in words_of(failed.value)


@pytest.mark.parametrize(
    "said", [TAKEN, response(500), response(404), limited()], ids=["204", "500", "404", "429"]
)
async def test_no_dead_letter_tells_the_url(
    harness: Harness, webhook: Webhook, said: bytes
) -> None:
    """No field that an operator sees has it."""
    webhook.answers = [said]
    await harness.bus.publish(changed())
    await until(lambda: harness.clock.due or not harness.bus.get_stats()["queue_size"])
    while harness.clock.due:
        await harness.wait_and_retry()
        await until(lambda: harness.clock.due or not harness.bus.get_stats()["queue_size"])
    assert SECRET not in repr(await harness.bus.dead_letters.list())
    assert SECRET not in repr(await harness.store.documents.all(ALERTS))


@pytest.mark.parametrize(
    "said", [TAKEN, response(500), response(404), limited()], ids=["204", "500", "404", "429"]
)
async def test_no_log_record_tells_the_url(
    harness: Harness, webhook: Webhook, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """No level and no library logs it."""
    caplog.set_level("DEBUG")
    webhook.answers = [said, TAKEN]
    await harness.bus.publish(changed())
    await until(lambda: harness.clock.due or not harness.bus.get_stats()["queue_size"])
    assert SECRET not in caplog.text


async def test_a_webhook_that_drips_is_given_up_too(store: Store) -> None:
    """The timeout is for the whole response, even if bytes keep coming."""
    over, ended = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\nx-drip: ")
        while not over.is_set():  # a byte now and then is what this server does
            writer.write(b".")
            await asyncio.sleep(0.05)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
    notifier = DiscordNotifier(InMemoryEventBus(), store, url, timeout=SHORT)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(WebhookError):
                await notifier.on_health_changed(changed())
    finally:
        over.set()
        await ended.wait()
        server.close()
        await server.wait_closed()


async def test_an_empty_variable_is_no_url(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes an unset variable as an empty one."""
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", "")
    harness = Harness(store, None)
    await harness.notifier.on_health_changed(changed())
    assert await harness.sent() == [False]


@pytest.mark.parametrize(
    "said", [limited({"retry_after": float("nan")}), limited(retry_after="nan")]
)
async def test_a_429_that_says_nonsense_waits_as_if_it_said_nothing(
    harness: Harness, webhook: Webhook, said: bytes
) -> None:
    """NaN is a number to Python's JSON."""
    webhook.answers = [said, TAKEN]
    await harness.bus.publish(changed())
    assert await harness.waits() == BUSY_WAIT


async def test_a_null_in_json_leaves_it_to_the_header(harness: Harness, webhook: Webhook) -> None:
    webhook.answers = [limited({"retry_after": None}, retry_after="7"), TAKEN]
    await harness.bus.publish(changed())
    assert await harness.waits() == 7


@pytest.mark.parametrize(
    "said", [response(404, f"Cannot POST {PATH}"), response(500, f"no route {PATH}")]
)
async def test_a_server_that_repeats_the_url_does_not_make_it_public(
    harness: Harness, webhook: Webhook, said: bytes
) -> None:
    """Many servers repeat the path that they do not know."""
    webhook.answers = [said]
    with pytest.raises((WebhookError, Reject)) as failed:
        await harness.notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)


async def test_delivered_twice_is_posted_once(harness: Harness, webhook: Webhook) -> None:
    """The sent alert is kept."""
    event = changed()
    await harness.bus.publish(event)
    await harness.bus.publish(event)
    await harness.bus.join()
    assert len(webhook.posts) == 1
