"""Wiring: which component publishes and which hears each event, recorded during a replay.

`python -m workers.wiring` prints the page docs/who-hears-what.md. Each component gets a bus of its
own that records its publishes and subscriptions, so the table shows the code as it is.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from qt_events import Event, EventBus, EventHandler, InMemoryEventBus, Subscription
from workers.market.price_file import read_market
from workers.replay.feed import MarketFeed
from workers.store import Store
from workers.system.assembly import COMPONENTS

#: Days of the price file: every event type occurs in them, a promotion of a strategy as the last.
DAYS = slice(100, 200)

#: Names that differ from those of the classes.
NAMES = {
    "MetaStrategyController": "MSC AI",
    "StrategyGenerator": "SG AI",
    "ContinuousLearningManager": "CLM",
    "OppRank": "OppRank",
    "EventLogger": "Logger",
}


PAGE = """\
# Who hears what

Event types of Quantum Trader, with the components that publish and hear them. Recorded during a
replay of a hundred days by `python -m workers.wiring > docs/who-hears-what.md`; a test compares the
page with the code. `workers/__init__.py` explains the names.

{table}
"""


@dataclass
class Row:
    """Components at both ends of one event type."""

    producers: set[str] = field(default_factory=set)
    consumers: set[str] = field(default_factory=set)


class Wiring(dict[str, Row]):
    """Rows by event type."""

    def __missing__(self, event_type: str) -> Row:
        row = self[event_type] = Row()
        return row


class RecordingBus:
    """A bus for one component, which records what it publishes and subscribes to."""

    def __init__(self, bus: EventBus, component: str, wiring: Wiring) -> None:
        self._bus, self._component, self._wiring = bus, component, wiring

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> None:
        self._wiring[event.type].producers.add(self._component)
        await self._bus.publish(event, mandatory=mandatory)

    def subscribe(
        self, event_type: type[Event[Any]], handler: EventHandler, **options: Any
    ) -> Subscription:
        self._wiring[event_type.event_type].consumers.add(self._component)
        return self._bus.subscribe(event_type, handler, **options)


async def watch() -> Wiring:
    """Replay the days and return the wiring."""
    wiring = Wiring()
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        async with InMemoryEventBus() as bus:

            def recording(component: Callable[..., Any]) -> Any:
                return RecordingBus(bus, title(component.__name__), wiring)

            for component in COMPONENTS:
                component(recording(component), store)
            feed = MarketFeed(recording(MarketFeed), store.prices)
            for close in read_market()[DAYS]:
                await feed.trade(close)
        store.dispose()
    return wiring


def title(class_name: str) -> str:
    """Return a component's name in words, as docs/ have it."""
    return NAMES.get(class_name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name)


def table(wiring: Wiring) -> str:
    """Return the wiring as a Markdown table."""
    lines = ["| event | published by | heard by |", "|---|---|---|"]
    for event_type, row in sorted(wiring.items()):
        producers, consumers = (
            ", ".join(sorted(names)) for names in (row.producers, row.consumers)
        )
        lines.append(f"| `{event_type}` | {producers} | {consumers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(PAGE.format(table=table(asyncio.run(watch()))), end="")
