"""Till and recorder as before, and a newcomer that starts with old events: `-A newcomer_app`."""

from typing import Any

import till_app  # type: ignore[import-not-found]  # beside it, as Celery finds it
from till_app import app, bus

from qt_events import Component, Event
from qt_events.testing.contract.recorder import record

__all__ = ["app", "components"]


async def on_sale(event: Event[Any]) -> None:
    record("stock.on_sale", event)


stock = bus.subscribe("sale.made", on_sale, name="stock.on_sale", start="first")


def components() -> list[Component]:
    return [*till_app.components(), Component("stock", (), (stock,))]
