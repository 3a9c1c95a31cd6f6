"""Discord Notifier posts what became critical, once."""

import pytest

from qt_events import HealthStatus, HealthStatusChangedEvent
from tests.integration.discord_notifier.webhook import (
    PATH,
    TAKEN,
    Harness,
    Webhook,
    changed,
    response,
)
from workers.store import Store


async def test_posts_what_became_critical(harness: Harness, webhook: Webhook) -> None:
    """The message is one JSON document as Discord takes it, and the alert is kept."""
    await harness.bus.publish(changed())
    await harness.bus.join()
    (post,) = webhook.posts
    assert post.head.startswith(f"POST {PATH} HTTP/1.1\r\n")
    assert "content-type: application/json" in post.head.lower()
    assert post.body == {
        "content": "CRITICAL: DrawdownGuard: drawdown -12.4% in 63 days (was DEGRADED)",
        "allowed_mentions": {"parse": []},
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


async def test_an_empty_variable_is_no_url(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes an unset variable as an empty one."""
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", "")
    harness = Harness(store, None)
    await harness.notifier.on_health_changed(changed())
    assert await harness.sent() == [False]


async def test_delivered_twice_is_posted_once(harness: Harness, webhook: Webhook) -> None:
    """The sent alert is kept."""
    event = changed()
    await harness.bus.publish(event)
    await harness.bus.publish(event)
    await harness.bus.join()
    assert len(webhook.posts) == 1


async def test_a_reason_of_any_length_is_one_line_that_discord_takes(
    harness: Harness, webhook: Webhook
) -> None:
    """Discord refuses a content of more than 2,000 characters for good."""
    event = HealthStatusChangedEvent.create(
        old_status=HealthStatus.HEALTHY,
        new_status=HealthStatus.CRITICAL,
        component="Prices",
        reason="no\x1b[2J\nquotes " * 1_000,
    )
    await harness.bus.publish(event)
    await harness.bus.join()
    (post,) = webhook.posts
    assert len(post.body["content"]) == 2000
    assert post.body["content"].isprintable()
