"""Announcements: what a producer told everybody last, kept so that nothing has to be guessed.

An analyst's announcement (a policy, a strategy's stage, a model's version, ...) goes out as an event, which each
process hears by broadcast, and into the database. Whatever rests on it later names it by its id. A process that
has not heard that very event yet, because it is on its way or because the process is younger, looks it up.
So every process decides on the same facts, however many there are.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Generic, NamedTuple, TypeVar

from qt_events import Event, EventBus, Payload, QtEventsError
from workers.events import once, plain
from workers.store import Documents

P = TypeVar("P", bound=Payload)

#: Which field of the payload tells announcements of one type from each other; none: there is one.
KEYS = {"strategy.promoted": "strategy_id", "model.promoted": "model_name", "health.status_changed": "component"}


class UnknownAnnouncementError(QtEventsError):
    """A step rests on what the database does not know."""


class Announcement(NamedTuple, Generic[P]):
    """One, as the database keeps it."""

    id: str  #: of the event
    day: date
    payload: P


class Announcements(Generic[P]):
    """Those of one type, as their producer makes them and anybody may read them."""

    def __init__(self, documents: Documents, event_class: type[Event[P]]) -> None:
        self._documents, self._class = documents, event_class
        self.type = event_class.event_type

    async def announce(self, bus: EventBus, day: date, **payload: Any) -> None:
        """Publish first, keep it after: should this process end in between, the same event is published again."""
        event = self._class.create(**payload)
        key = key_of(event)
        event = once(event, day, key)
        await bus.publish(event)
        kept = {"id": event.id, "day": day.isoformat(), "payload": plain(event.payload)}
        await self._documents.put(announced(self.type), event.id, kept)
        await self._documents.advance(self.type, key, kept)

    async def all(self) -> dict[str, Announcement[P]]:
        """The last one of each key."""
        kept = await self._documents.all(self.type)
        return {key: self._read(value) for key, value in kept.items()}

    async def find(self, id: str) -> P:
        """The payload of the one that this event made, the last or an earlier one.

        Raises:
            UnknownAnnouncementError: there is none.
        """
        kept = await self._documents.get(announced(self.type), id)
        if kept is None:
            message = f"no {self.type} of id {id}: do all processes have the same QT_DATABASE_URL?"
            raise UnknownAnnouncementError(message)
        return self._read(kept).payload

    async def ids(self) -> dict[str, str]:
        """What a step that rests on these names: `type/key` -> id."""
        return {f"{self.type}/{key}": each.id for key, each in (await self.all()).items()}

    def _read(self, value: Mapping[str, Any]) -> Announcement[P]:
        event = self._class.create(**value["payload"])
        return Announcement(value["id"], date.fromisoformat(value["day"]), event.payload)


class Heard(Generic[P]):
    """The last announcement of each key, as this process knows it."""

    def __init__(self, announcements: Announcements[P]) -> None:
        self._announcements = announcements
        self._known: dict[str, tuple[str, P]] = {}  # key -> id of the event, payload

    def hear(self, event: Event[P]) -> None:
        """An announcement came by broadcast."""
        self._known[key_of(event)] = (event.id, event.payload)

    async def at(self, rests_on: Mapping[str, str]) -> dict[str, P]:
        """By key, what a step rests on, as exactly as it was known to whoever asked for the step."""
        prefix = f"{self._announcements.type}/"
        wanted = {name.removeprefix(prefix): told for name, told in rests_on.items() if name.startswith(prefix)}
        return {key: await self._of(key, told) for key, told in sorted(wanted.items())}

    async def one(self, rests_on: Mapping[str, str]) -> P | None:
        """Of a type that has no keys: what the step rests on, or None where nothing was announced yet."""
        return (await self.at(rests_on)).get("")

    async def _of(self, key: str, told: str) -> P:
        known, payload = self._known.get(key, (None, None))
        if known != told or payload is None:
            payload = await self._announcements.find(told)
            self._known[key] = (told, payload)
        return payload


def announced(event_type: str) -> str:
    """The kind of the documents that keep all announcements of a type, by their ids."""
    return f"{event_type}/all"


def key_of(event: Event[Any]) -> str:
    """What tells this announcement from others of its type."""
    field = KEYS.get(event.type)
    return str(event.payload[field]) if field else ""
