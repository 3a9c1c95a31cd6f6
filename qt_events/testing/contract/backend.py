"""Backend: opens a bus under test and those who deliver its events; run(): a scenario on one."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from qt_events.bus import EventBus
from qt_events.memory import InMemoryEventBus
from qt_events.testing.contract.member import HostedMember, Member
from qt_events.testing.contract.recorder import EVERY_GATE, RECORDS, RecordedLog, Recorder
from qt_events.testing.contract.scenario import Feature, Options, Scenario, ScenarioRun, serve


class Backend(ABC):
    """A backend under test. It needs at least a name, the features that it lacks, and `bus`."""

    name: ClassVar[str]
    lacks: ClassVar[Mapping[Feature, str]] = {}  #: missing features, each with the reason
    features: ClassVar[Feature] = ~Feature(0)  #: all other features; set for each subclass

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.features = ~reduce(or_, cls.lacks, Feature(0))

    @abstractmethod
    def bus(self, options: Options) -> EventBus:
        """Return a bus to publish through, not running."""

    def open(self, scenario: type[Scenario]) -> EventBus:
        """Return the bus that the scenario's check publishes through."""
        return self.bus(scenario.options)

    async def close(self, bus: EventBus) -> None:  # noqa: B027  # most have nothing to let go of
        """Close what a bus has open; it is not running any more."""

    def shares(self, scenario: type[Scenario]) -> bool:  # noqa: ARG002
        """Return True if the members of this scenario serve others too, and go on after it."""
        return False

    async def members(self, scenario: Scenario, bus: EventBus) -> list[Member]:
        """Return those who deliver this scenario's events, not started.

        Here they are the bus that publishes, and others like it.
        """
        buses = [bus, *(self.open(type(scenario)) for _ in range(1, scenario.members))]
        for served in buses:
            serve(scenario, served)
        return [self.member(served) for served in buses]

    def member(self, bus: EventBus) -> Member:
        """Return a member that delivers a bus's events, not started yet."""
        return HostedMember(bus)

    def records(self, scenario: type[Scenario], folder: Path) -> Path:
        """Return the file in which this scenario's handlers record."""
        return folder / f"{scenario.__name__}.jsonl"


class MemoryBackend(Backend):
    """InMemoryEventBus."""

    name = "memory"
    lacks: ClassVar[Mapping[Feature, str]] = {Feature.FLEET: "it is one process"}

    def bus(self, options: Options) -> EventBus:
        return InMemoryEventBus(**options.arguments())


async def run(kind: type[Scenario], backend: Backend, folder: Path) -> None:
    """Run one scenario on one backend. `folder` is empty and used by nothing else.

    Raises:
        AssertionError: the backend breaks the rule.
    """
    scenario = kind()
    with _recording(backend.records(kind, folder)) as recorder:
        bus = backend.open(kind)
        try:
            members = await backend.members(scenario, bus)
            running = ScenarioRun(bus, members, recorder, backend.features)
            try:
                await running.start()
                await scenario.check(running)
            finally:
                if not backend.shares(kind):
                    # After a failed check handlers may still wait.
                    running.open(EVERY_GATE)
                await running.stop()
        finally:
            await backend.close(bus)


@contextmanager
def _recording(path: Path) -> Iterator[Recorder]:
    logger, log = logging.getLogger("qt_events"), RecordedLog()
    logger.addHandler(log)
    try:
        with patch.dict(os.environ, {RECORDS: str(path)}):
            yield Recorder(path)
    finally:
        logger.removeHandler(log)
