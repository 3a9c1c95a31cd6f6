"""Discord Notifier against a real HTTP server, which answers as each test says."""

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
from qt_events.dead_letters import DeadLetterRecord
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until
from workers.discord_notifier import (
    ALERTS,
    BUSY_WAIT,
    LONGEST_WAIT,
    RETRY,
    DiscordNotifier,
    InvalidWebhookError,
    WebhookError,
)
from workers.store import Store

SECRET = "T0k3nT0k3n"
PATH = f"/api/webhooks/42/{SECRET}"
SHORT = 0.5  # seconds that a webhook may take which will not answer
HANG = b""  # an answer that never comes
HTML = {"content-type": "text/html; charset=utf-8"}


def answer(status: int, body: str = "", **headers: str) -> bytes:
    """An HTTP answer; underscores in a header's name are hyphens."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", body]).encode()


def limited(body: Any = None, **headers: str) -> bytes:
    """The 429 of a server that is asked too often."""
    return answer(429, "" if body is None else json.dumps(body), **headers)


TAKEN = answer(204)


@dataclass(frozen=True)
class Post:
    """A request as it came in."""

    head: str  #: request line and headers
    body: Any  #: its JSON


class Webhook:
    """A server on a port of its own. It gives these answers in turn, and the last one for ever."""

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
        with closing(writer), suppress(asyncio.IncompleteReadError):  # a client may leave without a word
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
        self.posts.append(Post(head, json.loads(await reader.readexactly(int(length.split(":")[1])))))
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said == HANG:
            await self._over.wait()
        writer.write(said)


class Desk:
    """A notifier on a bus whose time stands still until a test lets it pass."""

    def __init__(self, store: Store, url: str | None) -> None:
        self.store, self.clock = store, ManualClock()
        self.bus = InMemoryEventBus(clock=self.clock, grace=0.1)  # what still waits at the end of a test is left alone
        self.notifier = DiscordNotifier(self.bus, store, url)

    async def waits(self) -> float:
        """Seconds until the next attempt, once the one before has failed."""
        await until(lambda: self.clock.due)
        (due,) = self.clock.due
        return due - self.clock.time()

    async def wait_and_retry(self) -> None:
        """Let just so much time pass."""
        await self.clock.advance(await self.waits())

    async def letter(self) -> DeadLetterRecord:
        """The only dead letter."""
        (letter,) = await self.bus.dead_letters.list()
        return letter

    async def sent(self) -> list[bool]:
        """Of each alert that is noted, whether it was posted."""
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
async def desk(store: Store, webhook: Webhook) -> AsyncIterator[Desk]:
    desk = Desk(store, webhook.url)
    async with desk.bus:
        yield desk


def changed(status: HealthStatus = HealthStatus.CRITICAL) -> HealthStatusChangedEvent:
    return HealthStatusChangedEvent.create(
        old_status=HealthStatus.DEGRADED,
        new_status=status,
        component="DrawdownGuard",
        reason="drawdown -12.4% in 63 days",
    )


def words_of(error: BaseException) -> str:
    """All that a log or a dead letter may show of it."""
    return "".join(traceback.format_exception(error)) + repr(error)


# What is posted


async def test_posts_what_became_critical(desk: Desk, webhook: Webhook) -> None:
    """One message in JSON, as Discord takes it, to the webhook's own path; and notes it."""
    await desk.bus.publish(changed())
    await desk.bus.join()
    (post,) = webhook.posts
    assert post.head.startswith(f"POST {PATH} HTTP/1.1\r\n")
    assert "content-type: application/json" in post.head.lower()
    assert post.body == {"content": "CRITICAL: DrawdownGuard: drawdown -12.4% in 63 days (was DEGRADED)"}
    assert await desk.sent() == [True]


@pytest.mark.parametrize("status", [HealthStatus.DEGRADED, HealthStatus.HEALTHY])
async def test_posts_nothing_else(desk: Desk, webhook: Webhook, status: HealthStatus) -> None:
    """A message for each change would be read by nobody."""
    await desk.bus.publish(changed(status))
    await desk.bus.join()
    assert (webhook.posts, await desk.sent()) == ([], [])


@pytest.mark.parametrize("taken", [TAKEN, answer(200, '{"id": "1"}', content_type="application/json")])
async def test_takes_an_empty_answer_and_one_in_json(desk: Desk, webhook: Webhook, taken: bytes) -> None:
    """Discord says 204; with `?wait=true` it answers 200 and the message."""
    webhook.answers = [taken]
    await desk.bus.publish(changed())
    await desk.bus.join()
    assert (len(webhook.posts), await desk.sent(), await desk.bus.dead_letters.list()) == (1, [True], [])


async def test_without_a_url_the_alert_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """And noted as not sent; nothing fails, and nothing is posted."""
    desk = Desk(store, None)
    async with desk.bus:
        await desk.bus.publish(changed())
        await desk.bus.join()
    assert "no DISCORD_WEBHOOK_URL is set: CRITICAL: DrawdownGuard" in caplog.text
    assert (await desk.sent(), await desk.bus.dead_letters.list()) == ([False], [])


async def test_the_url_is_the_environments(store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fleet is configured."""
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", webhook.url)
    await Desk(store, None).notifier.on_health_changed(changed())
    assert len(webhook.posts) == 1


# When it is asked for patience


def in_so_many_seconds(seconds: float) -> str:
    """As an HTTP date, which is in whole seconds."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("said", "delay"),
    [
        (limited({"message": "You are being rate limited.", "retry_after": 2.5, "global": False}), 2.5),
        (limited({"retry_after": 2.5}, retry_after="9"), 2.5),
        (limited(retry_after="7"), 7.0),
        (limited({"message": "later"}, retry_after="7"), 7.0),
        (limited([], retry_after="7"), 7.0),
        (answer(429, "<html>slow down</html>", retry_after="7", content_type="text/html"), 7.0),
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
async def test_waits_as_long_as_a_429_asks(desk: Desk, webhook: Webhook, said: bytes, delay: float) -> None:
    """Exactly so long, with no jitter; then it posts again."""
    webhook.answers = [said, TAKEN]
    await desk.bus.publish(changed())
    assert await desk.waits() == delay
    await desk.wait_and_retry()
    await desk.bus.join()
    assert (len(webhook.posts), await desk.sent()) == (2, [True])


async def test_waits_until_the_date_of_a_429(desk: Desk, webhook: Webhook) -> None:
    """The other form of Retry-After (RFC 9110, 10.2.3)."""
    webhook.answers = [limited(retry_after=in_so_many_seconds(1000)), TAKEN]
    await desk.bus.publish(changed())
    assert 900 < await desk.waits() <= 1000


async def test_posts_no_sooner_than_it_was_asked(desk: Desk, webhook: Webhook) -> None:
    """A moment before, nothing has happened; at the time, it has."""
    webhook.answers = [limited({"retry_after": 60.5}), TAKEN]
    await desk.bus.publish(changed())
    assert await desk.waits() == 60.5
    await desk.clock.advance(60.4)
    assert (len(webhook.posts), len(desk.clock.due)) == (1, 1)
    await desk.clock.advance(0.1)
    await desk.bus.join()
    assert len(webhook.posts) == 2


# When it fails


async def test_a_server_in_trouble_is_asked_again(desk: Desk, webhook: Webhook) -> None:
    """After the policy's delays, and the alert is noted once it is taken."""
    webhook.answers = [answer(500, "oops"), answer(503), answer(408), TAKEN]
    await desk.bus.publish(changed())
    for backoff in (0.5, 1.0, 2.0):
        assert backoff <= await desk.waits() <= backoff * (1 + RETRY.jitter)
        assert await desk.sent() == []
        await desk.wait_and_retry()
    await desk.bus.join()
    assert (len(webhook.posts), await desk.sent()) == (4, [True])


async def test_trouble_without_end_is_a_dead_letter(desk: Desk, webhook: Webhook) -> None:
    """After hours; it names the status, and what the server said."""
    webhook.answers = [answer(500, "database on fire")]
    await desk.bus.publish(changed())
    for _ in range(RETRY.max_attempts - 1):
        await desk.wait_and_retry()
        await until(lambda: desk.clock.due or not desk.bus.get_stats()["queue_size"])
    letter = await desk.letter()
    assert (letter.reason, letter.attempts) == ("exhausted", RETRY.max_attempts)
    assert letter.message == "the webhook answered 500 Internal Server Error: 'database on fire'"
    assert desk.clock.time() > 2 * 3600


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(403, "<html>login</html>", **HTML), "403 Forbidden: a page of HTML, which no webhook sends"),
        (answer(404, '{"message": "Unknown Webhook", "code": 10015}'), '404 Not Found: \'{"message": "Unknown'),
        (answer(401), "401 Unauthorized"),
        (answer(302, location="http://127.0.0.1:1/elsewhere"), "302 Found"),
    ],
    ids=["HTML", "unknown", "unauthorized", "moved"],
)
async def test_what_will_never_be_taken_is_a_dead_letter_at_once(
    desk: Desk, webhook: Webhook, said: bytes, words: str
) -> None:
    """A wrong URL does not become right; the operator is told what to look at."""
    webhook.answers = [said]
    await desk.bus.publish(changed())
    await desk.bus.join()
    letter = await desk.letter()
    assert (letter.reason, letter.attempts, len(webhook.posts)) == ("rejected", 1, 1)
    assert f"the webhook answered {words}" in letter.message
    assert letter.message.endswith("; check DISCORD_WEBHOOK_URL")
    assert await desk.sent() == []


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (answer(200, "<html>maintenance</html>", **HTML), r"answered 200 OK: a page of HTML"),
        (answer(502, "<html>bad gateway</html>", **HTML), r"answered 502 Bad Gateway: a page of HTML"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"cannot be reached \(RemoteProtocolError\)"),
        (answer(204)[:20], r"cannot be reached \(RemoteProtocolError\)"),
    ],
    ids=["a page for a success", "a proxy's page", "no HTTP", "half an answer"],
)
async def test_what_no_webhook_answers_is_worth_another_try(
    desk: Desk, webhook: Webhook, said: bytes, complaint: str
) -> None:
    """Something stands between, perhaps not for long."""
    webhook.answers = [said]
    with pytest.raises(WebhookError, match=complaint):
        await desk.notifier.on_health_changed(changed())
    assert await desk.sent() == []


async def test_a_webhook_that_hangs_is_given_up_and_asked_again(store: Store, webhook: Webhook) -> None:
    """Within its timeout, so that it holds nobody up; the next attempt goes through."""
    desk = Desk(store, None)
    notifier = DiscordNotifier(InMemoryEventBus(), store, webhook.url, timeout=SHORT)
    webhook.answers = [HANG, TAKEN]
    with pytest.raises(WebhookError, match=r"did not answer within 0\.5 s"):
        async with asyncio.timeout(40):
            await notifier.on_health_changed(changed())
    await notifier.on_health_changed(changed())
    assert (len(webhook.posts), await desk.sent()) == (2, [True])


async def test_nobody_there_is_worth_another_try(desk: Desk, webhook: Webhook) -> None:
    """A connection refused is retried like any trouble of the server's."""
    await webhook.close()
    await desk.bus.publish(changed())
    assert 0.5 <= await desk.waits() <= 0.55
    with pytest.raises(WebhookError, match=r"cannot be reached \(ConnectError\)"):
        await desk.notifier.on_health_changed(changed())


# The URL is a secret


@pytest.mark.parametrize(
    "url",
    [
        "nonsense/{}", "ftp://127.0.0.1/{}", "http:///{}", "http://[::1/{}", "http://127.0.0.1:port/{}", "http://\x00/{}",
        "http://xn--/{}", "http://127.0.0.1:99999/{}", "https://user:p@[::1/{}", "mailto:{}", "http://é\ud800/{}",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_at_once_without_saying_it(store: Store, url: str) -> None:
    """Before the worker serves anything; it is a secret all the same."""
    with pytest.raises(InvalidWebhookError, match="DISCORD_WEBHOOK_URL") as refused:
        DiscordNotifier(InMemoryEventBus(), store, url.format(SECRET))
    assert SECRET not in words_of(refused.value)


@pytest.mark.parametrize(
    "said", [answer(500), answer(404), answer(200, "<html>", **HTML), b"nonsense\r\n"], ids=["500", "404", "page", "-"]
)
async def test_no_error_tells_the_url(desk: Desk, webhook: Webhook, said: bytes) -> None:
    """Neither its text nor its traceback."""
    webhook.answers = [said]
    with pytest.raises((WebhookError, Reject)) as failed:
        await desk.notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)


async def test_a_timeout_does_not_tell_the_url(store: Store, webhook: Webhook) -> None:
    """httpx's own error would."""
    webhook.answers = [HANG]
    notifier = DiscordNotifier(InMemoryEventBus(), store, webhook.url, timeout=0.05)
    with pytest.raises(WebhookError) as failed:
        await notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)
    assert "During handling" not in words_of(failed.value)


@pytest.mark.parametrize("said", [TAKEN, answer(500), answer(404), limited()], ids=["204", "500", "404", "429"])
async def test_no_dead_letter_tells_the_url(desk: Desk, webhook: Webhook, said: bytes) -> None:
    """Nothing that an operator may see of it, or copy into a ticket."""
    webhook.answers = [said]
    await desk.bus.publish(changed())
    await until(lambda: desk.clock.due or not desk.bus.get_stats()["queue_size"])
    while desk.clock.due:
        await desk.wait_and_retry()
        await until(lambda: desk.clock.due or not desk.bus.get_stats()["queue_size"])
    assert SECRET not in repr(await desk.bus.dead_letters.list())
    assert SECRET not in repr(await desk.store.documents.all(ALERTS))


@pytest.mark.parametrize("said", [TAKEN, answer(500), answer(404), limited()], ids=["204", "500", "404", "429"])
async def test_no_log_record_tells_the_url(
    desk: Desk, webhook: Webhook, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """At any level, of any library."""
    caplog.set_level("DEBUG")
    webhook.answers = [said, TAKEN]
    await desk.bus.publish(changed())
    await until(lambda: desk.clock.due or not desk.bus.get_stats()["queue_size"])
    assert SECRET not in caplog.text


async def test_a_webhook_that_drips_is_given_up_too(store: Store) -> None:
    """The timeout is for the whole answer: a byte now and then is no reason to wait for ever."""
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
    """As compose passes one that is not set: `DISCORD_WEBHOOK_URL: ${DISCORD_WEBHOOK_URL:-}`."""
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", "")
    desk = Desk(store, None)
    await desk.notifier.on_health_changed(changed())
    assert await desk.sent() == [False]


@pytest.mark.parametrize("said", [limited({"retry_after": float("nan")}), limited(retry_after="nan")])
async def test_a_429_that_says_nonsense_waits_as_if_it_said_nothing(desk: Desk, webhook: Webhook, said: bytes) -> None:
    """NaN is a number to Python's JSON."""
    webhook.answers = [said, TAKEN]
    await desk.bus.publish(changed())
    assert await desk.waits() == BUSY_WAIT


async def test_a_null_in_json_leaves_it_to_the_header(desk: Desk, webhook: Webhook) -> None:
    """Which may say something."""
    webhook.answers = [limited({"retry_after": None}, retry_after="7"), TAKEN]
    await desk.bus.publish(changed())
    assert await desk.waits() == 7


@pytest.mark.parametrize("said", [answer(404, f"Cannot POST {PATH}"), answer(500, f"no route {PATH}")])
async def test_a_server_that_repeats_the_url_does_not_make_it_public(desk: Desk, webhook: Webhook, said: bytes) -> None:
    """Many say which path they do not know."""
    webhook.answers = [said]
    with pytest.raises((WebhookError, Reject)) as failed:
        await desk.notifier.on_health_changed(changed())
    assert SECRET not in words_of(failed.value)


async def test_delivered_twice_is_posted_once(desk: Desk, webhook: Webhook) -> None:
    """What was sent is noted."""
    event = changed()
    await desk.bus.publish(event)
    await desk.bus.publish(event)
    await desk.bus.join()
    assert len(webhook.posts) == 1
