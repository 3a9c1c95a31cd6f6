"""SqlStore: a history in SQLite or PostgreSQL."""

import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic_core import from_json

from qt_events.databases.columns import index_text, is_cut
from qt_events.delivery.telling.fates import Fate, FateOutcome
from qt_events.errors import MessageError
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.raw import RawEvent
from qt_events.events.topics import matches
from qt_events.history.conversations.stories import BY_OPERATOR, RETRYING, SETTLED
from qt_events.history.errors import ChangedRowError
from qt_events.history.filters import EVERY_EVENT, EventFilter
from qt_events.history.store import (
    PAGE,
    Bookmark,
    Pruned,
    StoredEvent,
    StoreStats,
    number_in_page,
    share_of_page,
)
from qt_events.history.stores.database import Database
from qt_events.history.stores.insertion import Insertion
from qt_events.history.stores.schema import UNFINISHED, bookmarks, events, fates, metadata

# All types by as many look-ups in an index, whatever the number of events.
_TYPES = sa.text(
    "WITH RECURSIVE known(type) AS (SELECT min(type) FROM history_events UNION ALL "
    "SELECT (SELECT min(type) FROM history_events WHERE type > known.type) FROM known "
    "WHERE known.type IS NOT NULL) SELECT type FROM known WHERE type IS NOT NULL"
).columns(events.c.type)
_ATTRIBUTES = tuple(each for each in RawEvent.__dataclass_fields__ if each != "replayed")
_attributes_of = attrgetter(*_ATTRIBUTES)
_EVENTS = sa.select(
    events.c.sequence, events.c.recorded_at, *(events.c[each] for each in _ATTRIBUTES)
)
_SIZE = sa.func.length(events.c.body)
_FATES = sa.select(*(fates.c[each] for each in Fate._fields)).order_by(fates.c.sequence)
# In the words of the index: of a parameter, no database knows before that it fits.
_UNFINISHED = sa.text(f"history_fates.{UNFINISHED}")
# What a value raises that no recorder has written.
_UNREADABLE = (OverflowError, TypeError, ValueError, MessageError)
#: Events that are sooner found in their order than type by type.
_MANY = 50_000
_BOOKMARK = sa.select(*(bookmarks.c[each] for each in Bookmark._fields))

T = TypeVar("T")


class SqlStore:
    """See Store."""

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        """Open nothing yet; `must_exist` refuses to make tables where there are none.

        Raises:
            InvalidHistoryUrlError: the URL has a wrong form.
        """
        self._database = Database(url, must_exist=must_exist)
        dialect = self._database.dialect
        self._events = Insertion(events, ("recorded_at", *_ATTRIBUTES), dialect)
        self._fates = Insertion(fates, Fate._fields, dialect)
        put = dialect.insert(bookmarks)
        changed = {name: put.excluded[name] for name in Bookmark._fields}
        self._put_bookmark = put.on_conflict_do_update(index_elements=["replay_id"], set_=changed)

    def __str__(self) -> str:
        return str(self._database)

    def append(self, events: Sequence[RawEvent]) -> int:
        """See Store."""
        now = datetime.now(UTC)
        return self._add(self._events, [(now, *_attributes_of(event)) for event in events])

    def append_fates(self, fates: Sequence[Fate]) -> int:
        """See Store."""
        return self._add(self._fates, fates)

    def _add(self, insertion: Insertion, rows: Sequence[Sequence[Any]]) -> int:
        if not rows:
            return 0
        with self._database.writing() as connection:
            return insertion.run(connection, rows)

    def page(
        self,
        which: EventFilter = EVERY_EVENT,
        *,
        after: int = 0,
        limit: int = PAGE,
        newest_first: bool = False,
    ) -> list[StoredEvent]:
        """See Store."""
        with self._database.reading() as connection:
            conditions = [
                *self._conditions(connection, which),
                *_behind(which, after, newest_first),
            ]
            order = events.c.sequence.desc() if newest_first else events.c.sequence
            chosen = _sized(limit).where(*conditions).order_by(order).limit(limit)
            found = _read(connection, chosen, events, _with_size)
            number = number_in_page(size for size, _ in found)
            whole = [each for _, each in found[:number] if each is not None]
            if len(whole) == len(found[:number]):
                return whole
            chosen = _EVENTS.where(*conditions).order_by(order).limit(number)
            return _read(connection, chosen, events, _stored)

    def beginning_with(
        self, prefix: str, *, source: str | None = None, limit: int
    ) -> list[StoredEvent]:
        """See Store."""
        # A range of the index: ids are compared by their code points.
        behind = prefix + chr(sys.maxunicode)
        query = _EVENTS.where(events.c.id >= prefix, events.c.id < behind)
        if source is not None:
            query = query.where(events.c.source == source)
        with self._database.reading() as connection:
            chosen = query.order_by(events.c.id, events.c.source).limit(limit)
            return _read(connection, chosen, events, _stored)

    def count(self, which: EventFilter = EVERY_EVENT) -> int:
        """See Store."""
        query = sa.select(sa.func.count()).select_from(events)
        with self._database.reading() as connection:
            return connection.scalar(query.where(*self._conditions(connection, which))) or 0

    def fates_of(self, event_ids: Collection[str]) -> list[Fate]:
        """See Store."""
        named = self._database.dialect.one_of(fates.c.event_id, list(event_ids))
        with self._database.reading() as connection:
            found = _read(connection, _FATES.where(named), fates, Fate)
        # A long id comes back as it is kept: only its beginning.
        texts = {index_text(each): each for each in event_ids}
        whole = {text: each for text, each in texts.items() if is_cut(text)}
        if not whole:
            return found
        return [each._replace(event_id=whole.get(each.event_id, each.event_id)) for each in found]

    def prune(self, which: EventFilter, limit: int = PAGE) -> Pruned:
        """See Store."""
        with self._database.writing() as connection:
            chosen = sa.select(events.c.sequence).where(*self._conditions(connection, which))
            found = list(connection.scalars(chosen.limit(limit)))
            removed = _prune_fates(connection, found)
            connection.execute(sa.delete(events).where(events.c.sequence.in_(found)))
            if not found:
                removed = _prune_strays(connection, which, limit)
            return Pruned(len(found), removed)

    def _conditions(
        self, connection: sa.Connection, which: EventFilter
    ) -> list[sa.ColumnElement[bool]]:
        equal = [events.c[name] == value for name, value in which.equal.items()]
        types = self._of_types(connection, which)
        return [*equal, *_of_time(which), *types, *_of_fates(which)]

    def _of_types(
        self, connection: sa.Connection, which: EventFilter
    ) -> list[sa.ColumnElement[bool]]:
        pattern = which.pattern
        if pattern == "#":
            return []
        if not {"*", "#"}.intersection(pattern.split(".")):
            return [events.c.type == pattern]
        fitting = [each for each in connection.scalars(_TYPES) if matches(pattern, each)]
        dialect = self._database.dialect
        fits: sa.ColumnElement[bool] = dialect.one_of(events.c.type, fitting)
        if which.unhandled_by is None or dialect.ESTIMATES or not _fits_many(connection, fits):
            return [fits]
        # The text added keeps it from the index of types, by which it would read nearly all of the
        # table in no order, for the few events that nobody has handled.
        return [dialect.one_of(events.c.type.concat(""), fitting)]

    def stats(self) -> StoreStats:
        """See Store."""
        by_type = sa.select(events.c.type, sa.func.count()).group_by(events.c.type)
        times = sa.select(sa.func.min(events.c.time), sa.func.max(events.c.time))
        with self._database.reading() as connection:
            types = {row[0]: row[1] for row in connection.execute(by_type)}
            first, last = connection.execute(times).one()
            return StoreStats(
                events=sum(types.values()),
                fates=connection.scalar(sa.select(sa.func.count()).select_from(fates)) or 0,
                bytes=self._database.dialect.size(connection, metadata.tables),
                first=first,
                last=last,
                by_type=dict(sorted(types.items(), key=lambda each: (-each[1], each[0]))),
            )

    def bookmark(self, replay_id: str) -> Bookmark | None:
        """See Store."""
        chosen = _BOOKMARK.where(bookmarks.c.replay_id == replay_id)
        with self._database.reading() as connection:
            row = connection.execute(chosen).one_or_none()
            return None if row is None else Bookmark(*row)

    def keep_bookmark(self, bookmark: Bookmark) -> None:
        """See Store."""
        with self._database.writing() as connection:
            connection.execute(self._put_bookmark, bookmark._asdict())

    def upgrade(self) -> None:
        """See Store."""
        self._database.upgrade()

    def close(self) -> None:
        """See Store."""
        self._database.close()


def _read(
    connection: sa.Connection, chosen: sa.Select[Any], table: sa.Table, make: Callable[..., T]
) -> list[T]:
    """Return what `make` makes of each row."""
    try:
        return [make(*row) for row in connection.execute(chosen).all()]
    except _UNREADABLE:
        # One by one, to tell which it is.
        for number in connection.scalars(chosen.with_only_columns(table.c.sequence)).all():
            try:
                make(*connection.execute(chosen.where(table.c.sequence == number)).one())
            except _UNREADABLE as error:
                raise ChangedRowError(
                    f"the row of {table.name} with sequence = {number} was changed and cannot be "
                    f"read ({error}): mend it, or delete it"
                ) from None
        raise


def _sized(limit: int) -> sa.Select[Any]:
    """Select events with the sizes of their bodies, and the bodies of which `limit` fill no page.

    Nearly all events have such a body: they are read by one query.
    """
    short = sa.case((share_of_page(limit) >= _SIZE, events.c.body))
    return sa.select(_SIZE, *list(_EVENTS.selected_columns)[:-1], short)


def _with_size(size: int, *columns: Any) -> tuple[int, StoredEvent | None]:
    return size, None if columns[-1] is None else _stored(*columns)


def _stored(sequence: int, recorded_at: datetime, *attributes: Any) -> StoredEvent:
    event = RawEvent(*attributes)
    texts = (event.id, event.source, event.correlation_id, event.causation_id or "")
    # Nearly none has a backslash: looked for in all at once.
    if "\\" in "".join(texts) and event.content_type == CONTENT_TYPE and any(map(is_cut, texts)):
        event = RawEvent.of_cloud_event(from_json(event.body), event.body, event.type)
    return StoredEvent(sequence, recorded_at, event)


def _fits_many(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> bool:
    some = sa.select(events.c.sequence).where(condition).limit(_MANY).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(some)) == _MANY


def _behind(
    which: EventFilter,
    after: int,
    newest_first: bool,  # noqa: FBT001
) -> list[sa.ColumnElement[bool]]:
    """Return where a page begins."""
    number = events.c.sequence
    if after:
        return [number < after if newest_first else number > after]
    bounded = which.until if newest_first else which.since
    if bounded is None or which.equal:
        return []
    # Found in the index of times: else all events before it would be read. The sum keeps databases
    # from looking for it in the order of the sequence.
    edge = (sa.func.max if newest_first else sa.func.min)(number + 0)
    found = sa.select(edge).where(*_of_time(which)).scalar_subquery()
    return [number <= found if newest_first else number >= found]


def _of_time(which: EventFilter) -> list[sa.ColumnElement[bool]]:
    since = [] if which.since is None else [events.c.time >= which.since]
    return since + ([] if which.until is None else [events.c.time < which.until])


def _of_fates(which: EventFilter) -> list[sa.ColumnElement[bool]]:
    own = sa.tuple_(events.c.id, events.c.source)
    conditions: list[sa.ColumnElement[bool]] = []
    for wanted, outcomes in ((which.dead, [FateOutcome.DEAD]), (which.retrying, RETRYING)):
        if wanted:
            conditions.append(own.in_(_last_told(outcomes)))
    if which.unhandled_by is not None:
        settled = sa.select(fates.c.sequence).where(
            fates.c.event_id == events.c.id,
            fates.c.event_source == events.c.source,
            fates.c.subscription == which.unhandled_by,
            fates.c.outcome.in_(SETTLED),
        )
        conditions.append(~settled.exists())
    return conditions


def _last_told(outcomes: Collection[str]) -> sa.Select[Any]:
    """Select events of which some subscription has told one of these outcomes last.

    The order is that of qt_events.history.conversations.stories.
    """
    later, acted = fates.alias(), fates.alias()
    between = _same_story(acted).where(
        acted.c.outcome.in_(BY_OPERATOR),
        ((acted.c.at > fates.c.at) & (acted.c.at <= later.c.at))
        | ((acted.c.at > later.c.at) & (acted.c.at <= fates.c.at)),
    )
    # By itself it would be correlated with the select around it alone.
    between = between.correlate(fates, later)
    in_one_delivery = sa.and_(
        *(~each.c.replayed & each.c.outcome.not_in(BY_OPERATOR) for each in (fates, later)),
        ~between.exists(),
    )
    moment = sa.tuple_(later.c.at, later.c.attempt) > sa.tuple_(fates.c.at, fates.c.attempt)
    follows, precedes = (
        one.c.outcome.in_(RETRYING) & (one.c.attempt < other.c.attempt) & in_one_delivery
        for one, other in ((fates, later), (later, fates))
    )
    told_later = _same_story(later).where(follows | (moment & ~precedes))
    chosen = sa.select(fates.c.event_id, fates.c.event_source)
    return chosen.where(_UNFINISHED, fates.c.outcome.in_(outcomes), ~told_later.exists())


def _same_story(other: sa.FromClause) -> sa.Select[Any]:
    """Select other fates of the same event at the same subscription."""
    return sa.select(other.c.sequence).where(
        other.c.event_id == fates.c.event_id,
        other.c.event_source == fates.c.event_source,
        other.c.subscription == fates.c.subscription,
    )


def _prune_fates(connection: sa.Connection, sequences: Sequence[int]) -> int:
    """Remove the fates of events."""
    # Looked up by the events' own columns: a long id, once read, is not found any more.
    told = (fates.c.event_id == events.c.id) & (fates.c.event_source == events.c.source)
    theirs = sa.select(fates.c.sequence).join_from(events, fates, told)
    theirs = theirs.where(events.c.sequence.in_(sequences)).correlate(None)
    return connection.execute(sa.delete(fates).where(fates.c.sequence.in_(theirs))).rowcount


def _prune_strays(connection: sa.Connection, which: EventFilter, limit: int) -> int:
    """Remove fates that were told of events which are not kept, or not any more."""
    if which.equal or which.pattern != "#":
        return 0
    kept = sa.exists().where(events.c.id == fates.c.event_id)
    chosen = sa.select(fates.c.sequence).where(
        ~kept.where(events.c.source == fates.c.event_source),
        *([] if which.since is None else [fates.c.at >= which.since]),
        *([] if which.until is None else [fates.c.at < which.until]),
    )
    strays = list(connection.scalars(chosen.limit(limit)))
    return connection.execute(sa.delete(fates).where(fates.c.sequence.in_(strays))).rowcount
