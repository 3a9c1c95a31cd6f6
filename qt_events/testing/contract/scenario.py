"""Scenario: one rule of the contract, with its subscriptions and its check."""

import importlib
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from qt_events.bus import EventBus
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.scenario_run import ScenarioRun


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


class Scenario:
    """One rule; the docstring states it.

    Handlers are functions of the scenario's module, so that a worker process that imports it has
    the same ones. They tell what they did by `record`. Event types, subscription names and gates
    are the scenario's own, for several may be subscribed in one worker process.
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
