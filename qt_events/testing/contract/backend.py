"""Backend: how a bus is opened and who delivers its events; and the simplest one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, ClassVar

from qt_events.bus import EventBus
from qt_events.memory import InMemoryEventBus
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.member import HostedMember, Member
from qt_events.testing.contract.scenario import Options, Scenario, serve


class Backend(ABC):
    """A backend under test. The least that one needs: a name, what it lacks, and `bus`."""

    name: ClassVar[str]
    lacks: ClassVar[Mapping[Feature, str]] = {}  #: features that it does not have, and why
    features: ClassVar[Feature] = ~Feature(0)  #: all the others; a subclass need not say it

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.features = ~reduce(or_, cls.lacks, Feature(0))

    @abstractmethod
    def bus(self, options: Options) -> EventBus:
        """A bus to publish through, not running."""

    def open(self, scenario: type[Scenario]) -> EventBus:
        """The bus that the scenario's check publishes through."""
        return self.bus(scenario.options)

    async def close(self, bus: EventBus) -> None:  # noqa: B027  # most have nothing to let go of
        """Let go of what a bus has open; it is not running any more."""

    def shares(self, scenario: type[Scenario]) -> bool:  # noqa: ARG002
        """Whether those who deliver this scenario serve others too, and go on after it."""
        return False

    async def members(self, scenario: Scenario, bus: EventBus) -> list[Member]:
        """Who delivers this scenario's events, not started; here: the bus that publishes, and others like it."""
        buses = [bus, *(self.open(type(scenario)) for _ in range(1, scenario.members))]
        for served in buses:
            serve(scenario, served)
        return [HostedMember(served) for served in buses]

    def records(self, scenario: type[Scenario], folder: Path) -> Path:
        """The file where this scenario's handlers record."""
        return folder / f"{scenario.__name__}.jsonl"


class MemoryBackend(Backend):
    """InMemoryEventBus."""

    name = "memory"
    lacks: ClassVar[Mapping[Feature, str]] = {Feature.FLEET: "it is one process"}

    def bus(self, options: Options) -> EventBus:
        """See Backend."""
        return InMemoryEventBus(**options.arguments())
