"""Wiring: producers and consumers are the documented ones, and the page shows the code."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import workers
from workers.publishers import components
from workers.replay.feed import MarketFeed
from workers.system.assembly import COMPONENTS
from workers.wiring import PAGE, Wiring, table, title, watch

#: Classes in the order of components().
CLASSES: tuple[Any, ...] = (MarketFeed, *COMPONENTS)
DOCS = Path(__file__).parents[3] / "docs"

#: The reference's event types: producer, consumers.
REFERENCE = {
    "policy.updated": ("MSC AI", {"Orchestrator", "Risk Guard", "Portfolio Balancer"}),
    "strategy.promoted": ("SG AI", {"Strategy Runtime Engine", "Analytics", "Logger"}),
    "model.promoted": ("CLM", {"Ensemble Manager", "Analytics"}),
    "health.status_changed": (
        "System Health Monitor",
        {"Discord Notifier", "Safety Governor", "Logger"},
    ),
    "opportunities.updated": ("OppRank", {"Strategy Runtime Engine", "Executor"}),
    "trade.executed": ("Executor", {"Analytics", "Metrics Logger", "Performance Tracker"}),
}


@pytest.fixture(scope="module")
def wiring() -> Wiring:
    return asyncio.run(watch())


@pytest.mark.parametrize("event_type", REFERENCE)
def test_the_six_events_have_the_producers_and_consumers_of_the_reference(
    wiring: Wiring, event_type: str
) -> None:
    producer, consumers = REFERENCE[event_type]
    assert (wiring[event_type].producers, wiring[event_type].consumers) == ({producer}, consumers)


def test_every_event_has_somebody_on_both_ends(wiring: Wiring) -> None:
    """Every event type has a publisher and a subscriber."""
    assert [name for name, line in wiring.items() if not (line.producers and line.consumers)] == []


def test_everybody_publishes_what_is_declared_and_nothing_else(wiring: Wiring) -> None:
    """The broker's permissions come from the declaration.

    Too few would stop a component, too many would let it publish for another.
    """
    declared = {
        (each.event_type, title(made.__name__)) for made in CLASSES for each in made.publishes
    }
    assert {
        (name, producer) for name, line in wiring.items() for producer in line.producers
    } == declared


def test_every_component_is_declared_with_the_subscriptions_that_it_makes(wiring: Wiring) -> None:
    """The feed is declared too."""
    heard = {
        (pattern, title(made.__name__))
        for made, each in zip(CLASSES, components(), strict=True)
        for subscription in each.subscriptions
        for pattern in subscription.patterns
    }
    assert heard == {
        (name, consumer) for name, line in wiring.items() for consumer in line.consumers
    }


def test_opprank_publishes_opportunities_and_nothing_else() -> None:
    """Both types fit `opportunities.*`."""
    (opprank,) = (each for each in components() if each.name == "opprank")
    assert opprank.publishes == ("opportunities.updated", "opportunities.analyzed")


def test_no_two_components_publish_one_type() -> None:
    """A type therefore identifies its producer."""
    types = [event_type for each in components() for event_type in each.publishes]
    assert len(types) == len(set(types))


def test_the_page_is_what_the_code_does(wiring: Wiring) -> None:
    """`python -m workers.wiring > docs/who-hears-what.md` updates it."""
    assert (DOCS / "who-hears-what.md").read_text() == PAGE.format(table=table(wiring))


@pytest.mark.parametrize(
    ("name", "words"),
    [("RiskGuard", "Risk Guard"), ("MetaStrategyController", "MSC AI"), ("OppRank", "OppRank")],
)
def test_a_component_has_the_name_of_the_reference(name: str, words: str) -> None:
    assert title(name) == words


def explained() -> dict[str, tuple[set[str], set[str]]]:
    """Return the table of workers/__init__.py: name -> publishes, hears."""
    _, _, text = (workers.__doc__ or "").partition("name  ")
    header, *lines = f"name  {text}".splitlines()
    starts = [header.index(word) for word in ("stands for", "publishes", "hears")]
    found: dict[str, tuple[set[str], set[str]]] = {}
    component = ""
    for line in lines:
        name, publishes, hears = (
            line[a:b].strip()
            for a, b in ((0, starts[0]), (starts[1], starts[2]), (starts[2], None))
        )
        component = name or component
        both = found.setdefault(component, (set(), set()))
        both[0].update({publishes} - {""})
        both[1].update({hears} - {""})
    return found


def test_the_table_in_the_package_is_what_the_code_does(wiring: Wiring) -> None:
    """The table has each component, with the events that it publishes and hears."""
    names = {title(made.__name__) for made in CLASSES}
    assert explained() == {
        name: (
            {event for event, row in wiring.items() if name in row.producers},
            {event for event, row in wiring.items() if name in row.consumers},
        )
        for name in names
    }
