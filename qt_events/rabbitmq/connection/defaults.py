"""Defaults of a bus's connections, beside which an app's own settings stay as they are."""

from typing import Any

import celery

#: By the name of Celery's setting. They hold where the app's author has set nothing.
DEFAULTS: dict[str, Any] = {
    # Seconds. A bus notices sooner than Celery that a broker has fallen silent.
    "broker_heartbeat": 20,
    # For ever.
    "broker_connection_max_retries": None,
}


def is_given(app: celery.Celery, name: str) -> bool:
    """Return True if the app's author has set this, rather than Celery."""
    # Until a setting is read, app.conf only stands in for the configuration.
    app.conf.get(name)
    # Changes, then what was configured by an object, then Celery's defaults.
    *given, _celerys_own = app.conf.maps
    return any(name in each for each in given)


def chosen(app: celery.Celery, name: str) -> Any:
    """Return the app's own setting, or the bus's default."""
    return app.conf[name] if is_given(app, name) else DEFAULTS[name]
