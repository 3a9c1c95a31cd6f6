"""Replay of a history to one subscription of a bus in memory, on all stores."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events import Event, InMemoryEventBus
from qt_events.dead_letters.scan import Progress
from qt_events.delivery.telling.fates import Fate
from qt_events.errors import (
    BrokerError,
    InvalidEventError,
    InvalidOptionError,
    NotSupportedError,
    UnknownSubscriptionError,
)
from qt_events.events.raw import RawEvent
from qt_events.history import (
    EventFilter,
    History,
    HistoryError,
    HistoryUnavailableError,
    UnheardPatternError,
)
from qt_events.history.errors import InvalidWhereError
from qt_events.history.recorder import Recorder
from qt_events.history.replaying.replay import BATCH
from qt_events.history.store import PAGE, Store
from tests.support import stored
from tests.support.stored import NOON

DEALS = EventFilter(pattern="deal.#")


def raw(id: str, type: str = "deal.executed", **attributes: Any) -> RawEvent:
    """Return an event without a class."""
    return stored.raw(id, type, **attributes)


def many(count: int, first: int = 0) -> list[RawEvent]:
    """Return events a second apart; the first one's id is `first`."""
    numbers = range(first, first + count)
    return [raw(str(number), time=NOON + timedelta(seconds=number)) for number in numbers]


class Killed(BaseException):
    """End of a process in mid-replay."""


class Desk:
    """A bus with a subscription `desk`, and what it was given."""

    def __init__(self) -> None:
        self.bus, self.heard, self.beside = InMemoryEventBus(), list[Event[Any]](), list[str]()
        self.bus.subscribe("deal.executed", self.heard.append, name="desk")
        self.bus.subscribe("deal.#", lambda event: self.beside.append(event.id), name="beside")
        self.bus.subscribe("#", self.heard.append, name="all", broadcast=True)

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.heard]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with made.bus:
        yield made


@pytest.fixture
def history(store: Store) -> History:
    made = History()
    made.store, made.recorder = store, Recorder(store)
    return made


async def test_events_come_again_to_one_subscription_as_they_were_and_marked(
    history: History, desk: Desk
) -> None:
    """Those of a type that it does not hear are left out, and counted; nothing is recorded."""
    history.store.append([*many(3), raw("c", "deal.cancelled"), raw("p", "price.updated")])
    told = list[Progress]()
    replayed = await history.replay(desk.bus, "desk", DEALS, on_progress=told.append)
    await desk.bus.join()
    assert desk.ids == ["0", "1", "2"]
    assert desk.beside == []
    first = desk.heard[0]
    assert (first.source, first.timestamp, first.replayed) == ("tests", NOON, True)
    assert first.replay_id == replayed.replay_id
    assert replayed[1:] == ("desk", 3, 0, 1, 0)
    assert told == [Progress(4, 3, 1)]
    assert history.store.count() == 5


async def test_a_filter_and_conditions_choose_the_events(history: History, desk: Desk) -> None:
    history.store.append(many(10))
    which = EventFilter(since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=8))
    found = await history.replay(desk.bus, "desk", which, where="size = 10", dry_run=True)
    assert (found.sent, desk.ids) == (6, [])
    assert (await history.replay(desk.bus, "desk", which, where=["size > 10"])).sent == 0
    assert (await history.replay(desk.bus, "desk", which, where="size = 10")).sent == 6
    await desk.bus.join()
    assert desk.ids == ["2", "3", "4", "5", "6", "7"]


async def test_its_fates_are_told_and_it_is_not_recorded_again(
    history: History, desk: Desk
) -> None:
    history.attach(desk.bus)
    await desk.bus.publish(Event("deal.executed", NOON, id="e"))
    await desk.bus.join()
    replayed = await history.replay(desk.bus, "desk")
    await desk.bus.join()

    def own(fate: Fate) -> bool:
        return fate.subscription == "desk"

    assert replayed.sent == 1
    fates = filter(own, await history.fates("e"))
    assert [fate.replayed for fate in fates] == [False, True]
    assert await history.count(EventFilter()) == 1


async def test_a_replay_goes_on_behind_its_bookmark_and_a_finished_one_sends_nothing(
    history: History, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one batch comes twice."""
    history.store.append(many(5 * BATCH))
    redeliver_all = desk.bus.redeliver_all

    async def die(events: list[RawEvent], subscription: str, *, replay_id: str) -> Any:
        errors = await redeliver_all(events, subscription, replay_id=replay_id)
        if events[-1].id == str(3 * BATCH - 1):
            raise Killed
        return errors

    with monkeypatch.context() as patched:
        patched.setattr(desk.bus, "redeliver_all", die)
        with pytest.raises(Killed):
            await history.replay(desk.bus, "desk", DEALS, replay_id="monday")
    await desk.bus.join()
    sent = len(desk.ids)
    # What was recorded meanwhile the subscription got by itself.
    again = await history.replay(desk.bus, "desk", replay_id="monday")
    before = again.sent_before
    assert again.sent == 5 * BATCH
    assert 2 * BATCH <= before < 3 * BATCH <= sent <= before + BATCH
    await desk.bus.join()
    numbers = [*range(sent), *range(before, 5 * BATCH)]
    assert desk.ids == list(map(str, numbers))
    history.store.append(many(1, 5 * BATCH))
    finished = await history.replay(desk.bus, "desk", DEALS, replay_id="monday")
    await desk.bus.join()
    assert (finished.sent, finished.sent_before) == (5 * BATCH, 5 * BATCH)
    assert len(desk.ids) == len(numbers)


async def test_a_cancelled_replay_ends_between_two_batches(history: History, desk: Desk) -> None:
    history.store.append(many(3 * BATCH))
    task: asyncio.Task[Any] | None = None

    def cancel(_: Progress) -> None:
        assert task is not None
        task.cancel()

    task = asyncio.create_task(
        history.replay(desk.bus, "desk", replay_id="monday", on_progress=cancel)
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    again = await history.replay(desk.bus, "desk", replay_id="monday")
    assert again.sent == 3 * BATCH
    assert 0 < again.sent_before <= BATCH
    await desk.bus.join()
    assert desk.ids == [str(number) for number in range(3 * BATCH)]


async def test_an_error_of_the_broker_says_how_to_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    history.store.append(many(2 * BATCH))
    redeliver_all = desk.bus.redeliver_all

    async def fail(events: list[RawEvent], subscription: str, *, replay_id: str) -> Any:
        if events[0].id == str(BATCH):
            raise BrokerError("away")
        return await redeliver_all(events, subscription, replay_id=replay_id)

    with monkeypatch.context() as patched:
        patched.setattr(desk.bus, "redeliver_all", fail)
        with pytest.raises(BrokerError) as raised:
            await history.replay(desk.bus, "desk", replay_id="monday")
    [note] = raised.value.__notes__
    assert note.startswith(f"{BATCH} events were sent; begun again with replay_id='monday'")
    again = await history.replay(desk.bus, "desk", replay_id="monday")
    assert (again.sent, again.sent_before) == (2 * BATCH, BATCH)


async def test_nothing_counts_behind_what_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent after it is sent again, with it."""
    history = History()
    history.store.append(many(BATCH))
    redeliver_all, both = desk.bus.redeliver_all, asyncio.Barrier(2)

    async def fail(events: list[RawEvent], subscription: str, *, replay_id: str) -> Any:
        await both.wait()
        if events[0].id == "0":
            raise BrokerError("away")
        return await redeliver_all(events, subscription, replay_id=replay_id)

    with monkeypatch.context() as patched:
        patched.setattr(desk.bus, "redeliver_all", fail)
        with pytest.raises(BrokerError):
            await history.replay(desk.bus, "desk", replay_id="monday")
    again = await history.replay(desk.bus, "desk", replay_id="monday")
    assert (again.sent, again.sent_before) == (BATCH, 0)
    await desk.bus.join()
    assert desk.ids == [str(n) for n in (*range(BATCH // 2, BATCH), *range(BATCH))]


async def test_a_page_that_cannot_be_read_either_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two things fail, one is raised: asyncio says nothing of the other."""
    history = History()
    history.store.append(many(2 * PAGE))
    page, is_read = history.store.page, threading.Event()

    def unreadable(*args: Any, **options: Any) -> Any:
        if not options.get("after"):
            return page(*args, **options)
        is_read.set()
        raise HistoryUnavailableError("the disk is gone")

    async def fail(*_: Any, **__: Any) -> Any:
        await asyncio.to_thread(is_read.wait, 10)
        raise BrokerError("away")

    monkeypatch.setattr(history.store, "page", unreadable)
    monkeypatch.setattr(desk.bus, "redeliver_all", fail)
    with pytest.raises(BrokerError, match="away"):
        await history.replay(desk.bus, "desk", replay_id="monday")
    gc.collect()
    [said] = caplog.messages
    assert said == (
        "the replay 'monday' ends, and its next page could not be read either: the disk is gone"
    )


async def test_a_replay_waits_while_the_bus_holds_as_many_events_as_it_may() -> None:
    """Any number of events is replayed in memory without being held there at once."""
    history, most, held = History(), 100, list[int]()
    history.store.append(many(3 * BATCH))
    bus = InMemoryEventBus(max_queue_size=most)

    async def on_deal(_: Event) -> None:
        held.append(bus.get_stats()["queue_size"])
        await asyncio.sleep(0)

    bus.subscribe("#", on_deal, name="desk")
    async with bus:
        assert (await history.replay(bus, "desk")).sent == 3 * BATCH
        await bus.join()
    assert len(held) == 3 * BATCH
    assert max(held) <= most + BATCH


async def test_a_replay_is_for_what_was_recorded_before_it(
    history: History, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would meet what is recorded later a second time, whenever that was published."""
    ahead = datetime.now(UTC) + timedelta(days=1)
    history.store.append([*many(1), raw("ahead", time=ahead)])
    redeliver_all = desk.bus.redeliver_all

    async def meanwhile(events: list[RawEvent], subscription: str, *, replay_id: str) -> Any:
        history.store.append([raw(f"late-{each.id}") for each in events])
        return await redeliver_all(events, subscription, replay_id=replay_id)

    monkeypatch.setattr(desk.bus, "redeliver_all", meanwhile)
    assert (await history.replay(desk.bus, "desk", replay_id="monday")).sent == 2
    assert (await history.replay(desk.bus, "desk", replay_id="monday")).sent == 2
    await desk.bus.join()
    assert desk.ids == ["0", "ahead"]


@pytest.mark.parametrize(("subscription", "which", "error", "words"), [
    ("nobody", DEALS, UnknownSubscriptionError, "'nobody'"),
    ("all", DEALS, NotSupportedError, "'all' is a broadcast"),
    ("desk", EventFilter(pattern="price.#"), UnheardPatternError,
     r"'desk' does not hear 'price\.#', but 'deal\.executed'"),
])  # fmt: skip
async def test_what_cannot_be_replayed_is_refused_by_name(
    desk: Desk, subscription: str, which: EventFilter, error: type[Exception], words: str
) -> None:
    """Even if it is only asked how many it would be, of none."""
    with pytest.raises(error, match=words):
        await History().replay(desk.bus, subscription, which, dry_run=True)


async def test_wrong_options_are_refused_by_name(desk: Desk) -> None:
    history = History()
    with pytest.raises(InvalidOptionError, match="rate"):
        await history.replay(desk.bus, "desk", rate=0)
    with pytest.raises(InvalidEventError, match="replay_id"):
        await history.replay(desk.bus, "desk", replay_id="a\nb")
    with pytest.raises(InvalidWhereError):
        await history.replay(desk.bus, "desk", where="=")


async def test_one_id_is_one_request(history: History, desk: Desk) -> None:
    history.store.append(many(2))
    await history.replay(desk.bus, "desk", DEALS, replay_id="monday")
    for subscription, which in (("beside", DEALS), ("desk", EventFilter(id="1"))):
        with pytest.raises(InvalidOptionError, match="'monday' was begun for 'desk'"):
            await history.replay(desk.bus, subscription, which, replay_id="monday")


async def test_a_bookmark_that_somebody_changed_is_a_named_error(desk: Desk) -> None:
    history = History()
    await history.replay(desk.bus, "desk", replay_id="monday")
    bookmark = history.store.bookmark("monday")
    assert bookmark is not None
    for text in ("", "{}", "[]", '{"which": {"pattern": "a..b"}}'):
        history.store.keep_bookmark(bookmark._replace(request=text))
        with pytest.raises(HistoryError, match="'monday'"):
            await history.replay(desk.bus, "desk", replay_id="monday")


async def test_what_it_does_not_hear_is_sent_if_that_is_asked_for(desk: Desk) -> None:
    history = History()
    history.store.append([raw("p", "price.updated")])
    replayed = await history.replay(
        desk.bus, "desk", EventFilter(pattern="price.#"), even_unheard=True
    )
    assert (replayed.sent, replayed.unheard) == (1, 0)


async def test_an_event_that_cannot_be_decoded_stops_no_replay(desk: Desk) -> None:
    history = History()
    body: dict[str, Any] = {"body": b"no JSON"}
    history.store.append([raw("0"), raw("1", **body), raw("2")])
    replayed = await history.replay(desk.bus, "desk")
    await desk.bus.join()
    assert (replayed.sent, replayed.unreadable, desk.ids) == (2, 1, ["0", "2"])


async def test_a_rate_is_kept(desk: Desk) -> None:
    """Nothing is sent before its turn; a slow machine is slower."""
    history, times = History(), list[float]()
    history.store.append(many(5))
    loop = asyncio.get_running_loop()

    def note(_: Progress) -> None:
        times.append(loop.time())

    begun = loop.time()
    await history.replay(desk.bus, "desk", rate=40, on_progress=note)
    # Four in a tenth of a second, two at a time.
    assert len(times) == 3
    assert times[-1] - begun >= 0.09


async def test_raw_subscriptions_get_the_body_as_it_was() -> None:
    history, bus, heard = History(), InMemoryEventBus(), list[RawEvent]()
    sent = raw("0")
    history.store.append([sent])
    bus.subscribe("#", heard.append, name="raw", raw=True)
    async with bus:
        await history.replay(bus, "raw")
        await bus.join()
    assert [(each.id, each.replayed) for each in heard] == [("0", True)]
