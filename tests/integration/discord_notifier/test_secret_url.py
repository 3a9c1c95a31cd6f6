"""Discord Notifier keeps the URL of its webhook, which is a secret, out of every text."""

import pytest

from qt_events import InMemoryEventBus, Reject
from tests.integration.discord_notifier.webhook import (
    HANG,
    HTML,
    PATH,
    SECRET,
    TAKEN,
    Harness,
    Webhook,
    changed,
    limited,
    response,
    words_of,
)
from tests.support.waiting import until
from workers.store import Store
from workers.system.listeners.discord_notifier import (
    ALERTS,
    DiscordNotifier,
    InvalidWebhookError,
    WebhookError,
)


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
