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
# At INFO httpx logs every URL, and this one is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

#: Seconds for the whole response.
TIMEOUT = 10.0
#: Seconds to wait after a 429 without a time.
BUSY_WAIT = 5.0
#: Letters: longer parts of the URL are not repeated in errors.
MAX_REPEATED_PART = 5
#: Letters: Discord refuses a longer `content`.
MOST_CONTENT = 2000
MAX_PORT = 65_535
#: Seconds that a server may ask for at most.
LONGEST_WAIT = 3600.0
#: Kind of the documents, one for each alert.
ALERTS = "discord_notifier.alerts"

#: Delays from half a second to a quarter of an hour: a webhook may be away for hours.
RETRY = RetryPolicy(max_attempts=20, initial=0.5, max_delay=900)


class WebhookError(Exception):
    """The webhook has not taken the message; another attempt may succeed."""


class InvalidWebhookError(UsageError):
    """DISCORD_WEBHOOK_URL is no URL of a webhook. The text does not show it: it is a secret."""


class DiscordNotifier:
    """Posts an alert to `webhook_url` when the health becomes CRITICAL; without a URL it logs it.

    Args:
        bus: the bus of the system.
        store: keeps the alerts that were sent.
        webhook_url: by default DISCORD_WEBHOOK_URL. It is a secret: no log and no error holds it.
        timeout: seconds for the whole response of the webhook.

    Raises:
        InvalidWebhookError: the URL is none.
    """

    publishes = ()

    def __init__(
        self,
        bus: EventBus,
        store: Store,
        webhook_url: str | None = None,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        given = webhook_url or os.environ.get("DISCORD_WEBHOOK_URL")
        self._url = checked_url(given) if given else None
        self._documents, self._timeout = store.documents, timeout
        bus.subscribe(
            HealthStatusChangedEvent,
            self.on_health_changed,
            name="discord_notifier.on_health_changed",
            retry=RETRY,
        )

    async def on_health_changed(self, event: HealthStatusChangedEvent) -> None:
        alert = event.payload
        if alert.new_status is not HealthStatus.CRITICAL or await self._documents.get(
            ALERTS, event.id
        ):
            # An event may be delivered twice.
            return
        if self._url is None:
            logger.warning("no DISCORD_WEBHOOK_URL is set: %s", alert_text(alert))
        else:
            await self._post(self._url, alert)
        await self._documents.put(
            ALERTS, event.id, {"text": alert_text(alert), "sent": self._url is not None}
        )

    async def _post(self, url: httpx.URL, alert: HealthStatusChanged) -> None:
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(timeout=self._timeout) as client,
            ):
                response = await client.post(url, json=message_of(alert))
        except (TimeoutError, httpx.TimeoutException):
            message = f"the webhook did not answer within {self._timeout:g} s"
            # httpx's own text may hold the URL.
            raise WebhookError(message) from None
        except httpx.HTTPError as error:
            message = f"the webhook cannot be reached ({type(error).__name__})"
            raise WebhookError(message) from None
        check_response(response)


def checked_url(url: str) -> httpx.URL:
    """Return the URL of a webhook, parsed.

    Raises:
        InvalidWebhookError: it is none. The text does not show it.
    """
    try:
        parsed = httpx.URL(url)
        sane = (
            parsed.scheme in {"http", "https"}
            and parsed.host
            and 0 <= (parsed.port or 0) <= MAX_PORT
        )
    except (httpx.InvalidURL, UnicodeError, ValueError):
        sane = False
    if not sane:
        raise InvalidWebhookError(
            "DISCORD_WEBHOOK_URL is no URL of a webhook: it looks like "
            "https://discord.com/api/webhooks/ID/TOKEN"
        ) from None
    return parsed


def message_of(alert: HealthStatusChanged) -> dict[str, object]:
    """Return what is posted. A reason with @everyone in it calls nobody."""
    return {"content": alert_text(alert), "allowed_mentions": {"parse": []}}


def alert_text(alert: HealthStatusChanged) -> str:
    """Return the message: one line, of as many characters as Discord takes."""
    component, reason = (_printable(each) for each in (alert.component, alert.reason))
    text = f"{alert.new_status}: {component}: {reason} (was {alert.old_status})"
    return text if len(text) <= MOST_CONTENT else f"{text[: MOST_CONTENT - 4]} ..."


def _printable(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text[:MOST_CONTENT]
    )


def check_response(response: httpx.Response) -> None:
    """Return if the webhook took the message (Discord answers 204, others 200).

    Raises:
        RetryLater: it asks for a later attempt (429).
        WebhookError: its server is in trouble; the retry policy applies.
        Reject: it will never take this message: the URL or the message is wrong.
    """
    status = response.status_code
    if response.is_success and not _is_html(response):
        return
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise RetryLater(retry_after(response), "the webhook takes no more for now (429)")
    reason = _masked(response.reason_phrase, response.request.url)
    text = f"the webhook answered {status} {reason}: {_excerpt(response)}"
    if response.is_server_error or status == httpx.codes.REQUEST_TIMEOUT or response.is_success:
        raise WebhookError(text)
    raise Reject(f"{text}; check DISCORD_WEBHOOK_URL")


def retry_after(response: httpx.Response) -> float:
    """Return the seconds that a 429 asks for.

    They stand in Discord's JSON as `retry_after`, else in the header Retry-After as seconds or
    a date.
    """
    asked = (_seconds(asked) for asked in (_in_body(response), response.headers.get("retry-after")))
    wait = next((seconds for seconds in asked if seconds is not None), BUSY_WAIT)
    return min(max(wait, 0.0), LONGEST_WAIT)


def _in_body(response: httpx.Response) -> object:
    try:
        body = response.json()
    except ValueError:
        return None
    return body.get("retry_after") if isinstance(body, dict) else None


def _seconds(asked: object) -> float | None:
    """Return a number of seconds, given as such or as a date; None for anything else."""
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


def _is_html(response: httpx.Response) -> bool:
    """Return True for a web page: the response of a proxy or a login, not of a webhook."""
    return "html" in response.headers.get("content-type", "")


def _excerpt(response: httpx.Response) -> str:
    if _is_html(response):
        return "a page of HTML, which no webhook sends"
    return repr(_masked(response.text, response.request.url)[:200])


def _masked(text: str, url: httpx.URL) -> str:
    """Return a server's text without the parts of the secret URL."""
    parts = {str(url), *url.path.split("/"), *url.raw_path.decode().split("/"), url.query.decode()}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***") if len(part) > MAX_REPEATED_PART else text
    return text
