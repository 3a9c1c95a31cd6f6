"""Components with rights of their own: a recorder serves a newcomer that may declare nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qt_events import Event
from qt_events.testing.broker import Broker
from tests.integration.guarded import Guarded
from tests.support.starts import stands
from tests.support.waiting import until_told

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def guarded(amqp_url: str, broker: Broker, tmp_path: Path) -> Iterator[Guarded]:
    opened = Guarded(amqp_url, broker.management_url, "qt", tmp_path, "till_app")
    opened.let_in()
    yield opened
    opened.fleet.close()


async def test_a_newcomer_with_rights_of_its_own_gets_old_events(guarded: Guarded) -> None:
    """An administrator's `declare` decides the start; the worker deletes the queue in the end."""
    await guarded.work("recorder", serves="history")
    with guarded.bus("till") as till:
        old = [Event("sale.made", None, {"n": n}) for n in range(30)]
        for each in old:
            await till.publish(each)
    # A release later.
    guarded.app = "newcomer_app"
    guarded.let_in()
    shown = json.loads(guarded.command("show", "--json"))["subscriptions"]
    (stock,) = (each for each in shown if each["name"] == "stock.on_sale")
    assert stock["old"] is not None
    assert "is still in its past" in guarded.command("show")
    assert "is still in its past" in guarded.command("move", "stock.on_sale", "other", status=1)
    worker = await guarded.work("stock", serves="stock.on_sale")
    await guarded.fleet.until_called("stock.on_sale", len(old))
    calls = guarded.fleet.calls("stock.on_sale")
    assert [each.event_id for each in calls] == [each.id for each in old]
    over = lambda: not stands(guarded.url, "qt.start.stock.on_sale")  # noqa: E731
    await until_told(over, what="the past is over")
    assert worker.process.poll() is None
