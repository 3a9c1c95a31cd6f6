"""One suite for all stores: what users ask a history for."""

import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from qt_events.delivery.telling.fates import Fate
from qt_events.history import (
    AmbiguousEventIdError,
    EventFilter,
    History,
    InvalidWhereError,
    UnknownEventIdError,
)
from qt_events.history.asking import find, pages, trace
from qt_events.history.conversations.stories import stories_of
from qt_events.history.store import PAGE, Store
from qt_events.history.stores.in_memory_store import InMemoryStore
from qt_events.history.where import Where
from tests.support import conversations
from tests.support.conversations import ORDER, QUOTE, SIGNAL, TRADE
from tests.support.stored import NOON, fate, many, raw


@pytest.fixture
def told(store: Store) -> Store:
    """Return a store with a conversation and its fates, between other events."""
    store.append([*many(3), *conversations.events(), *many(3, first=3)])
    store.append_fates(conversations.fates())
    return store


def ids(store: Store, which: EventFilter, where: str = "", limit: int | None = None) -> list[str]:
    conditions = Where.parse(where) if where else Where()
    found = pages(store, which, conditions, limit=limit)
    return [each.event.id for page in found for each in page]


def test_events_are_found_by_their_last_fate(told: Store) -> None:
    assert ids(told, EventFilter(dead=True)) == [ORDER]
    assert ids(told, EventFilter(retrying=True)) == [TRADE]
    assert ids(told, EventFilter(dead=True, retrying=True)) == []
    assert told.count(EventFilter(dead=True)) == 1


@pytest.mark.parametrize("later", ["sent_back", "discarded", "done"])
def test_a_dead_letter_that_left_is_dead_no_more(told: Store, later: str) -> None:
    told.append_fates([fate(ORDER, "audit", outcome=later, at=NOON + timedelta(minutes=5))])
    assert ids(told, EventFilter(dead=True)) == []


def test_fates_of_the_same_id_from_elsewhere_do_not_count(told: Store) -> None:
    told.append([raw(ORDER, source="elsewhere")])
    assert len(told.page(EventFilter(id=ORDER))) == 2
    assert [each.event.source for each in told.page(EventFilter(dead=True))] == ["tests"]


def test_unhandled_are_those_that_the_subscription_has_not_settled(told: Store) -> None:
    """An event of which it has told nothing is among them: unknown, not handled."""
    of_trades = EventFilter(pattern="trade.executed", unhandled_by="webhook")
    assert ids(told, of_trades) == ["0", "1", "2", "3", "4", "5"]
    by_audit = EventFilter(pattern="order.#", unhandled_by="audit")
    assert ids(told, by_audit) == [ORDER]
    assert ids(told, EventFilter(id=ORDER, unhandled_by="exchange")) == []


def test_pages_end_at_the_limit_whatever_fits(store: Store) -> None:
    store.append(many(2 * PAGE + 10))
    assert len(ids(store, EventFilter())) == 2 * PAGE + 10
    assert len(ids(store, EventFilter(), limit=PAGE + 1)) == PAGE + 1
    assert ids(store, EventFilter(), "size = 10", limit=2) == ["0", "1"]
    assert ids(store, EventFilter(), "size > 10") == []


def test_an_event_is_found_by_the_beginning_of_its_id(told: Store) -> None:
    assert find(told, ORDER).event.id == ORDER
    assert find(told, "ord").event.id == ORDER
    told.append([raw("a%_b"), raw("a%_c\0"), raw("aé\\")])
    assert find(told, "a%_c").event.id == "a%_c\0"
    assert find(told, "aé").event.id == "aé\\"
    with pytest.raises(UnknownEventIdError, match="'%'"):
        find(told, "%")


def test_an_id_that_is_not_clear_lists_what_it_may_be(told: Store) -> None:
    told.append([raw(ORDER, source="elsewhere"), raw("order-2\x1b[31m")])
    with pytest.raises(AmbiguousEventIdError, match="3 events") as error:
        find(told, "order-")
    assert error.value.__notes__ == [
        "order-1  trade.executed  from elsewhere",
        "order-1  order.placed  from tests",
        "order-2\\x1b[31m  trade.executed  from tests",
    ]
    with pytest.raises(AmbiguousEventIdError, match="--source"):
        trace(told, ORDER)
    assert find(told, ORDER, "elsewhere").event.source == "elsewhere"


def test_the_source_of_a_beginning_is_looked_for_among_all(store: Store) -> None:
    """Not only among the first ones that begin so."""
    store.append([raw(f"a{n}", source="elsewhere") for n in range(PAGE)] + [raw("az")])
    assert find(store, "a", "tests").event.id == "az"
    with pytest.raises(AmbiguousEventIdError, match="11 or more") as error:
        find(store, "a")
    assert len(error.value.__notes__) == 11
    assert error.value.__notes__[-1] == "and more"


def test_an_exact_id_is_clear_though_others_begin_so(store: Store) -> None:
    store.append([raw("1"), raw("10")])
    assert find(store, "1").event.id == "1"


def test_an_unknown_id_says_what_to_look_at_next(told: Store) -> None:
    with pytest.raises(UnknownEventIdError, match="history list"):
        find(told, "nowhere")
    told.append_fates([fate("pruned")])
    with pytest.raises(UnknownEventIdError, match="1 fates were told of it"):
        find(told, "pruned")


@pytest.mark.parametrize("id", [QUOTE, SIGNAL, ORDER, TRADE, "trade"])
def test_each_event_shows_the_whole_conversation(told: Store, id: str) -> None:
    """In the order of causes: neither of recording nor of clocks."""
    found = trace(told, id)
    assert [each.id for each in found.steps] == [QUOTE, SIGNAL, ORDER, TRADE]
    assert [each.depth for each in found.steps] == [0, 1, 2, 3]
    names = [story.subscription for story in found.steps[3].stories]
    assert names == ["ledger", "reports", "risk_guard", "webhook"]


def test_a_conversation_is_found_without_its_first_event(store: Store) -> None:
    store.append([each for each in conversations.events() if each.id != QUOTE])
    found = trace(store, QUOTE)
    assert [each.id for each in found.steps] == [QUOTE, SIGNAL, ORDER, TRADE]
    assert found.steps[0].stored is None
    assert found.events == 3


def test_fates_of_a_long_id_are_found(store: Store) -> None:
    long = "x" * 4096
    store.append([raw(long)])
    store.append_fates([fate(long)])
    (step,) = trace(store, long).steps
    assert [story.subscription for story in step.stories] == ["risk_guard"]


async def test_a_history_answers_without_blocking_the_loop(store: Store) -> None:
    history = History()
    history.store = store
    store.append([*conversations.events(), *many(PAGE)])
    store.append_fates(conversations.fates())
    found = [each async for each in history.events(where="size = 10", limit=2)]
    assert [each.event.id for each in found] == [QUOTE, ORDER]
    behind = [each async for each in history.events(after=found[-1].sequence, limit=1)]
    assert [each.event.id for each in behind] == [SIGNAL]
    assert (await history.find("sig")).event.id == SIGNAL
    assert (await history.trace("sig")).events == 4
    assert len(await history.fates(SIGNAL)) == 2
    assert await history.fates(SIGNAL, "elsewhere") == []
    with pytest.raises(InvalidWhereError):
        _ = [each async for each in history.events(where="size >")]


def test_any_number_of_events_takes_no_more_memory(store: Store) -> None:
    """A stream holds a page, never all that it has read."""
    if isinstance(store, InMemoryStore):
        # Here the events themselves are the memory.
        store.append(many(PAGE))
        assert sum(map(len, pages(store))) == PAGE
        return
    total = 20 * PAGE
    for begin in range(0, total, PAGE):
        store.append(many(PAGE, first=begin))
    highest = []
    for limit in (3 * PAGE, total):
        tracemalloc.start()
        assert sum(map(len, pages(store, limit=limit))) == limit
        highest.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert highest[1] < 1.3 * highest[0]


def at(seconds: float, attempt: int, outcome: str, **fields: Any) -> Fate:
    time = NOON + timedelta(seconds=seconds)
    return fate(at=time, attempt=attempt, outcome=outcome, seconds=None, **fields)


#: What one subscription has told, in any order, and the attempt and the outcome that are last.
STORIES: list[tuple[list[Fate], tuple[int, str]]] = [
    # The first attempt's process has a clock that is ahead.
    ([at(5, 1, "retried", delay=1.0), at(2, 2, "done")], (2, "done")),
    ([at(5, 1, "retried"), at(2, 2, "retried"), at(3, 3, "dead")], (3, "dead")),
    ([at(1, 3, "dead"), at(2, 1, "done")], (1, "done")),
    ([at(1, 1, "retried"), at(2, 2, "given_back"), at(3, 2, "retried")], (2, "retried")),
    # An operator begins anew, and a replay does.
    ([at(1, 5, "dead"), at(2, 5, "sent_back"), at(3, 1, "retried")], (1, "retried")),
    ([at(1, 5, "dead"), at(2, 5, "sent_back"), at(3, 1, "done")], (1, "done")),
    ([at(1, 5, "dead"), at(2, 0, "discarded")], (0, "discarded")),
    ([at(1, 2, "done"), at(2, 1, "retried", replayed=True)], (1, "retried")),
    ([at(1, 2, "dead", replayed=True), at(2, 1, "done", replayed=True)], (1, "done")),
    # It waits for its second attempt while a replay goes on.
    ([at(1, 1, "retried"), at(2, 1, "done", replayed=True), at(3, 2, "dead")], (2, "dead")),
]  # fmt: skip


def test_attempts_go_by_their_numbers_and_not_by_clocks(store: Store) -> None:
    """Stores say the same as stories."""
    for n, (fates, last) in enumerate(STORIES):
        for told in (fates, fates[::-1]):
            (story,) = stories_of(told)
            assert (story.last.attempt, story.last.outcome) == last
        store.append([raw(str(n))])
        store.append_fates([each._replace(event_id=str(n)) for each in fates])
    for which, outcome in (
        (EventFilter(dead=True), "dead"),
        (EventFilter(retrying=True), "retried"),
    ):
        expected = [str(n) for n, (_, last) in enumerate(STORIES) if last[1] == outcome]
        assert ids(store, which) == expected
