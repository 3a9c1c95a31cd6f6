"""Contender that asks a large history: one conversation, listed and traced."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.trade import fields
from qt_events import RawEvent, TradeExecutedEvent
from qt_events.delivery.telling.fates import Fate
from qt_events.history import EventFilter, History
from qt_events.history.asking import fates_of, pages, trace
from qt_events.history.store import Store
from workers.fleet.postgres import PrivatePostgres

ASKED = "asked"  #: correlation id of the conversation that is asked for
CONVERSATION = 1_000
_BATCH, _TIMES = 10_000, 21
_SUBSCRIPTIONS = ("ledger", "risk_guard", "webhook")


def ask(server: int, count: int) -> dict[str, float]:
    """Fill a store on SQLite or on a `server`; return the median milliseconds of each question."""
    with TemporaryDirectory() as folder:
        if not server:
            return _asked(f"sqlite:///{Path(folder)}/events.db", count)
        with PrivatePostgres() as running:
            return _asked(running.url, count)


def _asked(url: str, count: int) -> dict[str, float]:
    with closing(History(url).store) as store:
        for begin in range(0, count, _BATCH):
            store.append(list(_events(begin, min(begin + _BATCH, count), count)))
        told = store.page(EventFilter(correlation_id=ASKED), limit=CONVERSATION)
        store.append_fates([fate for each in told for fate in _fates(each.event)])
        return {
            "list_ms": _median(lambda: _list(store)),
            "trace_ms": _median(lambda: trace(store, ASKED)),
        }


def _events(begin: int, end: int, count: int) -> Iterator[RawEvent]:
    """Return events; those of one conversation are spread over all, each caused by another."""
    one = RawEvent.of(TradeExecutedEvent.create(**fields(0)))
    apart = max(1, count // CONVERSATION)
    for number in range(begin, end):
        place, rest = divmod(number, apart)
        if rest or place >= CONVERSATION:
            yield replace(one, id=f"{number}", correlation_id=f"other-{number // 10}")
        else:
            cause = f"{place // 3 * apart}" if place else None
            yield replace(one, id=f"{number}", correlation_id=ASKED, causation_id=cause)


def _fates(event: RawEvent) -> Iterator[Fate]:
    for name in _SUBSCRIPTIONS:
        now = datetime.now(UTC)
        yield Fate(event.id, event.source, event.type, 1, now, "done", 0.01, subscription=name)


def _list(store: Store) -> None:
    found = list(chain.from_iterable(pages(store, EventFilter(correlation_id=ASKED), limit=50)))
    list(fates_of(store, found))


def _median(question: Callable[[], object]) -> float:
    question()
    seconds = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - began)
    return 1e3 * median(seconds)
