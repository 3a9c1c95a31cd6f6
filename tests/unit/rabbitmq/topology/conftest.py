"""Fixtures of declarations on a recording topology."""

from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.rabbitmq.topology.declarations import Declarations
from tests.unit.rabbitmq.topology.declaring import RecordingTopology, Unregistered


@pytest.fixture
def told() -> list[str]:
    """Return what the worker is told."""
    return []


@pytest.fixture
def registration() -> Unregistered:
    return Unregistered()


@pytest.fixture
def topology() -> RecordingTopology:
    return RecordingTopology()


@pytest.fixture
def here() -> set[str]:
    """Return the names of the subscriptions that this process is to serve."""
    return {"guard", "cache"}


@pytest.fixture
def declarations(
    topology: RecordingTopology, here: set[str], registration: Unregistered, told: list[str]
) -> Declarations:
    # Only asked where nothing is published.
    publisher: Any = SimpleNamespace(begin=lambda _: None)
    return Declarations(
        topology,  # type: ignore[arg-type]
        publisher,
        lambda _: 1,
        lambda each: each.broadcast,
        registration,  # type: ignore[arg-type]
        will_serve=lambda each: each.name in here,
        on_quarantine=lambda: told.append("quarantine"),
    )
