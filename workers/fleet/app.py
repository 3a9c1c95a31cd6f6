"""Celery app of a fleet: its workers serve the subscriptions of every component.

Any number of processes may serve them. A process hears announcements by broadcast, or reads them
from the database of QT_DATABASE_URL, which all processes share.
"""

import os
from pathlib import Path

import celery

from qt_events import CeleryEventBus
from workers.fleet.health import HealthFile
from workers.store import Store
from workers.system.assembly import RETRY, SLOW_AFTER, build

app = celery.Celery("workers")
app.config_from_object("celeryconfig")
bus = CeleryEventBus(app=app, retry=RETRY, slow_after=SLOW_AFTER)
build(bus, Store.from_environment())
if named := os.environ.get("QT_HEALTH_FILE"):
    HealthFile(Path(named)).keep()
