"""Questions to a store. They block; History asks them in a thread."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from qt_events.delivery.telling.fates import Fate
from qt_events.history.conversations.trace import Conversation, conversation_of
from qt_events.history.conversations.words import name
from qt_events.history.errors import AmbiguousEventIdError, UnknownEventIdError
from qt_events.history.filters import EVERY_EVENT, EventFilter
from qt_events.history.store import PAGE, Store, StoredEvent, every_page
from qt_events.history.where import EVERYWHERE, Where

_MOST_NAMED = 10  #: events that an error names
_LAST = 2**63 - 1  #: largest sequence that a database has


def pages(
    store: Store,
    which: EventFilter = EVERY_EVENT,
    where: Where = EVERYWHERE,
    *,
    after: int = 0,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[list[StoredEvent]]:
    """Return events in the order of their recording, a page at a time, at most `limit` in all.

    A page may be empty: none of many events fits `where`. It shows that the search goes on.
    """
    size, after = PAGE if limit is None or where else min(limit, PAGE), min(after, _LAST)
    for page in every_page(store, which, after=after, limit=size, newest_first=newest_first):
        found = [each for each in page if where.fits(each.event)][:limit]
        yield found
        if limit is not None:
            limit -= len(found)
            if not limit:
                return


def find(store: Store, id: str, source: str | None = None) -> StoredEvent:
    """Return the event with an id, or with the only id that begins so.

    Raises:
        UnknownEventIdError: there is none.
        AmbiguousEventIdError: there are several, of several sources or with this beginning.
    """
    # One more than an error names. Each may be large.
    most = _MOST_NAMED + 1
    exact = chain.from_iterable(every_page(store, EventFilter(id=id, source=source), limit=most))
    found = list(islice(exact, most)) or store.beginning_with(id, source=source, limit=most)
    if len(found) == 1:
        return found[0]
    raise _ambiguous(id, found) if found else _unknown(store, id)


def trace(store: Store, id: str, source: str | None = None) -> Conversation:
    """Return the conversation of an event, or the one with this correlation id.

    Raises:
        UnknownEventIdError: there is none.
        AmbiguousEventIdError: the id is not clear, see `find`.
    """
    # The event that it is named after may be pruned.
    own = id
    events = [] if store.page(EventFilter(id=id), limit=1) else _conversation(store, own)
    if not events:
        own = find(store, id, source).event.correlation_id
        events = _conversation(store, own)
    return conversation_of(own, events, fates_of(store, events))


def _conversation(store: Store, correlation_id: str) -> list[StoredEvent]:
    return list(chain.from_iterable(every_page(store, EventFilter(correlation_id=correlation_id))))


def fates_of(store: Store, events: Sequence[StoredEvent]) -> Iterator[Fate]:
    """Return the fates of events; those with the same id from elsewhere may be among them."""
    for begin in range(0, len(events), PAGE):
        yield from store.fates_of({each.event.id for each in events[begin : begin + PAGE]})


def _ambiguous(id: str, found: Sequence[StoredEvent]) -> AmbiguousEventIdError:
    error = AmbiguousEventIdError(
        f"{len(found)}{' or more' if len(found) > _MOST_NAMED else ''} events have the id "
        f"'{name(id)}', or one that begins so: give more of it, or --source"
    )
    for each in found[:_MOST_NAMED]:
        event = each.event
        error.add_note(f"{name(event.id)}  {name(event.type)}  from {name(event.source)}")
    if len(found) > _MOST_NAMED:
        error.add_note("and more")
    return error


def _unknown(store: Store, id: str) -> UnknownEventIdError:
    text = f"no event with the id '{name(id)}' is in {store}"
    if told := len(store.fates_of([id])):
        return UnknownEventIdError(
            f"{text}, but {told} fates were told of it: it was pruned, or not recorded (yet)"
        )
    return UnknownEventIdError(
        f"{text}: `qt-events history list --since 1h` shows what was recorded; it may be pruned, "
        "or in another history"
    )
