"""Strategies: Celery's way to take each task's messages, made when a task's first message comes."""

from typing import Any

from celery.app.trace import build_tracer
from celery.worker.consumer import Consumer


class Strategies(dict[str, Any]):
    """Strategy of each task by its name.

    Celery makes all of them once a connection. A subscription may come later than that.
    """

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Any:
        app = self._consumer.app
        # A KeyError for a task that does not exist: Celery reports it.
        task = app.tasks[name]
        task.__trace__ = build_tracer(name, task, app.loader, self._consumer.hostname, app=app)
        strategy = self[name] = task.start_strategy(app, self._consumer)
        return strategy
