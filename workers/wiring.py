"""Who publishes what, and who hears it: found by watching a replay. `python -m workers.wiring` prints the page.

Each component gets the bus through a tap of its own, which notes what it publishes and subscribes to. So the table
is what the code does, not what somebody wrote about it.
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

ENOUGH = 450  # days of the price file: by then everything has happened at least once

#: The reference's own names where they are not the class's.
NAMES = {
    "MetaStrategyController": "MSC AI",
    "StrategyGenerator": "SG AI",
    "ContinuousLearningManager": "CLM",
    "OppRank": "OppRank",
    "EventLogger": "Logger",
}


PAGE = """\
# Who hears what

What each component of Quantum Trader publishes and subscribes to, watched during the first {days} days of the replay.
Made with `python -m workers.wiring > docs/who-hears-what.md`; a test makes it again and compares.

{table}
"""


@dataclass
class Line:
    """One event type."""

    producers: set[str] = field(default_factory=set)
    consumers: set[str] = field(default_factory=set)


class Wiring(dict[str, Line]):
    """Lines by event type."""

    def __missing__(self, event_type: str) -> Line:
        line = self[event_type] = Line()
        return line


class Tap:
    """A bus as one component has it."""

    def __init__(self, bus: EventBus, component: str, wiring: Wiring) -> None:
        self._bus, self._component, self._wiring = bus, component, wiring

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> None:
        self._wiring[event.type].producers.add(self._component)
        await self._bus.publish(event, mandatory=mandatory)

    def subscribe(self, event_type: type[Event[Any]], handler: EventHandler, **options: Any) -> Subscription:
        self._wiring[event_type.event_type].consumers.add(self._component)
        return self._bus.subscribe(event_type, handler, **options)


async def watch(days: int = ENOUGH) -> Wiring:
    """Replay these days and note who did what."""
    wiring = Wiring()
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        async with InMemoryEventBus() as bus:

            def tapped(component: Callable[..., Any]) -> Any:
                return Tap(bus, title(component.__name__), wiring)

            for component in COMPONENTS:
                component(tapped(component), store)
            feed = MarketFeed(tapped(MarketFeed), store.prices)
            for close in read_market()[:days]:
                await feed.trade(close)
        store.dispose()
    return wiring


def title(class_name: str) -> str:
    """A component's name in words, as the reference writes it."""
    return NAMES.get(class_name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name)


def table(wiring: Wiring) -> str:
    """As Markdown."""
    lines = ["| event | published by | heard by |", "|---|---|---|"]
    for event_type, line in sorted(wiring.items()):
        producers, consumers = (", ".join(sorted(names)) for names in (line.producers, line.consumers))
        lines.append(f"| `{event_type}` | {producers} | {consumers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(PAGE.format(days=ENOUGH, table=table(asyncio.run(watch()))), end="")
