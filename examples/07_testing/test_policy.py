"""Tests of the Orchestrator: in memory by `pytest`, on RabbitMQ by `--event-bus=rabbitmq`."""

import pytest
from risk_desk import Orchestrator

from qt_events import PolicyUpdatedEvent
from qt_events.testing.observed import ObservedEventBus


class Broker:
    """Gateway of a stock broker, closed at first."""

    def __init__(self, closed: int = 0) -> None:
        self.closed = closed
        self.limits: list[int] = []

    async def limit(self, max_positions: int) -> None:
        if self.closed:
            self.closed -= 1
            raise ConnectionError("closed at night")
        self.limits.append(max_positions)


def policy(max_positions: int) -> PolicyUpdatedEvent:
    return PolicyUpdatedEvent.create(
        risk_mode="DEFENSIVE", allowed_strategies=["momentum"], global_min_confidence=0.8,
        max_risk_per_trade=0.01, max_positions=max_positions,
    )  # fmt: skip


async def test_a_policy_reaches_the_gateway(event_bus: ObservedEventBus) -> None:
    gateway = Broker()
    orchestrator = Orchestrator(event_bus, gateway)
    await event_bus.publish(policy(3))
    await event_bus.join()
    assert gateway.limits == [3]
    assert event_bus.published(PolicyUpdatedEvent)[0].payload.risk_mode == "DEFENSIVE"
    event_bus.assert_delivered(orchestrator.on_policy_updated, times=1)


async def test_zero_positions_are_refused(event_bus: ObservedEventBus) -> None:
    Orchestrator(event_bus, Broker())
    event = policy(0)
    await event_bus.publish(event)
    await event_bus.join()
    handler = "risk_desk.orchestrator.on_policy_updated"
    event_bus.assert_dead_lettered(handler, event, reason="rejected", attempts=1)


@pytest.mark.event_bus(backend="memory")  # an hour passes, so it cannot run on a real broker
async def test_a_closed_gateway_is_asked_again_after_an_hour(event_bus: ObservedEventBus) -> None:
    gateway = Broker(closed=1)
    Orchestrator(event_bus, gateway)
    event = policy(3)
    await event_bus.publish(event)
    await event_bus.clock.advance(3599)
    assert gateway.limits == []
    await event_bus.clock.advance(1)
    handler = "risk_desk.orchestrator.on_policy_updated"
    event_bus.assert_retried(handler, event, times=1, exception=ConnectionError)
    event_bus.assert_delivered(handler, event, attempts=2)


@pytest.mark.event_bus(backend="memory")
async def test_a_gateway_that_stays_closed_leaves_a_dead_letter(
    event_bus: ObservedEventBus,
) -> None:
    Orchestrator(event_bus, Broker(closed=3))
    await event_bus.publish(policy(3))
    await event_bus.join()  # three hours, in no time
    handler = "risk_desk.orchestrator.on_policy_updated"
    event_bus.assert_dead_lettered(handler, reason="exhausted", exception=OSError)
