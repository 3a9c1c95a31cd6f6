"""Discord Notifier: a message to a webhook when the system's health becomes CRITICAL."""

import asyncio
import logging
import math
import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from qt_events import (
    EventBus,
    HealthStatus,
    HealthStatusChanged,
    HealthStatusChangedEvent,
    Reject,
    RetryLater,
    RetryPolicy,
    UsageError,
)
from workers.store import Store

logger = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # at INFO it logs every URL, and this one is a secret

TIMEOUT = 10.0  # seconds, for the whole answer
BUSY_WAIT = 5.0  # seconds, where a 429 does not say how long
LONGEST_WORD = 5  # letters; longer parts of a URL are not repeated in errors
MAX_PORT = 65_535
LONGEST_WAIT = 3600.0  # seconds: whatever a server asks for
ALERTS = "discord_notifier.alerts"  # kind of the documents, one for each alert

#: A chat that is away for hours still gets its alert: 0.5 s, then twice as long each time, to a quarter of an hour.
RETRY = RetryPolicy(max_attempts=20, initial=0.5, max_delay=900)


class WebhookError(Exception):
    """The webhook did not take the message; worth another try."""


class InvalidWebhookError(UsageError):
    """DISCORD_WEBHOOK_URL is no address of a webhook. Its text does not show it: it is a secret."""


class DiscordNotifier:
    """Hears of health; posts what is CRITICAL to `webhook_url`, or logs it where there is none.

    Args:
        bus: what it subscribes to.
        store: where it notes what it sent.
        webhook_url: by default that of DISCORD_WEBHOOK_URL. It is a secret: it is in no log and in no error.
        timeout: seconds that the webhook may take, to the end of its answer.

    Raises:
        InvalidWebhookError: that is no URL.
    """

    def __init__(
        self, bus: EventBus, store: Store, webhook_url: str | None = None, *, timeout: float = TIMEOUT
    ) -> None:
        given = webhook_url or os.environ.get("DISCORD_WEBHOOK_URL")
        self._url = checked(given) if given else None
        self._documents, self._timeout = store.documents, timeout
        bus.subscribe(HealthStatusChangedEvent, self.on_health_changed, retry=RETRY)

    async def on_health_changed(self, event: HealthStatusChangedEvent) -> None:
        alert = event.payload
        if alert.new_status is not HealthStatus.CRITICAL or await self._documents.get(ALERTS, event.id):
            return  # nothing to tell, or told already: an event may be delivered twice
        if self._url is None:
            logger.warning("no DISCORD_WEBHOOK_URL is set: %s", text(alert))
        else:
            await self._post(self._url, alert)
        await self._documents.put(ALERTS, event.id, {"text": text(alert), "sent": self._url is not None})

    async def _post(self, url: httpx.URL, alert: HealthStatusChanged) -> None:
        try:
            async with asyncio.timeout(self._timeout), httpx.AsyncClient(timeout=self._timeout) as client:
                answer = await client.post(url, json={"content": text(alert)})
        except (TimeoutError, httpx.TimeoutException):
            message = f"the webhook did not answer within {self._timeout:g} s"
            raise WebhookError(message) from None  # httpx's own text may hold the URL
        except httpx.HTTPError as error:
            message = f"the webhook cannot be reached ({type(error).__name__})"
            raise WebhookError(message) from None
        judge(answer)


def checked(url: str) -> httpx.URL:
    """The URL of a webhook. InvalidWebhookError, which does not show it, for anything else."""
    try:
        parsed = httpx.URL(url)
        sane = parsed.scheme in {"http", "https"} and parsed.host and 0 <= (parsed.port or 0) <= MAX_PORT
    except (httpx.InvalidURL, UnicodeError, ValueError):
        sane = False
    if not sane:
        message = "DISCORD_WEBHOOK_URL is no URL of a webhook: it looks like https://discord.com/api/webhooks/ID/TOKEN"
        raise InvalidWebhookError(message) from None
    return parsed


def text(alert: HealthStatusChanged) -> str:
    """The message."""
    return f"{alert.new_status}: {alert.component}: {alert.reason} (was {alert.old_status})"


def judge(answer: httpx.Response) -> None:
    """Nothing, if the webhook took the message (Discord says 204, others 200).

    Raises:
        RetryLater: it asks for patience (429), and how much.
        WebhookError: its server is in trouble: again, by the retry policy.
        Reject: it will never take this: the URL or the message is wrong.
    """
    status = answer.status_code
    if answer.is_success and not _is_page(answer):
        return
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise RetryLater(wait_of(answer), "the webhook takes no more for now (429)")
    reason = _masked(answer.reason_phrase, answer.request.url)
    said = f"the webhook answered {status} {reason}: {_excerpt(answer)}"
    if answer.is_server_error or status == httpx.codes.REQUEST_TIMEOUT or answer.is_success:
        raise WebhookError(said)
    raise Reject(f"{said}; check DISCORD_WEBHOOK_URL")


def wait_of(answer: httpx.Response) -> float:
    """Seconds that a 429 asks for: `retry_after` in Discord's JSON, else the header Retry-After, seconds or a date."""
    asked = (_seconds(asked) for asked in (_in_body(answer), answer.headers.get("retry-after")))
    wait = next((seconds for seconds in asked if seconds is not None), BUSY_WAIT)
    return min(max(wait, 0.0), LONGEST_WAIT)


def _in_body(answer: httpx.Response) -> object:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body.get("retry_after") if isinstance(body, dict) else None


def _seconds(asked: object) -> float | None:
    """A number of seconds, or a date to come; None for anything else."""
    try:
        seconds = float(asked)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _until(str(asked))
    return seconds if math.isfinite(seconds) else None


def _until(date: str) -> float | None:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _is_page(answer: httpx.Response) -> bool:
    """A page is the answer of a proxy or a login, not of a webhook."""
    return "html" in answer.headers.get("content-type", "")


def _excerpt(answer: httpx.Response) -> str:
    if _is_page(answer):
        return "a page of HTML, which no webhook sends"
    return repr(_masked(answer.text, answer.request.url)[:200])


def _masked(said: str, url: httpx.URL) -> str:
    """What a server says, without the parts of the URL that it may repeat: they are the secret."""
    parts = {str(url), *url.path.split("/"), *url.raw_path.decode().split("/"), url.query.decode()}
    for part in sorted(parts, key=len, reverse=True):
        said = said.replace(part, "***") if len(part) > LONGEST_WORD else said
    return said
