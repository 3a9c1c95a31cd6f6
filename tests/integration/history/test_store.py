"""One suite for all stores: what a history leans on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qt_events import InvalidPatternError
from qt_events.history.filters import EventFilter
from qt_events.history.store import Bookmark, Pruned, Store, StoredEvent, every_page
from tests.support.stored import NOON, fate, many, raw

MINUTE = timedelta(minutes=1)


def ids(found: list[StoredEvent]) -> list[str]:
    return [each.event.id for each in found]


def test_an_empty_store_says_so(store: Store) -> None:
    stats = store.stats()
    assert (stats.events, stats.fates, stats.first, stats.last) == (0, 0, None, None)
    assert store.page() == []
    assert store.append([]) == 0


def test_an_event_comes_back_as_it_was(store: Store) -> None:
    event = raw(causation_id="0", body=b'{"size":  10}\n', content_type="application/json")
    before = datetime.now(UTC)
    assert store.append([event]) == 1
    (stored,) = store.page()
    assert stored.event == event
    assert before - MINUTE < stored.recorded_at < datetime.now(UTC) + MINUTE


def test_an_event_is_kept_once_by_source_and_id(store: Store) -> None:
    """The first one stays, within a batch, too; another source has ids of its own."""
    first = raw(body=b"{}")
    assert store.append([first, raw(body=b"[]"), raw("2")]) == 2
    assert store.append([raw(body=b"[1]"), raw(source="elsewhere")]) == 1
    assert store.page()[0].event == first
    assert ids(store.page(EventFilter(id="1"))) == ["1", "1"]
    assert ids(store.page(EventFilter(id="1", source="elsewhere"))) == ["1"]


HOSTILE = [
    "' OR 1=1; --",
    '"',
    "nul\0 in it",
    "\0",
    "\\0 no NUL",
    "\\",
    "%_",
    "\ud800 alone",
    "\\ud800",
    "ünïcödé 👩‍👩‍👧 \u202e",
    "\n\r\t\x1b[31m",
    "x" * 4096,
    "x" * 4095 + "y",
    "\0" * 4096,
    "\\" * 4097,
    "👩" * 1024,
    "\\#" + "0" * 32,
]


def test_hostile_ids_are_kept_apart_and_found(store: Store) -> None:
    events = [raw(each, source=each, correlation_id=each, causation_id=each) for each in HOSTILE]
    assert store.append(events) == len(HOSTILE)
    assert store.append(events) == 0
    assert [each.event for each in store.page()] == events
    for each in HOSTILE:
        for name in ("id", "source", "correlation_id", "causation_id"):
            (found,) = store.page(EventFilter(**{name: each}))  # type: ignore[arg-type]
            assert found.event.id == each


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=300))
def test_any_text_is_an_id(store: Store, text: str) -> None:
    event = raw(text, content_type="application/json", body=b"{}")
    store.append([event])
    assert [each.event.id for each in store.page(EventFilter(id=text))] == [text]


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_any_time_is_exact(store: Store, year: int) -> None:
    time = datetime(year, 12, 31, 23, 59, 59, 999999, UTC)
    store.append([raw(time=time)])
    assert store.page()[0].event.time == time
    assert store.stats().first == store.stats().last == time


def test_a_body_may_have_16_mib(store: Store) -> None:
    body = b"\0\xff" * (8 * 1024 * 1024)
    store.append([raw(body=body)])
    assert store.page()[0].event.body == body


def test_pages_follow_each_other_without_gap_or_double(store: Store) -> None:
    store.append(many(7))
    store.append(many(3, first=7))
    pages = list(every_page(store, limit=4))
    assert [len(page) for page in pages] == [4, 4, 2]
    assert [each for page in pages for each in ids(page)] == [str(number) for number in range(10)]
    numbers = [each.sequence for page in pages for each in page]
    assert numbers == sorted(set(numbers))
    assert ids(store.page(after=numbers[4], limit=2)) == ["5", "6"]


def test_events_are_found_by_each_attribute_and_by_all(store: Store) -> None:
    store.append(
        [
            raw("1", "trade.executed"),
            raw("2", "trade.cancelled", time=NOON + MINUTE, correlation_id="1", causation_id="1"),
            raw("3", "policy.updated", time=NOON + 2 * MINUTE, correlation_id="1"),
            raw("4", "trade", source="feed"),
        ]
    )

    def found(**conditions: object) -> list[str]:
        which = EventFilter(**conditions)  # type: ignore[arg-type]
        assert store.count(which) == len(store.page(which))
        return ids(store.page(which))

    assert found() == ["1", "2", "3", "4"]
    assert found(pattern="trade.#") == ["1", "2", "4"]
    assert found(pattern="trade.*") == ["1", "2"]
    assert found(pattern="trade.executed") == ["1"]
    assert found(pattern="order.#") == []
    assert found(since=NOON + MINUTE) == ["2", "3"]
    assert found(until=NOON + MINUTE) == ["1", "4"]
    assert found(source="feed") == ["4"]
    assert found(correlation_id="1") == ["1", "2", "3"]
    assert found(causation_id="1") == ["2"]
    assert found(pattern="trade.#", correlation_id="1", since=NOON + MINUTE) == ["2"]


def test_a_wrong_pattern_is_refused_by_name() -> None:
    with pytest.raises(InvalidPatternError, match=r"trade\.\.executed"):
        EventFilter(pattern="trade..executed")


def test_fates_are_kept_once_and_come_back_in_order(store: Store) -> None:
    failed = fate(outcome="retried", reason="ValueError", message="nul\0", delay=1.5, replayed=True)
    done = fate(attempt=2, at=NOON + MINUTE)
    assert store.append_fates([failed, done, failed]) == 2
    assert store.append_fates([done, fate("2"), fate(subscription="audit")]) == 2
    assert store.fates_of(["1"]) == [failed, done, fate(subscription="audit")]
    assert store.fates_of(["1", "2"]) == [failed, done, fate("2"), fate(subscription="audit")]
    assert store.fates_of([]) == store.fates_of(["3"]) == []
    assert store.stats().fates == 4


def test_numbers_of_one_batch_may_be_whole_or_not(store: Store) -> None:
    """JSON makes 1 of 1.0; a causation is named by some events of a batch only."""
    times = [1, 0.5, None, 2.0]
    assert store.append_fates([fate(f"{n}", seconds=time) for n, time in enumerate(times)]) == 4
    assert [each.seconds for each in store.fates_of(["0", "1", "2", "3"])] == times
    events = [raw(), raw("2", causation_id="1"), raw("3")]
    assert store.append(events) == 3
    assert [each.event for each in store.page()] == events


def test_pruning_removes_events_with_their_fates_a_few_at_a_time(store: Store) -> None:
    store.append(many(5))
    store.append_fates([fate(str(number)) for number in range(5)])
    old = EventFilter(until=NOON + timedelta(seconds=3))
    assert store.prune(old, limit=2) == Pruned(2, 2)
    assert store.prune(old, limit=2) == Pruned(1, 1)
    assert ids(store.page()) == ["3", "4"]
    assert [each.event_id for each in store.fates_of(["0", "1", "2", "3", "4"])] == ["3", "4"]


def test_pruning_removes_old_fates_of_no_event(store: Store) -> None:
    store.append([raw()])
    store.append_fates([fate(), fate("gone"), fate("other", event_type="policy.updated")])
    store.append_fates([fate("late", at=NOON + MINUTE)])
    old, of_type = EventFilter(until=NOON + MINUTE), EventFilter(pattern="trade.#")
    assert store.prune(of_type) == Pruned(1, 1)
    assert store.prune(of_type) == Pruned(0, 0)
    assert store.prune(old, limit=1) == Pruned(0, 1)
    assert store.prune(old) == Pruned(0, 1)
    assert store.prune(old) == Pruned(0, 0)
    assert [each.event_id for each in store.fates_of(["gone", "other", "late"])] == ["late"]


def test_a_sequence_is_never_used_twice(store: Store) -> None:
    """A reader's place stays right when what it has read last is pruned."""
    store.append([raw()])
    (last,) = store.page()
    store.prune(EventFilter())
    store.append([raw("2")])
    assert ids(store.page(after=last.sequence)) == ["2"]


def test_stats_count_by_type(store: Store) -> None:
    store.append([*many(3), raw("9", "policy.updated", time=NOON + MINUTE)])
    store.append_fates([fate()])
    stats = store.stats()
    assert (stats.events, stats.fates) == (4, 1)
    assert stats.bytes > 0
    assert (stats.first, stats.last) == (NOON, NOON + MINUTE)
    assert list(stats.by_type.items()) == [("trade.executed", 3), ("policy.updated", 1)]


def test_a_bookmark_is_kept_in_place_of_the_earlier_one(store: Store) -> None:
    assert store.bookmark("r1") is None
    first = Bookmark("r1", "risk_guard", '{"type": "#"}', 5, NOON)
    store.keep_bookmark(first)
    store.keep_bookmark(first._replace(replay_id="r2"))
    store.keep_bookmark(first._replace(sequence=9, updated_at=NOON + MINUTE))
    assert store.bookmark("r1") == first._replace(sequence=9, updated_at=NOON + MINUTE)
    assert store.bookmark("r2") == first._replace(replay_id="r2")


def test_pruning_removes_the_fates_of_long_ids_and_sources(store: Store) -> None:
    """And those of no other source."""
    long = {"id": "i" * 4_000, "source": "s" * 4_000}
    store.append([raw(**long), raw("2", source="q'\\\0\"")])
    store.append_fates([fate(long["id"], event_source=long["source"]), fate("2")])
    store.append_fates([fate("2", event_source="q'\\\0\"")])
    assert store.prune(EventFilter(pattern="trade.#")) == (2, 2)
    assert store.fates_of(["2"]) == [fate("2")]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_page_is_bounded_by_bytes_but_none_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    sizes = [400, 400, 400, 5_000, 400, 600, 1]
    store.append([raw(str(number), body=b"x" * size) for number, size in enumerate(sizes)])
    monkeypatch.setattr("qt_events.history.store.PAGE_BYTES", 1_000)
    found = [ids(page) for page in every_page(store, newest_first=newest_first)]
    if newest_first:
        assert found == [["6", "5"], ["4"], ["3"], ["2", "1"], ["0"]]
    else:
        assert found == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]


def test_pages_go_from_the_newest_to_the_oldest(store: Store) -> None:
    store.append(many(10))
    since, until = NOON + timedelta(seconds=2), NOON + timedelta(seconds=7)
    page = store.page(limit=2, newest_first=True)
    assert ids(page) == ["9", "8"]
    assert ids(store.page(limit=2, newest_first=True, after=page[-1].sequence)) == ["7", "6"]
    some = EventFilter(since=since, until=until)
    assert ids(store.page(some, newest_first=True, limit=3)) == ["6", "5", "4"]
    assert ids(store.page(some, limit=3)) == ["2", "3", "4"]
    assert store.page(EventFilter(since=NOON + timedelta(days=1))) == []
