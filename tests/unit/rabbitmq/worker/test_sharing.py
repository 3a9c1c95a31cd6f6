"""Looking for others that serve the same subscriptions goes on, whatever a look ends in."""

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.worker import sharing
from tests.support.waiting import until


async def test_a_look_that_fails_does_not_end_the_looking(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that is away is no news here. Anything else is told, and looked for again."""
    answers: Iterator[Any] = iter([OSError("away"), ValueError("a fault"), ["desk"], ["desk"]])

    def others(*_: object) -> Any:
        answer = next(answers, ["desk"])
        if isinstance(answer, Exception):
            raise answer
        return answer

    for name, value in {"_FIRST_LOOK": 0.01, "_LONGEST": 0.01, "_GHOST": 0.0}.items():
        monkeypatch.setattr(sharing, name, value)
    monkeypatch.setattr(sharing, "_others", others)
    runtime: Any = SimpleNamespace(outstanding=Outstanding())
    runtime.outstanding.published("1", ("desk",))
    looking = asyncio.create_task(sharing.look_for_others(runtime))
    with caplog.at_level(logging.INFO, "qt_events"):
        await until(lambda: runtime.outstanding.shared)
    await looking
    assert [each.getMessage() for each in caplog.records] == [
        "who else serves is not known: a fault"
    ]


async def test_all_is_taken_only_when_nothing_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that waits for its retry is in no queue that a subscription reads."""
    monkeypatch.setattr(sharing, "_POLL", 0.01)
    looks: list[object] = []
    monkeypatch.setattr(sharing, "_waiting", lambda _: looks.append(None))
    runtime: Any = SimpleNamespace(outstanding=Outstanding())
    runtime.outstanding.published("1", ("desk",))
    taken = asyncio.create_task(sharing.all_taken(runtime, lambda: 0))
    await until(lambda: len(looks) > 3)
    assert not taken.done()
    runtime.outstanding.settled("1", "desk", ("desk",))
    await asyncio.wait_for(taken, 40)
