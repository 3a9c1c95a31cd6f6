"""Quantum Trader's six events: there for who asks, and in nobody's way until then."""

import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

import qt_events

SIX = {
    "health.status_changed": "HealthStatusChangedEvent",
    "model.promoted": "ModelPromotedEvent",
    "opportunities.updated": "OpportunitiesUpdatedEvent",
    "policy.updated": "PolicyUpdatedEvent",
    "strategy.promoted": "StrategyPromotedEvent",
    "trade.executed": "TradeExecutedEvent",
}

OWN = """
    from qt_events import Event, Payload

    class Fill(Payload):
        venue: str

    class Filled(Event[Fill], type="trade.executed"): ...
"""


def ended(program: str, *more: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of its own: what this process has imported does not matter to it."""
    text = "".join(map(textwrap.dedent, (program, *more)))
    command = [sys.executable, "-c", text]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_a_program_has_a_trade_executed_of_its_own(tmp_path: Path) -> None:
    """A program that never asks for ours gets neither a DuplicateEventError nor our schema."""
    using = """
        import asyncio, sys
        from qt_events import InMemoryEventBus, RetryPolicy, create_event_bus
        import qt_events.cli, qt_events.events.cloudevents

        plain = Event("policy.updated", None, {"anything": "goes"})
        assert type(plain) is Event, plain
        heard = []

        async def main():
            async with create_event_bus("memory://") as bus:
                bus.subscribe("trade.*", heard.append)
                await bus.publish(Event("trade.executed", None, {"venue": "X"}))
                await bus.join()

        asyncio.run(main())
        assert [type(event) for event in heard] == [Filled]
        assert "qt_events.events.quantum_trader" not in sys.modules
    """
    done = ended(OWN, using, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("order", "name"), [("ours first", "RiskMode"), ("theirs first", "TradeExecutedEvent")]
)
def test_two_declared_types_are_an_error_that_names_both(
    order: str, name: str, tmp_path: Path
) -> None:
    """Both orders end with the same error: no class wins by being imported first."""
    (tmp_path / "desk.py").write_text(textwrap.dedent(OWN))
    parts = (f"from qt_events import {name}\n", "import desk\n")
    done = ended(*(parts if order == "ours first" else parts[::-1]), folder=tmp_path)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("qt_events.errors.DuplicateEventError")
    assert f"desk.Filled in {tmp_path / 'desk.py'}" in error
    catalog = import_module("qt_events.events.quantum_trader")
    assert f"qt_events.events.quantum_trader.TradeExecutedEvent in {catalog.__file__}" in error


def test_asking_for_one_name_registers_all_six(tmp_path: Path) -> None:
    """The six are one catalog, its enums and payloads included."""
    program = f"""
        from qt_events import Event, RiskMode
        from qt_events.events.event import event_class
        found = {{name: event_class(name).__name__ for name in {sorted(SIX)}}}
        assert found == {SIX}, found
    """
    done = ended(program, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_star_import_asks_for_every_public_name(tmp_path: Path) -> None:
    """The six are registered then: a program with a type of its own names what it imports."""
    program = """
        from qt_events import *
        import qt_events
        assert {*qt_events.__all__} <= {*globals()}
        assert RiskMode("NORMAL") is RiskMode.NORMAL
        assert type(Event("trade.executed", None, {
            "order_id": "o", "symbol": "X", "side": "BUY", "size": 1, "price": 1,
            "strategy_id": "s", "model": "m",
        })) is TradeExecutedEvent
    """
    done = ended(program, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_is_there() -> None:
    """Names that are imported when first asked for are found too, and no others are."""
    missing = [name for name in qt_events.__all__ if getattr(qt_events, name, None) is None]
    assert missing == []
    with pytest.raises(AttributeError, match="'qt_events' has no attribute 'PolicyDeletedEvent'"):
        _ = qt_events.PolicyDeletedEvent  # type: ignore[attr-defined]
