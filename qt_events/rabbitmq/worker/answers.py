"""Answers of the broker that the event loop does not wait for: handlers would stand still.

py-amqp waits for each. The broker carries out what a channel says in order, answered or not, and
closes the channel over what it refuses.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from amqp import Channel, spec

#: Beginning of the tags of consumers that last until the channel ends; see old_events.py.
OLD_TAG = "old-events-"
_POLL = 0.02  # seconds between two looks


def wait_for_none(channel: Channel) -> None:
    """Have a channel that the event loop owns send what it is told, and go on."""
    if isinstance(channel.basic_consume, partial):
        return
    send = channel.send_method
    for name in ("basic_consume", "exchange_declare", "queue_declare", "queue_bind"):
        setattr(channel, name, partial(_without_answer, getattr(channel, name)))
    channel.basic_cancel = lambda tag: send(spec.Basic.Cancel, "sb", (tag, False))
    channel.basic_qos = lambda *limits: send(spec.Basic.Qos, "lBb", limits)
    channel.cancel_callbacks = _Cancellations(channel.cancel_callbacks)
    # After the broker has closed it.
    channel.open = lambda: send(spec.Channel.Open, "s", ("",))


def _without_answer(tell: Any, *args: Any, **kwargs: Any) -> Any:
    return tell(*args, **{**kwargs, "nowait": True})


class _Cancellations(dict[str, Callable[[str], object]]):
    """Callbacks for a consumer that the broker cancels, by its tag.

    RabbitMQ 4.3 may do so again before it hears that a consumer was replaced. py-amqp would raise.
    """

    def __init__(self, callbacks: dict[str, Callable[[str], object]]) -> None:
        super().__init__(callbacks)
        self._gone: set[str] = set()

    def pop(self, tag: str, default: Any = None) -> Any:
        if tag in self:
            self._gone.add(tag)
        return super().pop(tag, (lambda _: None) if tag in self._gone else default)


async def all_cancelled(channel: Channel) -> None:
    """Return when no more messages come: the broker has answered that each consumer is gone."""
    while channel.connection is not None and any(map(_ends_now, channel.callbacks)):  # noqa: ASYNC110  # py-amqp tells nobody
        await asyncio.sleep(_POLL)


def _ends_now(tag: str) -> bool:
    return not str(tag).startswith(OLD_TAG)
