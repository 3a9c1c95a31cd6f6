"""The ledger: the sum of entries of publishers and handlers."""

import asyncio
import json
import multiprocessing
import os
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from qt_events.delivery.publishing.published import Published
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import InvalidOptionError, PublishTimeoutError
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from qt_events.testing.ledger import FOLDER, Account, Entry, Kind, Ledger, Line, Load, Totals

BOTH = {"one": "order.#", "two": "order.placed"}


def totals(*entries: tuple[Any, ...]) -> Totals:
    """Return the totals of entries at 1 s, 2 s, ..."""
    added = Totals()
    for at, (kind, event, about, *why) in enumerate(entries, 1):
        added.add([Entry(Kind(kind), event, about, float(at), "".join(why))])
    return added


def account(*entries: tuple[Any, ...], subscriptions: dict[str, str] | None = None) -> Account:
    return totals(*entries).account({"one": "#"} if subscriptions is None else subscriptions)


ATTEMPTED, CONFIRMED = ("attempted", "1", "order.placed"), ("confirmed", "1", "")
HANDLED, DEAD = ("handled", "1", "one"), ("dead", "1", "one")
FAILED = ("failed", "1", "PublishTimeoutError")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((ATTEMPTED, CONFIRMED, HANDLED), Line(events=1, ok=1)),
        ((ATTEMPTED, HANDLED, CONFIRMED), Line(events=1, ok=1)),
        ((ATTEMPTED, CONFIRMED, DEAD), Line(events=1, ok=1, dead=1)),
        ((ATTEMPTED, CONFIRMED, DEAD, HANDLED), Line(events=1, ok=1)),
        ((ATTEMPTED, CONFIRMED), Line(events=1, lost=1)),
        ((ATTEMPTED, CONFIRMED, HANDLED, HANDLED, HANDLED), Line(events=1, ok=1, duplicated=2)),
        ((ATTEMPTED, FAILED), Line(events=1, failed=1)),
        ((ATTEMPTED, FAILED, HANDLED), Line(events=1, recovered=1)),
        ((ATTEMPTED, HANDLED), Line(events=1, recovered=1)),
        ((ATTEMPTED, FAILED, ATTEMPTED, CONFIRMED, HANDLED), Line(events=1, ok=1)),
        ((HANDLED,), Line(unexpected=1)),
        ((), Line()),
    ],
)
def test_every_delivery_has_its_place(entries: tuple[Any, ...], expected: Line) -> None:
    """The places are those of Jepsen's total-queue."""
    assert account(*entries).total == expected


def test_a_delivery_is_owed_to_each_subscription_that_hears_the_event() -> None:
    """Other subscriptions are owed nothing."""
    found = account(ATTEMPTED, CONFIRMED, HANDLED, ("handled", "1", "three"), subscriptions=BOTH)
    assert (found.total.ok, found.lost, found.unexpected) == (1, (("two", "1"),), (("three", "1"),))


def test_what_is_owed_is_known_while_it_runs() -> None:
    """Deliveries that are confirmed and without an outcome so far are owed."""
    assert [totals(*entries).open(BOTH) for entries in [(ATTEMPTED,), (ATTEMPTED, CONFIRMED)]] == [
        0,
        2,
    ]
    assert totals(ATTEMPTED, CONFIRMED, HANDLED, ("dead", "1", "two")).open(BOTH) == 0


@pytest.mark.parametrize(
    ("entries", "since", "expected"),
    [
        ((), 0, 0),
        # It may be published again
        ((ATTEMPTED,), 2, 2),
        # And now no more
        ((ATTEMPTED, FAILED), 2, 0),
        # A worker may hold it
        ((ATTEMPTED, CONFIRMED), 2, 2),
        # By `one` it was handled
        ((ATTEMPTED, CONFIRMED, HANDLED), 4, 1),
        # Just now, and the broker may not know
        ((ATTEMPTED, CONFIRMED, HANDLED), 3, 2),
        ((ATTEMPTED, CONFIRMED, HANDLED, ("dead", "1", "two")), 5, 0),
    ],
)
def test_what_a_fault_may_double_is_known_as_it_strikes(
    entries: tuple[Any, ...], since: float, expected: int
) -> None:
    """Count what is on its way to the broker, to a handler, or back."""
    assert totals(*entries).in_flight(BOTH, since) == expected


def test_a_fault_doubles_no_more_of_what_is_owed_than_workers_hold() -> None:
    """The rest waits on the broker."""
    owed = [
        ("attempted", "1", "order.placed"),
        ("confirmed", "1", ""),
        ("attempted", "2", "order.placed"),
    ]
    assert [totals(*owed).in_flight(BOTH, 9, held) for held in (0, 1, 5)] == [2, 3, 4]


def test_figures_go_to_the_fault_that_struck_last() -> None:
    """Events count by when they were published, duplicates by when they came."""
    found = account(
        ATTEMPTED, CONFIRMED, HANDLED, ("fault", "a kill", ""), HANDLED, ("attempted", "2", "x")
    )
    assert found.lines["(before any)"] == Line(events=1, ok=1)
    assert found.lines["a kill"] == Line(struck=1, events=1, duplicated=1, failed=1)


def test_the_verdict_names_what_is_lost() -> None:
    """The error shows the whole account."""
    account(ATTEMPTED, CONFIRMED, HANDLED).verify()
    with pytest.raises(AssertionError, match=r"(?s)1 lost: 1 of one\n\| fault"):
        account(ATTEMPTED, CONFIRMED).verify()


def test_the_verdict_names_what_is_unexpected() -> None:
    """An event that was never published is unexpected."""
    with pytest.raises(AssertionError, match="1 unexpected: 1 of one"):
        account(HANDLED).verify()


def test_a_dead_letter_of_what_was_never_published_is_unexpected() -> None:
    """One for a wrong subscription is too. It counts for the fault before it was found."""
    with pytest.raises(AssertionError, match="1 unexpected: 1 of one"):
        account(DEAD).verify()
    found = account(
        ATTEMPTED,
        CONFIRMED,
        DEAD,
        ("fault", "a kill", ""),
        ("dead", "1", "two"),
        ("dead", "1", "two"),
    )
    assert found.unexpected == (("two", "1"),)
    assert found.lines["a kill"] == Line(struck=1, unexpected=1)


def test_duplicates_are_allowed_up_to_what_was_in_flight() -> None:
    """Delivery is at least once, so duplicates are no loss."""
    found = account(ATTEMPTED, CONFIRMED, HANDLED, HANDLED, HANDLED)
    found.verify()
    found.verify(duplicates=2)
    with pytest.raises(AssertionError, match="2 handled twice, more than the 1"):
        found.verify(duplicates=1)


def test_a_run_in_which_nothing_happened_is_no_success() -> None:
    """A subscription that hears nothing fails the check too: its pattern may be mistyped."""
    with pytest.raises(AssertionError, match="nothing was confirmed that one hears"):
        account().verify()
    with pytest.raises(AssertionError, match="nothing was confirmed that two hears"):
        account(
            ATTEMPTED, CONFIRMED, HANDLED, subscriptions={"one": "order.#", "two": "odrer.#"}
        ).verify()


def test_a_dead_letter_for_another_reason_than_expected_is_no_success() -> None:
    """An innocent event may have become one."""
    found = account(ATTEMPTED, CONFIRMED, (*DEAD, "poison"))
    found.verify()
    found.verify(dead={"one": {"poison"}})
    with pytest.raises(AssertionError, match="1 dead letters of one: poison"):
        found.verify(dead={"one": {"exhausted"}})


def test_publishes_that_were_never_answered_are_counted() -> None:
    """A publish has no answer when its process was killed."""
    assert account(ATTEMPTED).unanswered == 1


def test_an_account_is_a_table_and_json() -> None:
    """The table is for a page, JSON for programs."""
    found = account(
        ATTEMPTED, CONFIRMED, HANDLED, ("fault", "a kill", ""), ("attempted", "2", "x"), FAILED
    )
    assert [line.split("|")[1].strip() for line in str(found).splitlines()[2:5]] == [
        "(before any)",
        "a kill",
        "together",
    ]
    assert str(found).endswith("publishes that failed: 1 PublishTimeoutError")
    assert json.loads(json.dumps(found.as_dict()))["total"]["ok"] == 1


# The files


def test_entries_of_all_processes_are_read_once(tmp_path: Path) -> None:
    """Each process has a file, a forked child too."""
    ledger = Ledger(tmp_path / "made")
    ledger.note(Kind.ATTEMPTED, "1", "order.placed")
    ledger.note(Kind.CONFIRMED, "1")
    child = multiprocessing.get_context("fork").Process(
        target=ledger.note, args=(Kind.HANDLED, "1", "one")
    )
    assert ledger.open({"one": "#"}) == 1
    child.start()
    child.join()
    assert len(list(ledger.folder.iterdir())) == 2
    assert (ledger.open({"one": "#"}), ledger.account({"one": "#"}).total) == (
        0,
        Line(events=1, ok=1),
    )
    assert [ledger.in_flight({"one": "#"}, within=seconds) for seconds in (60, 0)] == [1, 0]


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """A process is still writing it."""
    ledger = Ledger(tmp_path)
    line = Entry(Kind.ATTEMPTED, "1", "x").line()
    with (tmp_path / "1.entries").open("ab", buffering=0) as file:
        file.write(line[:9])
        assert ledger.account({"one": "#"}).total.events == 0
        file.write(line[9:])
        assert ledger.account({"one": "#"}).total.events == 1


def test_a_worker_finds_the_ledger_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which variable is missing."""
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(InvalidOptionError, match=FOLDER):
        Ledger.current()
    monkeypatch.setitem(os.environ, FOLDER, str(tmp_path))
    assert Ledger.current().folder == tmp_path


# With a bus


class Failing(InMemoryEventBus):
    """Bus that confirms nothing."""

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        raise PublishTimeoutError(str(mandatory))


async def test_handlers_that_keep_the_ledger_are_the_handlers_they_were(tmp_path: Path) -> None:
    """Handlers stay async or sync; one that fails has handled nothing."""
    ledger, heard = Ledger(tmp_path), []

    async def on_loop(event: Event[Any]) -> None:
        heard.append(event)

    def in_thread(event: Event[Any]) -> None:
        heard.append(event)
        raise ValueError

    async with InMemoryEventBus() as bus:
        bus.subscribe("order.placed", ledger.keeping("one", on_loop), name="one")
        bus.subscribe(
            "order.placed",
            ledger.keeping("two", in_thread),
            name="two",
            retry=RetryPolicy(max_attempts=1),
        )
        assert await ledger.publish(bus, Event("order.placed"))
        await bus.join()
        ledger.dead(await bus.dead_letters.list())
    assert len(heard) >= 2
    assert ledger.account(BOTH).total == Line(events=1, ok=2, dead=1)


async def test_a_publish_that_fails_by_name_is_noted(tmp_path: Path) -> None:
    """The note has the error's name."""
    ledger = Ledger(tmp_path)
    assert not await ledger.publish(Failing(), Event("order.placed"))
    assert ledger.account(BOTH).errors == {"PublishTimeoutError": 1}


async def test_a_load_publishes_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """Events are numbered, and each has an answer."""
    ledger = Ledger(tmp_path)
    async with InMemoryEventBus() as bus:
        bus.subscribe("load.#", ledger.keeping("one", lambda _: None), name="one")
        async with Load(bus, ledger, in_flight=5) as load:
            await load.more(100)
        await bus.join()
    found = ledger.account({"one": "load.#"})
    assert found.total == Line(events=load.published, ok=load.published)
    assert found.unanswered == 0
    assert load.published >= 100


async def test_a_load_keeps_to_its_rate(tmp_path: Path) -> None:
    """The rate is the number of events a second, at most."""
    ledger = Ledger(tmp_path)
    async with InMemoryEventBus() as bus, Load(bus, ledger, rate=100) as load:
        began = monotonic()
        await load.more(20)
        assert monotonic() - began >= 0.15


async def test_a_load_is_held_and_goes_on(tmp_path: Path) -> None:
    """The load makes up for the time in which it was held."""
    async with (
        InMemoryEventBus() as bus,
        Load(bus, Ledger(tmp_path), in_flight=2, rate=1000) as load,
    ):
        await load.more(5)
        load.hold()
        await asyncio.sleep(0.05)
        held = load.published
        await asyncio.sleep(0.05)
        assert load.published == held
        load.go_on()
        await load.more(50, timeout=5)


async def test_a_load_that_cannot_make_its_events_says_so(tmp_path: Path) -> None:
    """The error is raised instead of waiting for ever."""

    def make(number: int) -> Event[Any]:
        raise LookupError(number)

    with pytest.raises(LookupError):
        async with InMemoryEventBus() as bus, Load(bus, Ledger(tmp_path), make=make) as load:
            await load.more(1)
