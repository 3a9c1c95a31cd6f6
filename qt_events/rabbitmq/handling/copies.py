"""Copies: what an outcome puts into a delay level, the dead letters or quarantine.

A copy counts only once a queue has taken it. What it needs is declared first, and again if it was
deleted meanwhile. If the broker refuses it, or does not answer, it is tried at growing intervals:
the outcome stands, and the handler is not called again for it.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

from qt_events.delivery.outcome import Consequences
from qt_events.errors import BrokerError
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.once import Once

logger = logging.getLogger("qt_events")

# Seconds between two tries: the second at once, with everything declared anew.
_PAUSES, _LONGEST = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 60.0
# Seconds for the broker's answer, which it keeps back during an alarm. Then it is stored once more,
# though the broker may have it.
_ANSWERED = 300.0

#: Tells that the broker delivers the event again anyway, so that no copy of it is needed.
IsVoid = Callable[[], bool]


def _never() -> bool:
    return False


async def delay(
    envelope: Envelope, follows: Consequences, runtime: Runtime, is_void: IsVoid = _never
) -> None:
    """Put a copy into a delay level, from where it comes back to this subscription alone."""
    seconds = follows.again_after or 0.0
    exchange, _ = runtime.topology.level(seconds)
    properties = {**envelope.carried(), "expiration": runtime.topology.expiration(seconds)}
    content = Content(envelope.body, properties, envelope.retry_headers(follows))
    level = runtime.declarations.ways.level(seconds)
    await _store(exchange, envelope.key, content, level, envelope, runtime, is_void)


async def bury(
    envelope: Envelope, headers: dict[str, Any], runtime: Runtime, is_void: IsVoid = _never
) -> None:
    """Put a copy with these headers among the subscription's dead letters."""
    content = Content(envelope.body, envelope.carried(), headers)
    exchange, name = runtime.topology.dead_letters, envelope.subscription
    needs = runtime.declarations.ways.dead_letters(name)
    await _store(exchange, name, content, needs, envelope, runtime, is_void)


async def isolate(
    envelope: Envelope, runtime: Runtime, trials: int, is_void: IsVoid = _never
) -> None:
    """Put a copy into quarantine that counts `trials` attempts made alone."""
    content = Content(envelope.body, envelope.carried(), envelope.quarantine_headers(trials))
    exchange, name = runtime.topology.quarantined, envelope.subscription
    needs = runtime.declarations.ways.quarantine(name)
    await _store(exchange, name, content, needs, envelope, runtime, is_void)


async def _store(  # noqa: PLR0917  # what to store, and where it comes from
    exchange: str,
    key: str,
    content: Content,
    needs: Once,
    envelope: Envelope,
    runtime: Runtime,
    is_void: IsVoid,
) -> None:
    """Publish until a queue has taken it.

    Raises:
        BrokerError: it could not be stored, and nobody needs the copy any more.
        BusStateError: the publisher is closed.
    """
    for pause in chain(_PAUSES, repeat(_LONGEST)):
        try:
            request = PublishRequest(exchange, key, content, first=needs)
            await runtime.publisher.ask(request, timeout=_ANSWERED)
            return
        except BrokerError as error:
            if is_void():
                raise
            if pause:
                message = "%s: the outcome of event %s cannot be stored (%s); again in %g s"
                about = (envelope.key, envelope.event_id, error, pause)
                logger.warning(message, *about, extra=envelope.log_fields())
        needs.forget()
        await asyncio.sleep(pause)
