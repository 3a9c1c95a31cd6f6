"""Inboxes: what comes twice takes effect once. They need the extra `outbox`."""

import sqlite3
from contextlib import closing
from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Recorder, hear, nth_call, record
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun, this_bus
from qt_events.testing.contract.scenarios.telling import listen, of, told

_SOON = RetryPolicy(max_attempts=3, initial=0.1, jitter=0)
_EFFECT = "INSERT INTO effects VALUES (:name, :event)"


def _file() -> str:
    """Return the database of all who serve this scenario."""
    return str(Recorder.current().path.with_suffix(".db"))


def engine(*, is_async: bool) -> Any:
    """Return an engine that keeps no connection, and make the table of effects."""
    # Imported where it is needed: most of the suite does without a database.
    import sqlalchemy as sa  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    from qt_events.outbox import begin_immediately  # noqa: PLC0415

    with closing(sqlite3.connect(_file(), timeout=20)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS effects (name TEXT, event TEXT)")
    options: dict[str, Any] = {"poolclass": sa.NullPool, "connect_args": {"timeout": 20}}
    if is_async:
        return begin_immediately(create_async_engine(f"sqlite+aiosqlite:///{_file()}", **options))
    return begin_immediately(sa.create_engine(f"sqlite:///{_file()}", **options))


def effects(name: str, event: Event[Any]) -> int:
    """Return how often an event has had its effect by this handler."""
    with closing(sqlite3.connect(_file(), timeout=20)) as connection:
        query = "SELECT count(*) FROM effects WHERE name = ? AND event = ?"
        return int(connection.execute(query, (name, event.id)).fetchone()[0])


def take_effect(bus: EventBus, pattern: str, name: str, handler: EventHandler) -> None:
    """Subscribe a handler with an inbox, made for its kind by the end of its name."""
    from qt_events.outbox import Inbox  # noqa: PLC0415

    inbox = Inbox(engine(is_async=name.endswith("async")))
    bus.subscribe(pattern, handler, name=name, inbox=inbox, retry=_SOON)


def _effect(session: Any, name: str, event: Event[Any]) -> None:
    from sqlalchemy import text  # noqa: PLC0415

    session.execute(text(_EFFECT), {"name": name, "event": event.id})


def _session() -> Any:
    from qt_events.outbox import current_inbox  # noqa: PLC0415

    return current_inbox().session


def pay_plain(event: Event[Any]) -> None:
    record("once.plain", event)
    _effect(_session(), "once.plain", event)


async def pay_async(event: Event[Any]) -> None:
    record("once.async", event)
    await _session().run_sync(_effect, "once.async", event)


class Once(Scenario):
    """An event that comes again is acknowledged without its handler, and told as deduplicated."""

    needs = Feature.INBOX | Feature.FATES

    def subscribe(self, bus: EventBus) -> None:
        take_effect(bus, "once.paid", "once.plain", pay_plain)
        take_effect(bus, "once.paid", "once.async", pay_async)
        listen(bus, "once.listener")

    async def check(self, run: ScenarioRun) -> None:
        event: Event[Any] = Event("once.paid", None, {"n": 1})
        await run.bus.publish(event)
        await told(run, "once.listener", event, 2)
        await run.bus.publish(event)
        fates = await told(run, "once.listener", event, 4)
        for name in ("once.plain", "once.async"):
            expected = [(1, "done", "", None), (1, "deduplicated", "", None)]
            assert of(name, fates) == expected
            assert len(run.calls(name)) == effects(name, event) == 1


def fail_plain(event: Event[Any]) -> None:
    times = nth_call("undone.plain", event)
    _effect(_session(), "undone.plain", event)
    if times < 3:
        raise OSError("out of order")


async def fail_async(event: Event[Any]) -> None:
    times = nth_call("undone.async", event)
    await _session().run_sync(_effect, "undone.async", event)
    if times < 3:
        raise OSError("out of order")


class Undone(Scenario):
    """A handler with an inbox that fails leaves no effect, and its retry is no duplicate."""

    needs = Feature.INBOX

    def subscribe(self, bus: EventBus) -> None:
        take_effect(bus, "undone.paid", "undone.plain", fail_plain)
        take_effect(bus, "undone.paid", "undone.async", fail_async)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("undone.paid")
        for name in ("undone.plain", "undone.async"):
            await run.called(name, 3, event)
            await run.until(lambda name=name: effects(name, event) > 0, f"an effect of {name}")  # type: ignore[misc]
            assert effects(name, event) == 1


def ship_plain(event: Event[Any]) -> None:
    times = nth_call("shipping.plain", event)
    this_bus().publish_sync(Event("shipped.plain", None, {"n": times}))
    if times == 1:
        raise OSError("out of order")


async def ship_async(event: Event[Any]) -> None:
    times = nth_call("shipping.async", event)
    await this_bus().publish(Event("shipped.async", None, {"n": times}))
    if times == 1:
        raise OSError("out of order")


class PublishedOnce(Scenario):
    """What a handler with an inbox publishes is heard if it returns, when a relay has sent it."""

    needs = Feature.INBOX

    def subscribe(self, bus: EventBus) -> None:
        take_effect(bus, "shipping.asked", "shipping.plain", ship_plain)
        take_effect(bus, "shipping.asked", "shipping.async", ship_async)
        hear(bus, "shipped.*", "shipped.heard")

    async def check(self, run: ScenarioRun) -> None:
        from qt_events.outbox import Outbox  # noqa: PLC0415

        event = await run.publish("shipping.asked")
        await run.called("shipping.plain", 2)
        await run.called("shipping.async", 2)
        async with Outbox(engine(is_async=False)).relay(run.bus, poll=0.1):
            heard = await run.called("shipped.heard", 2)
        assert sorted((call.event_type, call.payload["n"]) for call in heard) == [
            ("shipped.async", 2),
            ("shipped.plain", 2),
        ]
        assert {call.causation_id for call in heard} == {event.id}
