"""The fleet: the Celery app whose workers serve every component's subscriptions, each worker a process of its own."""

import celery

from qt_events import CeleryEventBus
from workers.system import build

app = celery.Celery("workers")
app.config_from_object("celeryconfig")
bus = CeleryEventBus(app=app)
system = build(bus)
