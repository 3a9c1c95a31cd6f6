"""Runtime: what is kept of a bus until its process ends."""

import gc
import weakref

from qt_events import CeleryEventBus
from qt_events.rabbitmq.runtime import leave_at_exit


def test_a_bus_that_nobody_uses_any_more_is_not_kept_for_the_exit() -> None:
    """It would keep its app, too."""
    bus = CeleryEventBus("amqp://localhost//")
    leave_at_exit(bus.runtime)
    kept = weakref.ref(bus.runtime)
    bus.close()
    del bus
    gc.collect()
    assert kept() is None
