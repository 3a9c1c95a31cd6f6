"""Announcements: the newest policy, stages, models, ranking and health, for every process.

An announcement goes out as an event, which each process hears by broadcast, and into the database.
A step of the day names the announcements it rests on by their ids. A process that has not heard one
of them yet, because it is on its way or because the process is younger, reads it from the database.
So all processes decide on the same facts.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Generic, NamedTuple, TypeVar

from qt_events import Event, EventBus, Payload, QtEventsError
from workers.events import as_json, with_fixed_id
from workers.store import Documents

P = TypeVar("P", bound=Payload)

#: Payload field that distinguishes announcements of one type. A type without one has one.
KEYS = {
    "strategy.promoted": "strategy_id",
    "model.promoted": "model_name",
    "health.status_changed": "component",
}


class UnknownAnnouncementError(QtEventsError):
    """A step rests on an announcement that is not in the database."""


class Announcement(NamedTuple, Generic[P]):
    """An announcement, as the database keeps it."""

    id: str  #: of the event
    day: date
    payload: P


class Announcements(Generic[P]):
    """Announcements of one event type, made by their producer and readable by every component."""

    def __init__(self, documents: Documents, event_class: type[Event[P]]) -> None:
        self._documents, self._class = documents, event_class
        self.type = event_class.event_type

    async def announce(self, bus: EventBus, day: date, **payload: Any) -> None:
        """Publish an announcement, then keep it.

        After a crash between the two, the same event is published again.
        """
        event = self._class.create(**payload)
        key = key_of(event)
        event = with_fixed_id(event, day, key)
        await bus.publish(event)
        kept = {"id": event.id, "day": day.isoformat(), "payload": as_json(event.payload)}
        await self._documents.put(history_kind(self.type), event.id, kept)
        await self._documents.advance(self.type, key, kept)

    async def all(self) -> dict[str, Announcement[P]]:
        """Return the newest announcement of each key."""
        kept = await self._documents.all(self.type)
        return {key: self._read(value) for key, value in kept.items()}

    async def find(self, id: str) -> P:
        """Return the payload of one announcement, the newest or an earlier one.

        Raises:
            UnknownAnnouncementError: the database has none with this id.
        """
        kept = await self._documents.get(history_kind(self.type), id)
        if kept is None:
            message = f"no {self.type} of id {id}: do all processes have the same QT_DATABASE_URL?"
            raise UnknownAnnouncementError(message)
        return self._read(kept).payload

    async def ids(self) -> dict[str, str]:
        """Return the ids by which a step names the newest announcements: `type/key` -> id."""
        return {f"{self.type}/{key}": each.id for key, each in (await self.all()).items()}

    def _read(self, value: Mapping[str, Any]) -> Announcement[P]:
        event = self._class.create(**value["payload"])
        return Announcement(value["id"], date.fromisoformat(value["day"]), event.payload)


class KnownAnnouncements(Generic[P]):
    """Newest announcement of each key that this process knows."""

    def __init__(self, announcements: Announcements[P]) -> None:
        self._announcements = announcements
        #: key -> id of the event, payload
        self._known: dict[str, tuple[str, P]] = {}

    def remember(self, event: Event[P]) -> None:
        """Take an announcement that came by broadcast."""
        self._known[key_of(event)] = (event.id, event.payload)

    async def of_step(self, rests_on: Mapping[str, str]) -> dict[str, P]:
        """Return the payloads of exactly those announcements that a step rests on, by key."""
        prefix = f"{self._announcements.type}/"
        wanted = {
            name.removeprefix(prefix): event_id
            for name, event_id in rests_on.items()
            if name.startswith(prefix)
        }
        return {key: await self._get(key, event_id) for key, event_id in sorted(wanted.items())}

    async def single(self, rests_on: Mapping[str, str]) -> P | None:
        """Return the announcement of a type without keys; None if the step rests on none."""
        return (await self.of_step(rests_on)).get("")

    async def _get(self, key: str, id: str) -> P:
        known, payload = self._known.get(key, (None, None))
        if known != id or payload is None:
            payload = await self._announcements.find(id)
            self._known[key] = (id, payload)
        return payload


def history_kind(event_type: str) -> str:
    """Return the kind of the documents that keep all announcements of a type, by their ids."""
    return f"{event_type}/all"


def key_of(event: Event[Any]) -> str:
    """Return the key that distinguishes this announcement from others of its type."""
    field = KEYS.get(event.type)
    return str(event.payload[field]) if field else ""
