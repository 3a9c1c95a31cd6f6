"""The app of the soak's workers: load_app's subscriptions, and one whose handler ends its process every time."""

import os
import signal
from typing import Any

from load_app import app, bus  # type: ignore[import-not-found]  # beside it, as Celery finds it

from qt_events.events.event import Event

__all__ = ["app"]


def lethal(_: Event[Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


bus.subscribe("lethal", lethal, name="lethal")
