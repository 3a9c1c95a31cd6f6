"""The Celery app whose workers serve every component's subscriptions: as many processes as one likes.

What a process keeps it hears by broadcast or reads again from the database of QT_DATABASE_URL, which all share.
"""

import celery

from qt_events import CeleryEventBus
from workers.store import Store
from workers.system.assembly import RETRY, build

app = celery.Celery("workers")
app.config_from_object("celeryconfig")
bus = CeleryEventBus(app=app, retry=RETRY)
build(bus, Store.from_environment())
