"""Dead letters on the broker: looked at, sent back, discarded. See qt_events.dead_letters.DeadLetters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from amqp.basic_message import Message as RawMessage

from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import Scan
from qt_events.delivery.outcome import DeadLetterReason
from qt_events.errors import UnknownSubscriptionError
from qt_events.events.cloudevents import Message
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.rabbitmq.dead_letters.reader import Reader, Taken, reading
from qt_events.rabbitmq.messages.envelope import KEY, REASON, TYPE, body_of, record_from
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.trust import Provenance

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter in our hands; given back unless it is removed."""

    taken: Taken
    record: DeadLetterRecord
    key: str  #: that brings it back, as it says itself

    @classmethod
    def of(cls, taken: Taken) -> "Letter":
        """What a message tells."""
        key = (taken.raw.headers or {}).get(KEY)
        return cls(
            taken, _record(taken), key if isinstance(key, str) and key else taken.subscription
        )


class RabbitMQDeadLetters(DeadLetterOperations[Letter]):
    """Reads the queues `<prefix>.dead.<subscription>`, each call on a connection of its own, in a thread.

    Looking takes the messages and gives them back: the queues' delivery limit is high enough for that. Whether a queue
    puts what is given back before or behind the rest is its own business, so each look takes all, and the order stays.
    An id is looked for in this bus's subscriptions, in those whose dead letters were looked at by name before, and in
    those that were made known.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[
            str, None
        ] = {}  # subscriptions of other processes: AMQP cannot list queues

    def make_known(self, subscriptions: Iterable[str]) -> None:
        """Look through these too from now on; those without dead letters are no error."""
        self._known.update(dict.fromkeys(subscriptions))

    @property
    def known(self) -> Sequence[str]:
        """The subscriptions that are looked through unless one is named."""
        return list(
            {**dict.fromkeys(each.name for each in self._runtime.subscriptions), **self._known}
        )

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[Letter]]:
        """See DeadLetterBox."""
        with ThreadPoolExecutor(1, "qt_events-dead-letters") as thread:
            ask = partial(_ask, thread)
            pass_ = reading(for_errands(self._runtime.app), self._runtime.topology)
            reader = await ask(pass_.__enter__)
            try:
                names = self.known if subscription is None else [subscription]
                await ask(partial(reader.begin, names, must_exist=subscription is not None))
                self.make_known(names)
                yield _BrokerScan(self._runtime, reader, ask)
            finally:
                # Errors are the caller's or have their names already. Cancelled here, the thread is waited for.
                await asyncio.shield(ask(partial(pass_.__exit__, None, None, None)))


async def _ask(thread: ThreadPoolExecutor, question: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, question)


class _BrokerScan(Scan[Letter]):
    """With a Reader, each of whose steps is taken in its thread."""

    def __init__(self, runtime: Runtime, reader: Reader, ask: Callable[..., Any]) -> None:
        self._runtime, self._reader, self._ask = runtime, reader, ask
        self._standing: dict[str, bool] = {}  # queues that were asked for
        self._asking = asyncio.Lock()
        self.total = reader.total

    async def batches(self, most: int) -> AsyncIterator[Sequence[Letter]]:
        while letters := await self._ask(partial(self._take, most)):
            yield letters

    def _take(self, most: int) -> list[Letter]:
        return [Letter.of(self._believed(taken)) for taken in self._reader.take(most)]

    def _believed(self, taken: Taken) -> Taken:
        """It with those of its headers that its way vouches for."""
        raw, provenance = (
            taken.raw,
            Provenance(self._runtime.topology, taken.subscription, taken.subscription),
        )
        believed = provenance.believed(raw.delivery_info, raw.headers or {})
        raw.properties["application_headers"] = (
            {REASON: DeadLetterReason.FORGED.value} if believed is None else believed
        )
        return taken

    async def check(self, held: Letter) -> None:
        queue = self._runtime.topology.queue(self._key(held))
        async with self._asking:
            if queue not in self._standing:
                self._standing[queue] = await self._ask(partial(self._reader.stands, queue))
        if not self._standing[queue]:
            message = (
                f"dead letters of {held.record.subscription!r} cannot be sent back: there is no queue {queue!r} (any "
                "more). Start a worker that subscribes to it, or discard them"
            )
            raise UnknownSubscriptionError(message)

    async def send_back(self, held: Letter) -> None:
        record = held.record
        message = Message(record.body, record.properties, {TYPE: record.event_type})
        served = self._runtime.subscriptions.get(record.subscription)
        with self._runtime.outstanding.expecting(
            record.event_id, (served,) if served is not None else ()
        ):
            await self._runtime.publisher.ask(
                PublishRequest(self._runtime.topology.redeliver, self._key(held), message)
            )

    def _key(self, held: Letter) -> str:
        """What brings it back. A broadcast's own process may be gone for good: then it is this one's."""
        name = held.record.subscription
        served = self._runtime.subscriptions.get(name)
        if served is not None:
            return self._runtime.declarations.key(served)
        if held.key != name:
            message = f"{name!r} is a broadcast: send its dead letters back from a process that subscribes to it"
            raise UnknownSubscriptionError(message)
        return name

    async def remove(self, held: Sequence[Letter]) -> None:
        if held:
            await self._ask(partial(self._reader.remove, [each.taken for each in held]))


def _record(taken: Taken) -> DeadLetterRecord:
    raw: RawMessage = taken.raw
    properties = {
        name: value for name, value in raw.properties.items() if name != "application_headers"
    }
    key = str(raw.delivery_info["routing_key"])
    return record_from(taken.subscription, body_of(raw), properties, raw.headers or {}, key)
