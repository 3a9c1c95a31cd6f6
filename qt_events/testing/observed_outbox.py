"""ObservedOutbox: questions and claims about what waits in an outbox; the fixture of that name."""

from collections.abc import Callable
from typing import Any, TypeVar, overload

from qt_events.errors import MessageError
from qt_events.events.cloudevents import decode
from qt_events.events.event import Event
from qt_events.events.topics import matches
from qt_events.outbox import KeptEvent, Outbox, State
from qt_events.testing.story import counted

E = TypeVar("E", bound=Event[Any])

#: Events that are looked at.
MOST = 10_000


class ObservedOutbox:
    """Claims about the events that were committed to an outbox, and that no relay has sent yet.

    A claim that fails raises AssertionError with what waits instead.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @overload
    async def waiting(self, what: type[E], where: Callable[[E], bool] | None = None) -> list[E]: ...
    @overload
    async def waiting(
        self, what: str = "#", where: Callable[[Event[Any]], bool] | None = None
    ) -> list[Event[Any]]: ...

    async def waiting(
        self, what: Any = "#", where: Callable[[Any], bool] | None = None
    ) -> list[Any]:
        """Return the events of this class or topic pattern that wait, in the order of adding."""
        kept = await self._outbox.events(State.WAITING, limit=MOST)
        found = [decode(each.body, each.type) for each in kept if _is_of(each, what)]
        return [event for event in found if where is None or where(event)]

    async def assert_waiting(
        self,
        what: type[Event[Any]] | str = "#",
        *,
        times: int | None = None,
        where: Callable[[Any], bool] | None = None,
    ) -> list[Any]:
        """Claim that such events wait, so many of them or at least one, and return them."""
        __tracebackhide__ = True
        found = await self.waiting(what, where)
        if len(found) == times or (times is None and found):
            return list(found)
        title = what.__name__ if isinstance(what, type) else repr(what)
        wanted = "at least once" if times is None else counted(times, "time")
        raise AssertionError(
            f"{title}{' with where=' if where else ''} waiting in {self._outbox!r}: "
            f"{counted(len(found), 'time')}, expected {wanted}\n{await self.story()}"
        )

    async def assert_nothing_waiting(self, what: type[Event[Any]] | str = "#") -> None:
        """Claim that no such event waits."""
        __tracebackhide__ = True
        await self.assert_waiting(what, times=0)

    async def story(self) -> str:
        """Return what waits or is dead, a line an event."""
        kept = await self._outbox.events(limit=MOST)
        return "\n".join(["what is in the outbox:", *map(_line, kept)] if kept else ["it is empty"])


def _is_of(kept: KeptEvent, what: type[Event[Any]] | str) -> bool:
    return matches(what if isinstance(what, str) else what.event_type or "#", kept.type)


def _line(kept: KeptEvent) -> str:
    try:
        payload: object = dict(decode(kept.body, kept.type).payload)
    except MessageError as error:
        payload = error
    why = f": {kept.reason}" if kept.reason else ""
    return f"  {kept.type} (id {kept.id}, {kept.state}{why}) {payload!r:.200}"
