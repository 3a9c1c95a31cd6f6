"""The Celery app whose worker serves every component's subscriptions. One worker, for now.

Executor, MSC AI, SG AI, CLM and the trackers keep what they heard in their process, through shared subscriptions: of
several workers each would know a part of the events. State that workers share comes next.
"""

import celery

from qt_events import CeleryEventBus
from workers.system import build

app = celery.Celery("workers")
app.config_from_object("celeryconfig")
bus = CeleryEventBus(app=app)
system = build(bus)
