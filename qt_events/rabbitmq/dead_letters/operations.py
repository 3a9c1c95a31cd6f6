"""RabbitMQDeadLetters: list, send back and discard dead letters on the broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from amqp.basic_message import Message as RawMessage

from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterRecord, operators_fate
from qt_events.dead_letters.scan import HeldDeadLetter, Scan
from qt_events.delivery.outcome import DeadLetterReason
from qt_events.delivery.telling.fates import FateOutcome
from qt_events.errors import UnknownSubscriptionError
from qt_events.event_loop import running_loop
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.rabbitmq.dead_letters.reader import Reader, reading
from qt_events.rabbitmq.messages.envelope import KEY, REASON, body_of, record_from, returning
from qt_events.rabbitmq.messages.properties import Content, identity_in
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.trust import Provenance

T = TypeVar("T")

# The receipt is the message as it was consumed: its delivery tag removes it, and a header of ours
# holds the routing key that brings it back to its subscription.
_Held = HeldDeadLetter[RawMessage]


class RabbitMQDeadLetters(DeadLetterOperations[RawMessage]):
    """Dead letters in the queues `<prefix>.dead.<subscription>`.

    Each call has its own connection and thread. A scan consumes messages and gives them back: the
    queues' delivery limit is high enough for that. A queue may put them before or behind the
    others, so a scan consumes all, which keeps their order. Ids are looked for in the subscriptions
    of this bus, in those that were scanned by name before, and in those that were made known.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        # Subscriptions of other processes, for AMQP cannot list queues.
        self._known: dict[str, None] = {}

    def make_known(self, subscriptions: Iterable[str]) -> None:
        """Scan these too from now on. A subscription without dead letters is no error."""
        self._known.update(dict.fromkeys(subscriptions))

    @property
    def known(self) -> Sequence[str]:
        """Names of the subscriptions that are scanned unless one is named."""
        return list(
            {**dict.fromkeys(each.name for each in self._runtime.subscriptions), **self._known}
        )

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[RawMessage]]:
        running_loop()
        with ThreadPoolExecutor(1, "qt_events-dead-letters") as thread:
            ask = partial(_ask, thread)
            pass_ = reading(for_errands(self._runtime.app), self._runtime.topology)
            try:
                # If cancelled here, the thread goes on connecting, and closes what it has opened.
                reader = await asyncio.shield(ask(pass_.__enter__))
                names = self.known if subscription is None else [subscription]
                await ask(partial(reader.begin, names, must_exist=subscription is not None))
                self.make_known(names)
                yield _BrokerScan(self._runtime, reader, ask)
            finally:
                # Errors are the caller's or have their names already. If cancelled here, the thread
                # is waited for.
                await asyncio.shield(ask(partial(pass_.__exit__, None, None, None)))


async def _ask(thread: ThreadPoolExecutor, question: Callable[[], T]) -> T:
    return await running_loop().run_in_executor(thread, question)


class _BrokerScan(Scan[RawMessage]):
    """Drives a Reader in its thread."""

    def __init__(self, runtime: Runtime, reader: Reader, ask: Callable[..., Any]) -> None:
        self._runtime, self._reader, self._ask = runtime, reader, ask
        self._exists: dict[str, bool] = {}  # by queue
        self._asking = asyncio.Lock()
        self.total = reader.total

    async def batches(self, most: int) -> AsyncIterator[Sequence[_Held]]:
        while batch := await self._ask(partial(self._take, most)):
            yield batch

    def _take(self, most: int) -> list[_Held]:
        subscription, raws = self._reader.take(most)
        return [self._held(subscription, raw) for raw in raws]

    def _held(self, subscription: str, raw: RawMessage) -> _Held:
        """Read its record, with only those headers that its route makes believable."""
        provenance = Provenance(self._runtime.topology, subscription, subscription)
        believed = provenance.believed(raw.delivery_info, raw.headers or {})
        forged = {REASON: DeadLetterReason.FORGED.value}
        raw.properties["application_headers"] = forged if believed is None else believed
        return HeldDeadLetter(_record(subscription, raw), raw)

    async def check(self, held: _Held) -> None:
        queue = self._runtime.topology.queue(self._key(held))
        async with self._asking:
            if queue not in self._exists:
                self._exists[queue] = await self._ask(partial(self._reader.exists, queue))
        if not self._exists[queue]:
            raise UnknownSubscriptionError(
                f"dead letters of {held.record.subscription!r} cannot be sent back: there is no "
                f"queue {queue!r} (any more). Start a worker that subscribes to it, or discard them"
            )

    async def send_back(self, held: _Held) -> None:
        record = held.record
        content = Content(record.body, record.properties, returning(record))
        served = self._runtime.subscriptions.get(record.subscription)
        with self._runtime.outstanding.expecting(
            record.event_id, (served,) if served is not None else ()
        ):
            await self._runtime.publisher.ask(
                PublishRequest(self._runtime.topology.redeliver, self._key(held), content)
            )

    def _key(self, held: _Held) -> str:
        """Return the routing key that brings it back.

        The process that a broadcast's dead letter names may be gone for good: if this process
        serves the broadcast, the key is its own.
        """
        name = held.record.subscription
        served = self._runtime.subscriptions.get(name)
        if served is not None:
            return self._runtime.declarations.key(served)
        key = (held.receipt.headers or {}).get(KEY)
        if isinstance(key, str) and key not in {"", name}:
            raise UnknownSubscriptionError(
                f"{name!r} is a broadcast: send its dead letters back from a process that "
                "subscribes to it"
            )
        return name

    async def tell(self, held: Sequence[_Held], outcome: FateOutcome, at: datetime) -> None:
        fates = [operators_fate(each.record, outcome, at, _identity(each)) for each in held]
        await self._ask(partial(self._reader.tell, fates))

    async def remove(self, held: Sequence[_Held]) -> None:
        tags = [each.receipt.delivery_info["delivery_tag"] for each in held]
        if tags:
            await self._ask(partial(self._reader.remove, tags))


def _identity(held: _Held) -> tuple[str, str]:
    record = held.record
    return identity_in(record.body, record.properties, record.event_type)


def _record(subscription: str, raw: RawMessage) -> DeadLetterRecord:
    properties = {
        name: value for name, value in raw.properties.items() if name != "application_headers"
    }
    key = str(raw.delivery_info["routing_key"])
    return record_from(subscription, body_of(raw), properties, raw.headers or {}, key)
