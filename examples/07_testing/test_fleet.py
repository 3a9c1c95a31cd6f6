"""Tests with real workers: two `celery -A risk_desk worker` and a RabbitMQ of their own."""

from pytest_celery import CeleryTestSetup

from qt_events import CeleryEventBus, TradeExecutedEvent


def trade(order_id: str) -> TradeExecutedEvent:
    return TradeExecutedEvent.create(
        order_id=order_id,
        symbol="BTCUSDT",
        side="BUY",
        size=1,
        price=60_000,
        strategy_id="momentum",
        model="XGBoost",
    )


def test_one_worker_is_enough(
    celery_setup: CeleryTestSetup, celery_event_bus: CeleryEventBus
) -> None:
    first, second = celery_setup.worker_cluster
    for number in range(10):
        celery_event_bus.publish_sync(trade(f"A-{number}"), mandatory=True)
    first.kill()
    for number in range(10, 20):
        celery_event_bus.publish_sync(trade(f"A-{number}"))
    celery_setup.worker_cluster.wait_for_log(*(f"booked A-{number}." for number in range(20)))
    assert "booked A-19." in second.logs()

    first.restart()
    second.kill("SIGTERM")
    celery_event_bus.publish_sync(trade("A-20"))
    first.wait_for_log("booked A-20.")
