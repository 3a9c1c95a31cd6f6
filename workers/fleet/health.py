"""Health file: a worker touches it with each heartbeat, so a health check costs next to nothing.

Celery's heart beats every two seconds on the worker's own loop, while the worker is connected. An
old file means that the loop or the broker is gone, a missing one that the worker is not ready.
"""

from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent, worker_init, worker_ready


class HealthFile:
    """File of one worker; `QT_HEALTH_FILE` names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self) -> None:
        """Touch the file from the moment at which every queue is declared.

        Other programs that import the app, such as `celery inspect`, leave it alone.
        """
        worker_init.connect(self._remove, weak=False)
        worker_ready.connect(self._begin, weak=False)
        heartbeat_sent.connect(self._touch_again, weak=False)

    def _remove(self, **_: Any) -> None:
        """Remove what an earlier worker has left."""
        self.path.unlink(missing_ok=True)

    def _begin(self, **_: Any) -> None:
        self.path.touch()

    def _touch_again(self, **_: Any) -> None:
        # The heart begins to beat before the worker is ready.
        if self.path.exists():
            self.path.touch()
