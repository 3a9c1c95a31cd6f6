"""Dead letters on the broker: looked at, sent back, discarded. See qt_events.dead_letters.DeadLetters."""

import asyncio
import heapq
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING

from amqp import Channel
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import ChannelError, NotFound

from qt_events.codec import Message
from qt_events.dead_letters import DeadLetterRecord
from qt_events.errors import UnknownDeadLetterError, UnknownSubscriptionError
from qt_events.rabbitmq.connections import LOST, for_errands, visiting
from qt_events.rabbitmq.envelope import KEY, TYPE, body_of, record_from
from qt_events.rabbitmq.orders import Publish

if TYPE_CHECKING:
    from qt_events.rabbitmq.bus import CeleryEventBus


_GIVEN_BACK = 5.0  # seconds for the queue to have again what was only looked at
_LOOK = 0.01  # seconds between two looks at that


@dataclass(slots=True)
class _Taken:
    """A dead letter in our hands; given back unless it is removed."""

    channel: Channel
    raw: RawMessage
    record: DeadLetterRecord
    removed: bool = False

    def remove(self) -> None:
        """It is no dead letter any more."""
        self.channel.basic_ack(self.raw.delivery_info["delivery_tag"])
        self.removed = True


class RabbitMQDeadLetters:
    """Reads the queues `<prefix>.dead.<subscription>`, each call on a connection of its own, in a thread.

    Looking takes the messages and gives them back: the queues' delivery limit is high enough for that. A quorum
    queue with such a limit puts what is given back behind the rest (3.10), so each look takes all, and the order stays.
    An id is looked for in this bus's subscriptions, and in those whose dead letters were listed by name before.
    """

    def __init__(self, bus: "CeleryEventBus") -> None:
        self._bus = bus
        self._looked_at: dict[str, None] = {}  # subscriptions of other processes: AMQP cannot list queues

    async def list(self, subscription: str | None = None, limit: int = 1000) -> "Sequence[DeadLetterRecord]":
        """See DeadLetters."""
        return await asyncio.to_thread(self._list, subscription, limit)

    async def show(self, id: str) -> DeadLetterRecord:
        """See DeadLetters."""
        return await asyncio.to_thread(self._with, id, lambda _: None)

    async def retry(self, id: str) -> None:
        """See DeadLetters. The copy is confirmed before the dead letter is removed."""
        await asyncio.to_thread(self._with, id, self._send_back)

    async def retry_all(self, subscription: str) -> int:
        """See DeadLetters."""
        return await asyncio.to_thread(self._retry_all, subscription)

    async def discard(self, id: str) -> None:
        """See DeadLetters."""
        await asyncio.to_thread(self._with, id, _Taken.remove)

    def _list(self, subscription: str | None, limit: int) -> "Sequence[DeadLetterRecord]":
        with closing(self._all(subscription)) as letters:
            records = (taken.record for taken in letters)
            return heapq.nsmallest(limit, records, key=lambda record: (record.last_failed, record.id))

    def _with(self, id: str, act: Callable[[_Taken], None]) -> DeadLetterRecord:
        found = None
        with closing(self._all(None)) as letters:
            for taken in letters:
                if taken.record.id == id and found is None:
                    found = taken.record
                    act(taken)
        if found is None:
            message = f"there is no dead letter {id!r}; list() shows those there are"
            raise UnknownDeadLetterError(message)
        return found

    def _retry_all(self, subscription: str) -> int:
        sent = 0
        with closing(self._all(subscription)) as letters:
            for taken in letters:
                self._send_back(taken)
                sent += 1
        return sent

    def _send_back(self, taken: _Taken) -> None:
        record = taken.record
        message = Message(record.body, record.properties, {TYPE: record.event_type})
        here = [record.subscription] if self._bus.subscriptions.get(record.subscription) else []  # else nobody waits
        with self._bus.outstanding.expecting(record.event_id, here):
            self._bus.publisher.ask_blocking(Publish(self._bus.topology.redeliver, self._key(taken), message))
        taken.remove()

    def _key(self, taken: _Taken) -> str:
        """What brings it back. A broadcast's own process may be gone for good: then it is this one's."""
        name = taken.record.subscription
        served = self._bus.subscriptions.get(name)
        if served is not None:
            return self._bus.declarations.key(served)
        key = str((taken.raw.headers or {}).get(KEY) or name)
        if key != name:
            message = f"{name!r} is a broadcast: send its dead letters back from a process that subscribes to it"
            raise UnknownSubscriptionError(message)
        return key

    def _all(self, subscription: str | None) -> Generator[_Taken, None, None]:
        """Those there are now; what is not removed is back in its queue at the end."""
        known = {**dict.fromkeys(each.name for each in self._bus.subscriptions), **self._looked_at}
        with visiting(for_errands(self._bus.app)) as connection:
            for name in known if subscription is None else [subscription]:
                with closing(self._of(connection.channel(), name, must_exist=subscription is not None)) as letters:
                    yield from letters
        if subscription is not None:
            self._looked_at[subscription] = None

    def _of(self, channel: Channel, name: str, *, must_exist: bool) -> Generator[_Taken, None, None]:
        channel.auto_decode = False
        kept = 0
        waiting = self._waiting(channel, name, must_exist=must_exist)
        try:
            for _ in range(waiting):
                raw = channel.basic_get(self._bus.topology.dead(name))
                if raw is None:
                    break  # somebody else takes them too
                taken = _Taken(channel, raw, _record(name, raw))
                yield taken
                kept += not taken.removed
        finally:
            with suppress(*LOST, ChannelError):  # then the broker gives back by itself
                self._give_back(channel, name, kept)

    def _give_back(self, channel: Channel, name: str, kept: int) -> None:
        """Return when they are in the queue again: the next look is to find them (quorum queues do it meanwhile)."""
        deadline = monotonic() + _GIVEN_BACK
        if kept:
            channel.basic_recover(requeue=True)
            while self._waiting(channel, name, must_exist=False) < kept and monotonic() < deadline:
                sleep(_LOOK)
        channel.close()

    def _waiting(self, channel: Channel, name: str, *, must_exist: bool) -> int:
        try:
            return self._bus.topology.depth(channel, self._bus.topology.dead(name))[0]
        except NotFound:
            if not must_exist:
                return 0
        message = f"there are no dead letters of {name!r}: no such subscription has been declared under this prefix"
        raise UnknownSubscriptionError(message)


def _record(subscription: str, raw: RawMessage) -> DeadLetterRecord:
    properties = {name: value for name, value in raw.properties.items() if name != "application_headers"}
    key = str(raw.delivery_info["routing_key"])
    return record_from(subscription, body_of(raw), properties, raw.headers or {}, key)
