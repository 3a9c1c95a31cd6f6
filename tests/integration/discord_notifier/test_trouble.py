"""Discord Notifier waits as long as a 429 asks, and tries again what may succeed later."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from qt_events import InMemoryEventBus
from tests.integration.discord_notifier.webhook import (
    HANG,
    HTML,
    PATH,
    SHORT,
    TAKEN,
    Harness,
    Webhook,
    changed,
    limited,
    response,
)
from tests.support.waiting import until
from workers.store import Store
from workers.system.listeners.discord_notifier import (
    BUSY_WAIT,
    LONGEST_WAIT,
    RETRY,
    DiscordNotifier,
    WebhookError,
)


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


async def test_a_webhook_that_drips_is_given_up_too(store: Store) -> None:
    """The timeout is for the whole response, even if bytes keep coming."""
    over, ended = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\nx-drip: ")
        # A byte now and then is what this server does
        while not over.is_set():
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


async def test_nobody_there_is_worth_another_try(harness: Harness, webhook: Webhook) -> None:
    """A connection refused is retried like any trouble of the server's."""
    await webhook.close()
    await harness.bus.publish(changed())
    assert 0.5 <= await harness.waits() <= 0.55
    with pytest.raises(WebhookError, match=r"cannot be reached \(ConnectError\)"):
        await harness.notifier.on_health_changed(changed())
