"""Forwarding: events that were kept as bytes, published without a look into them."""

import asyncio

from qt_events.events.raw import RawEvent
from qt_events.rabbitmq.app.configuration import is_eager
from qt_events.rabbitmq.messages.properties import raw_to_amqp
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.runtime import Runtime


class Forwarding:
    """See qt_events.delivery.forwarding."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def needs_event(self) -> bool:
        """True in eager mode, and if middleware looks at what is published."""
        middleware = self._runtime.middleware
        seen = bool(middleware.around_publish or middleware.published)
        return seen or is_eager(self._runtime.app)

    async def send(self, event: RawEvent) -> None:
        """Publish the event; return when the broker has confirmed it."""
        runtime = self._runtime
        subscriptions = runtime.subscriptions.match(event.type)
        if runtime.declarations.unserved:
            # A run_forever() task that was made just before starts now.
            await asyncio.sleep(0)
            subscriptions = runtime.declarations.heard(subscriptions)
        request = PublishRequest(
            runtime.topology.events,
            event.type,
            raw_to_amqp(event),
            first=runtime.declarations,
            must_route=False,
        )
        with runtime.outstanding.expecting(event.id, subscriptions):
            routed = await runtime.publisher.ask(request, wait_for_room=True)
        runtime.stats.count_published(event.type, routed=routed)
        if not routed:
            runtime.outstanding.forget(event.id)
