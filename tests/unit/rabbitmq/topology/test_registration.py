"""Registration: what is believed of the register, for how long, and what its troubles stop."""

from collections.abc import Callable
from typing import Any

import pytest

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import SubscriptionTakenError, TopologyError
from qt_events.rabbitmq.topology import registration as module
from qt_events.rabbitmq.topology.register import Owner, Register
from qt_events.rabbitmq.topology.register_queue import (
    NoRightsError,
    RegisterBusyError,
    RegisterError,
)
from qt_events.rabbitmq.topology.registration import LEASE, REFUSED, TAKEN, Registration


class FakeQueue:
    """Stand-in for a RegisterQueue: a register in memory, with troubles to come."""

    def __init__(self) -> None:
        self.body = Register().encode()
        self.troubles: list[Exception] = []
        self.has_quarantine = lambda _connection, _name: False
        self.asked = 0

    def change(
        self, _connection: object, change: Callable[[Register], Any]
    ) -> tuple[Register, Any]:
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        register = Register.decode(self.body)
        result = change(register)
        self.body = register.encode()
        return register, result

    def look(self, connection: object) -> Register:
        return self.change(connection, lambda _: None)[0]

    def note_younger(self) -> None:
        """Begin as a register does where a bus has stood before it."""
        self.body = Register(is_younger=True).encode()

    @property
    def bound(self) -> list[str]:
        return Register.decode(self.body).of("desk").bound


class Clock:
    """Time of the module under test."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    monkeypatch.setattr("time.sleep", made.sleep)
    return made


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


class Connection:
    """Connection, of which the module asks nothing."""


class Channel:
    """Channel of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection


ONE = Connection()


def desk(*patterns: str) -> Subscription:
    made = Subscription("desk", print)
    made.patterns = patterns
    return made


def registered(queue: Any, subscription: Subscription) -> Registration:
    registration = Registration("shop", queue)
    registration.keep(subscription)
    enter(registration, subscription)
    return registration


def enter(
    registration: Registration, *subscriptions: Subscription, connection: Connection = ONE
) -> None:
    channel: Any = Channel(connection)
    registration.enter(channel, subscriptions)


def test_what_is_entered_is_not_asked_again(queue: FakeQueue, clock: Clock) -> None:
    """One question at a start, however many queues a worker declares; a new pattern is another."""
    subscription = desk("order.*")
    registration = registered(queue, subscription)
    enter(registration, subscription)
    assert queue.asked == 1
    subscription.patterns += ("trade.#",)
    registration.keep(subscription)
    enter(registration, subscription)
    assert (queue.asked, queue.bound) == (2, ["order.*", "trade.#"])


def test_unbound_is_believed_for_a_lease_and_bound_again_after_one(
    queue: FakeQueue, clock: Clock
) -> None:
    """So nobody believes it any more when the binding is there again."""
    reader, writer = desk("order.*"), desk("order.*", "trade.#")
    writing = registered(queue, writer)
    writing.remove(writer, "trade.#")
    writer.patterns = ("order.*",)
    enter(writing, writer)
    reading = registered(queue, reader)
    clock.now += LEASE * 0.99
    assert reading.has_unbound(reader, "trade.done")
    clock.now += LEASE * 0.02
    assert not reading.has_unbound(reader, "trade.done")
    assert reading.begin_reading(reader)
    assert not reading.begin_reading(reader)
    assert clock.slept == 0
    writer.patterns += ("trade.#",)
    writing.keep(writer)
    enter(writing, writer)
    assert clock.slept == LEASE


def test_without_rights_it_is_asked_again_after_a_while(queue: FakeQueue, clock: Clock) -> None:
    """What this process unsubscribed is all that is known, until somebody grants the rights."""
    queue.troubles = [NoRightsError("no")]
    subscription = desk("order.*", "trade.#")
    registration = registered(queue, subscription)
    registration.remove(subscription, "trade.#")
    subscription.patterns = ("order.*",)
    enter(registration, subscription)
    clock.now += REFUSED - 1
    assert registration.has_unbound(subscription, "trade.done")
    assert not registration.begin_reading(subscription)
    enter(registration, subscription)
    assert queue.asked == 1
    clock.now += 1
    assert registration.begin_reading(subscription)
    enter(registration, subscription, connection=Connection())
    assert (queue.asked, queue.bound) == (2, ["order.*"])
    subscription.patterns = ("order.*", "trade.#")
    registration.keep(subscription)
    enter(registration, subscription)
    assert queue.bound == ["order.*", "trade.#"]
    assert not registration.has_unbound(subscription, "trade.done")


def test_what_a_new_connection_binds_again_is_written_down(
    queue: FakeQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process may have unbound it meanwhile. What was warned of is not said again."""
    subscription, newer = desk("order.*"), desk("order.*", "bell")
    registered(queue, newer)
    registration = registered(queue, subscription)
    other = registered(queue, newer)
    other.remove(newer, "order.*")
    enter(other)
    assert queue.bound == ["bell"]
    for _ in range(2):
        enter(registration, subscription, connection=Connection())
    assert queue.bound == ["order.*", "bell"]
    assert clock.slept == LEASE
    assert caplog.text.count("its queue is also bound by 'bell'") == 1


def test_what_was_written_down_since_a_connection_was_opened_is_not_again(
    queue: FakeQueue, clock: Clock
) -> None:
    """Publisher and worker come back together: the one that waited would ask for nothing."""
    subscription = desk("order.*")
    registration = registered(queue, subscription)
    asked, worker = queue.asked, Connection()
    worker.opened_at = clock.now  # type: ignore[attr-defined]
    clock.now += 1.0
    enter(registration, subscription, connection=Connection())
    clock.now += 1.0
    enter(registration, subscription, connection=worker)
    assert queue.asked == asked + 1


def test_a_name_of_another_service_is_asked_for_now_and_then(
    queue: FakeQueue, clock: Clock
) -> None:
    """Each publish of this process would ask. It may have been handed over."""
    registered(queue, desk("order.*"))
    theirs = Registration("store", queue)  # type: ignore[arg-type]
    mine = Subscription("desk", repr, ("order.*",))
    theirs.keep(mine)
    for _ in range(3):
        enter(theirs, mine)
        with pytest.raises(SubscriptionTakenError):
            theirs.must_own(mine)
    assert queue.asked == 2
    register = Register.decode(queue.body)
    register.of("desk").hand_over(Owner("store", "builtins:repr"))
    queue.body = register.encode()
    clock.now += TAKEN
    enter(theirs, mine)
    theirs.must_own(mine)
    assert queue.asked == 3


def test_a_register_that_is_in_use_is_not_waited_for_by_a_reader(
    queue: FakeQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A later event asks again."""
    subscription = desk("order.*")
    registration = registered(queue, subscription)
    channel: Any = Channel(ONE)
    clock.now += LEASE
    queue.troubles = [RegisterBusyError("in use")]
    for _ in range(2):
        assert registration.begin_reading(subscription)
        registration.read(channel)
    assert not registration.begin_reading(subscription)
    assert not caplog.records


def test_what_could_not_be_written_is_written_with_the_next(
    queue: FakeQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A trouble of the register stops no declaration, and is not met with each of them.

    What was unsubscribed is not forgotten, nor what was subscribed.
    """
    subscription, other = desk("order.*", "trade.#"), Subscription("other", print, ("bell",))
    registration = registered(queue, subscription)
    registration.keep(other)
    registration.remove(subscription, "trade.#")
    subscription.patterns = ("order.*",)
    queue.troubles = [RegisterError("busy")]
    for _ in range(9):
        enter(registration, subscription, other)
    assert queue.asked == 2
    assert "cannot be had, and nothing is written down: busy" in caplog.text
    assert registration.has_unbound(subscription, "trade.done")
    assert queue.bound == ["order.*", "trade.#"]
    registration.try_again()
    enter(registration, subscription, other)
    assert queue.bound == ["order.*"]
    assert Register.decode(queue.body).of("other").bound == ["bell"]


def test_a_register_over_which_connections_are_lost_stops_nobody(
    queue: FakeQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection's owner tries twice, then goes on without it."""
    queue.troubles = [OSError("lost"), OSError("lost")]
    subscription = desk("order.*")
    registration = Registration("shop", queue)  # type: ignore[arg-type]
    registration.keep(subscription)
    for _ in range(2):
        with pytest.raises(OSError, match="lost"):
            enter(registration, subscription)
    enter(registration, subscription)
    assert "2 connections were lost over it" in caplog.text
    registration.must_own(subscription)
    assert queue.asked == 2


def test_a_quarantine_is_known_to_all_once_it_is_written_down(
    queue: FakeQueue, clock: Clock
) -> None:
    """Who has read the register knows that there is none. Who has not, does not."""
    maker, other = registered(queue, desk("order.*")), registered(queue, desk("order.*"))
    assert not maker.has_quarantine("desk")
    assert other.has_quarantine("never.entered")
    channel: Any = Channel(ONE)
    maker.note_quarantine(channel, "desk")
    assert maker.has_quarantine("desk")
    assert not other.has_quarantine("desk")
    other.read(channel)
    assert other.has_quarantine("desk")


def test_an_event_is_not_put_where_others_would_not_find_it(
    queue: FakeQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again. Who has no rights to the register finds all queues declared, and says so.

    Workers of the same subscription that have rights would not.
    """
    registration = registered(queue, desk("order.*"))
    channel: Any = Channel(ONE)
    queue.troubles = [RegisterError("busy")]
    with pytest.raises(TopologyError, match="nobody else would find it"):
        registration.note_quarantine(channel, "desk")
    caplog.clear()
    queue.troubles = [NoRightsError("no")]
    registration.note_quarantine(channel, "desk")
    assert "the quarantine of 'desk' cannot be written down" in caplog.text


def test_a_release_without_a_register_may_have_made_a_quarantine(
    queue: FakeQueue, clock: Clock
) -> None:
    """The broker is asked, once: what is in the register is known."""
    asked: list[str] = []

    def has_quarantine(_: object, name: str) -> bool:
        asked.append(name)
        return name == "desk"

    queue.has_quarantine = has_quarantine
    queue.note_younger()
    both = registered(queue, desk("order.*"))
    enter(both, made := Subscription("other", print))
    assert made.name == "other"
    both.keep(made)
    enter(both, made)
    assert both.has_quarantine("desk")
    assert not both.has_quarantine("other")
    registered(queue, desk("order.*"))
    assert asked == ["desk", "other"]
