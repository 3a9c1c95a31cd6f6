"""App of the soak: load_app's subscriptions, and a handler that always ends its process."""

import os
import signal
from typing import Any

from load_app import app, bus  # type: ignore[import-not-found]  # beside it, as Celery finds it

from qt_events.events.event import Event

__all__ = ["app"]


def lethal(_: Event[Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


bus.subscribe("lethal", lethal, name="lethal")
