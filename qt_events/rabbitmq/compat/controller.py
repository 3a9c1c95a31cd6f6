"""Celery's WorkController, for a worker that is a guest in its process."""

import celery.worker

from qt_events.rabbitmq.compat.names import SHUTDOWN, are_there

are_there(SHUTDOWN)


class GuestController(celery.worker.WorkController):
    """Leaves the default socket timeout alone. Celery changes it while it shuts down."""

    def _shutdown(self, warm: bool = True) -> None:  # noqa: FBT001, FBT002  # Celery's
        self.blueprint.stop(self, terminate=not warm)
        self.blueprint.join()
