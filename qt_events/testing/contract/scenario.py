"""Scenario: one rule of the contract, with its subscriptions and its check."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Flag, auto
from typing import Any, ClassVar, TypeVar

from qt_events.bus import EventBus
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.events.event import Event
from qt_events.testing.contract.member import Member
from qt_events.testing.contract.recorder import Call, Recorder

T = TypeVar("T")

PATIENCE = 20.0  # seconds that a check waits
_POLL = 0.005  # seconds


class Feature(Flag):
    """An ability that a backend may lack. A scenario that needs it is not collected there."""

    #: Handlers run after publish has returned, and wait for their retries without holding it up.
    BACKGROUND = auto()
    #: A slow handler holds up no other subscription's.
    SIDE_BY_SIDE = auto()
    #: With concurrency 1, a subscription's events are handled one by one, in publish order.
    ORDER = auto()
    #: A subscription's `concurrency` is the number of its events that are handled at a time.
    CONCURRENCY = auto()
    #: A broadcast subscription gets each event in every process.
    BROADCAST = auto()
    #: The bus that publishes delivers too: it counts deliveries, joins, subscribes and unsubscribes
    #: while it runs.
    LOCAL = auto()
    #: `run_forever()`, `stop()` and `async with` of that bus do the delivering.
    HOSTED = auto()
    #: Members may stop and begin again; events published meanwhile wait.
    RESTART = auto()
    #: Events that wait for slow handlers count against `max_queue_size` of the bus that published
    #: them.
    BACKPRESSURE = auto()
    #: Several members may serve the same subscriptions.
    FLEET = auto()
    #: What becomes of events is told to those who listen; see TellsFates.
    FATES = auto()
    #: An event can be sent again, to one subscription; see Redelivers.
    REPLAY = auto()
    #: Handlers may take many events at a time.
    BATCHES = auto()
    #: A new subscription may begin with events of the past; see RemembersEvents.
    START = auto()
    #: Subscriptions may have an inbox, and the bus forwards; the extra `outbox` is installed.
    INBOX = auto()


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the bus; see InMemoryEventBus for the units."""

    max_queue_size: int = 10_000
    max_workers: int = 4
    publish_timeout: float = 30.0
    grace: float = 30.0
    slow_after: float = 0.1

    def arguments(self) -> dict[str, Any]:
        """Return keyword arguments for the bus."""
        return asdict(self)


class ScenarioRun:
    """The bus that a check publishes through, and the records of the handlers."""

    def __init__(
        self, bus: EventBus, members: list[Member], recorder: Recorder, features: Feature
    ) -> None:
        self.bus = bus
        self.recorder = recorder
        self._features = features
        self._members = members

    async def start(self) -> None:
        """Let every member deliver. Done before the check, unless that has stopped them."""
        await asyncio.gather(*(member.start() for member in self._members))

    async def stop(self) -> None:
        """Let every member finish what it holds and stop."""
        await asyncio.gather(*(member.stop() for member in self._members))

    async def give_back(self) -> None:
        """Let every member stop at once and give back what its handlers have."""
        await asyncio.gather(*(member.give_back() for member in self._members))

    async def publish(self, event_type: str, **payload: Any) -> Event[Any]:
        """Publish an event of this type and return it."""
        event: Event[Any] = Event(event_type, None, payload)
        await self.bus.publish(event)
        return event

    async def publish_numbered(self, event_type: str, count: int) -> list[Event[Any]]:
        """Publish `count` events with their number, from 0, as payload `n`, and return them."""
        return [await self.publish(event_type, n=n) for n in range(count)]

    def open(self, gate: str) -> None:
        """Let handlers pass that wait at this gate."""
        self.recorder.write(Call("gate", gate))

    def calls(self, name: str, event: Event[Any] | None = None) -> list[Call]:
        """Return the calls so far of the handler that records as `name`."""
        return self.recorder.read("call", name, None if event is None else event.id)

    async def called(
        self, name: str, times: int = 1, event: Event[Any] | None = None
    ) -> list[Call]:
        """Return the calls once there are at least so many."""
        await self.until(lambda: len(self.calls(name, event)) >= times, f"{times} calls of {name}")
        return self.calls(name, event)

    async def heard(self, name: str, events: Sequence[Event[Any]]) -> None:
        """Wait for so many calls, and claim that they are of these events, in turn."""
        calls = await self.called(name, len(events))
        found = self.in_turn(call.event_id for call in calls)
        assert found == self.in_turn(event.id for event in events), name

    def in_turn(self, values: Iterable[T]) -> list[T]:
        """Return values of one subscription, sorted where the backend promises no order."""
        return list(values) if Feature.ORDER in self._features else sorted(values)  # type: ignore[type-var]

    async def reported(self, *words: str) -> None:
        """Return once a member has logged a warning with all these words."""

        def found() -> bool:
            texts = [call.details["text"] for call in self.recorder.read("log")]
            return any(all(word in text for word in words) for text in texts)

        await self.until(found, f"a warning with {words}")

    async def dead(self, subscription: str, count: int = 1) -> list[DeadLetterRecord]:
        """Return the subscription's dead letters, once there are at least so many."""
        letters: list[DeadLetterRecord] = []

        async def found() -> bool:
            letters[:] = await self.bus.dead_letters.list(subscription)
            return len(letters) >= count

        await self.until(found, f"{count} dead letters of {subscription}")
        return letters

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Return when the condition holds.

        Raises:
            AssertionError: it does not hold within 20 seconds; the text tells what happened so far.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            for member in self._members:
                member.must_be_well()
            assert time.monotonic() < deadline, (
                f"no {what} within {PATIENCE:g} s; so far:\n{self._story()}"
            )
            await asyncio.sleep(_POLL)

    def _story(self) -> str:
        kinds = ("ready", "call", "gate", "log")
        calls = sorted(
            (call for kind in kinds for call in self.recorder.read(kind)), key=lambda call: call.at
        )
        return "\n".join(
            f"  {c.kind} {c.name} {c.event_type} {c.payload} {c.details}" for c in calls
        )


class Scenario:
    """One rule; the docstring states it.

    `subscribe` is called in each worker process, so it makes handlers by `hear` and `fail`, or
    takes functions of the scenario's module that `record` their calls. Event types, names of
    subscriptions and gates are the scenario's own: several may be subscribed in one process.
    """

    needs: ClassVar[Feature] = Feature(0)
    options: ClassVar[Options] = Options()
    members: ClassVar[int] = 1  #: members that serve the subscriptions at once
    alone: ClassVar[bool] = False  #: no other scenario's events or restarts may interfere

    @classmethod
    def path(cls) -> str:
        """Return `module:Class`, for `load`."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def needs_own_process(cls) -> bool:
        """Return True if a worker process that serves it may serve no other scenario."""
        return cls.alone or cls.members > 1 or cls.options != Options()

    def subscribe(self, bus: EventBus) -> None:
        """Make the subscriptions, in whichever process delivers."""

    async def check(self, run: ScenarioRun) -> None:
        """Publish, wait for the handlers' records, compare."""
        raise NotImplementedError


def load(path: str) -> type[Scenario]:
    """Return the scenario at `module:Class`."""
    module, _, name = path.partition(":")
    scenario = getattr(importlib.import_module(module), name)
    assert issubclass(scenario, Scenario), path
    return scenario  # type: ignore[no-any-return]


_served_by: list[EventBus] = []


def serve(scenario: Scenario, bus: EventBus) -> None:
    """Subscribe the scenario on this bus; from now on its handlers publish there."""
    _served_by[:] = [bus]
    scenario.subscribe(bus)


def this_bus() -> EventBus:
    """Return the bus that serves this process: handlers publish through it."""
    return _served_by[0]
