"""Scenario: one rule of the contract, with the subscriptions it needs and how to see that it holds."""

import importlib
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from qt_events.bus import EventBus
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.scenario_run import ScenarioRun


@dataclass(frozen=True, slots=True)
class Options:
    """What a bus is opened with; see InMemoryEventBus for the units."""

    max_queue_size: int = 10_000
    max_workers: int = 4
    publish_timeout: float = 30.0
    grace: float = 30.0
    slow_after: float = 0.1

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the bus."""
        return asdict(self)


class Scenario:
    """One rule; the docstring states it.

    Handlers are functions of the scenario's module, so that a worker process that imports it has the
    same ones; they say what they did with `record`. Event types, subscription names and gates are the
    scenario's own: several may be subscribed in one worker process.
    """

    needs: ClassVar[Feature] = Feature(0)
    options: ClassVar[Options] = Options()
    members: ClassVar[int] = 1  #: how many serve the subscriptions at once
    alone: ClassVar[bool] = False  #: no other scenario's events or restarts may interfere

    @classmethod
    def path(cls) -> str:
        """`module:Class`, for `load`."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def needs_own_process(cls) -> bool:
        """Whether a worker process that serves it may serve no other scenario."""
        return cls.alone or cls.members > 1 or cls.options != Options()

    def subscribe(self, bus: EventBus) -> None:
        """Make the subscriptions, in whichever process delivers."""

    async def check(self, run: ScenarioRun) -> None:
        """Publish, wait for what handlers recorded, compare."""
        raise NotImplementedError


def load(path: str) -> type[Scenario]:
    """The scenario at `module:Class`."""
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
    """The bus that serves the handler's process: handlers publish through it."""
    return _served_by[0]
