"""Celery's events for monitors: left out where they may not be sent, kept in bounded number."""

from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery

from qt_events.rabbitmq.compat import event_dispatcher
from qt_events.rabbitmq.compat.event_dispatcher import EventDispatcher


class Choosy(EventDispatcher):
    def may_send(self, event: Any) -> bool:
        return bool(event["type"] != "secret-event")


def dispatcher() -> Choosy:
    made = Choosy(app=Celery("any", broker="memory://", set_as_current=False))
    made.producer = Mock()
    return made


def test_what_may_not_be_sent_is_left_out() -> None:
    made = dispatcher()
    for kind in ("secret-event", "worker-online"):
        made.send(kind)
    assert [each.args[0]["type"] for each in made.producer.publish.call_args_list] == [
        "worker-online"
    ]


def test_what_could_not_be_sent_goes_to_the_next() -> None:
    before, after = dispatcher(), dispatcher()
    before.producer.publish.side_effect = OSError
    for _ in range(1_100):
        before.send("worker-heartbeat")
    after.keep(before.unsent)
    after.flush()
    assert after.producer.publish.call_count == 1_000


def test_without_its_names_celery_keeps_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_dispatcher, "_IS_KNOWN", False)
    made = dispatcher()
    made.producer.publish.side_effect = OSError
    made.send("worker-online")
    made.keep([({"type": "worker-offline"}, "worker.offline")])
    assert made.unsent == ()
    made.producer = Mock()
    made.flush()
    assert made.producer.publish.call_count == 1
