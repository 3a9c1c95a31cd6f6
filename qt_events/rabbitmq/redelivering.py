"""Redelivery: an event sent again through the exchange `redeliver`, to one subscription's queue."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from amqp import Channel
from amqp.exceptions import NotFound

from qt_events.delivery.redelivering import must_take_replays, no_hearer
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import DecodeError, UnknownSubscriptionError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent, as_event
from qt_events.events.replays import marked
from qt_events.rabbitmq.app.configuration import is_eager
from qt_events.rabbitmq.connection.connections import for_errands, visiting
from qt_events.rabbitmq.eager import Eager
from qt_events.rabbitmq.messages.envelope import REPLAY, TYPE
from qt_events.rabbitmq.messages.properties import raw_to_amqp, to_amqp
from qt_events.rabbitmq.publishing.requests import DeclareRequest, PublishRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.register_queue import RegisterError, RegisterQueue

logger = logging.getLogger("qt_events")


class Redelivery:
    """Sends events of a replay over the broker, or hands them out at once in eager mode."""

    def __init__(self, runtime: Runtime, eager: Eager) -> None:
        self._runtime, self._eager = runtime, eager
        # Names of those that were there: one that never was puts nothing into `lost`.
        self._known = set[str]()

    async def send(
        self,
        events: Sequence[Event[Any] | RawEvent],
        subscription: str,
        replay_id: str,
        *,
        wait_for_room: bool = True,  # noqa: ARG002
    ) -> list[DecodeError]:
        """See Redelivers. Returns when the broker has confirmed all of them."""
        runtime, served = self._runtime, self._served(subscription)
        if is_eager(runtime.app):
            served = runtime.subscriptions.served(subscription)
            return await self._run(events, served, replay_id)
        await runtime.declarations.made()
        if subscription not in self._known:
            await self._must_exist(subscription)
        requests = [self._request(each, subscription, replay_id) for each in events]
        here = () if served is None else (served,)
        try:
            for event in events:
                runtime.outstanding.published(event.id, here)
            await runtime.publisher.ask_all(requests)
            # What goes to no queue comes to `lost`, and is confirmed.
            await self._must_exist(subscription)
        except BaseException:
            for event in events:
                runtime.outstanding.forget(event.id)
            raise
        return []

    async def _run(
        self, events: Sequence[Event[Any] | RawEvent], served: Subscription, replay_id: str
    ) -> list[DecodeError]:
        errors = list[DecodeError]()
        for each in events:
            try:
                event = marked(as_event(each), replay_id)
            except DecodeError as error:
                errors.append(error)
            else:
                await self._eager.run(event, served)
        return errors

    def _request(
        self, event: Event[Any] | RawEvent, subscription: str, replay_id: str
    ) -> PublishRequest:
        content = raw_to_amqp(event) if isinstance(event, RawEvent) else to_amqp(event)
        content.headers = {TYPE: event.type, REPLAY: replay_id}
        return PublishRequest(self._runtime.topology.redeliver, subscription, content)

    async def patterns(self, subscription: str) -> frozenset[str]:
        """See Redelivers. Its own, and those that the register has of it."""
        runtime, served = self._runtime, self._served(subscription)
        if is_eager(runtime.app):
            return frozenset(runtime.subscriptions.served(subscription).patterns)
        await runtime.declarations.made()
        await self._must_exist(subscription)
        own = () if served is None else served.patterns
        return frozenset((*own, *await asyncio.to_thread(self._registered, subscription)))

    def _served(self, subscription: str) -> Subscription | None:
        served = self._runtime.subscriptions.get(subscription)
        if served is not None:
            must_take_replays(served)
        return served

    def _registered(self, subscription: str) -> list[str]:
        connect = partial(for_errands, self._runtime.app)
        register = RegisterQueue(self._runtime.topology, connect)
        try:
            with visiting(connect()) as connection:
                entries = register.change(connection, lambda found: found.entries)[1]
        except RegisterError as error:
            logger.warning("what %r hears is not known: %s", subscription, error)
            return []
        if subscription not in entries:
            return []
        # Whoever hears events has bound at least one pattern, or has unbound it.
        if not entries[subscription].patterns:
            raise no_hearer(subscription)
        return entries[subscription].bound

    async def _must_exist(self, subscription: str) -> None:
        queue, missing = self._runtime.topology.queue(subscription), list[str]()

        def look(channel: Channel) -> None:
            try:
                self._runtime.topology.depth(channel, queue)
            except NotFound:
                missing.append(queue)

        await self._runtime.publisher.ask(DeclareRequest(f"queue {queue!r}", look))
        if missing:
            self._known.discard(subscription)
            raise UnknownSubscriptionError(
                f"there is no subscription {subscription!r} to send events to: no queue {queue!r} "
                "exists. Start a worker that serves it; a broadcast has no such queue and gets no "
                "replay"
            )
        self._known.add(subscription)
