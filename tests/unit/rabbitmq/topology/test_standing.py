"""Standing: what was declared is trusted as long as that is safe, and no longer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.standing import Standing, Wanted
from tests.unit.rabbitmq.topology.declaring import (
    LINES,
    Connection,
    RecordingTopology,
    Unregistered,
    channel_of,
    make,
    subscription,
)


def test_what_one_connection_has_declared_another_need_not(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """Publisher and worker have one each. Each object is declared once a process."""
    guard = subscription()
    declarations.want(guard)
    declarations.declare_over(channel_of(Connection()))
    declared = list(topology.declared)
    assert ("guard", ("first",)) in declared
    make(declarations)
    declarations.queues(guard)[0].declare_all(Connection())
    assert topology.declared == declared
    assert not declarations.needed(1)


def test_what_was_declared_stays_so_while_its_maker_stands(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """Whoever declared it would have lost its connection if the broker had ended.

    Another connection that stands proves nothing: it may be to nobody, for two heartbeats.
    """
    first, second, third = Connection(), Connection(), Connection()
    declarations.want(subscription())
    declarations.declare_over(channel_of(first))
    declared = list(topology.declared)
    declarations.declare_over(channel_of(second))
    assert topology.declared == declared
    first.connected = False
    declarations.declare_over(channel_of(second))
    assert topology.declared == declared * 2
    declarations.declare_over(channel_of(third))
    assert topology.declared == declared * 2


def test_what_is_unbound_and_subscribed_again_is_bound_again(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """What stands is known by what was done to it: an unbinding, too."""
    guard = subscription()
    guard.patterns = ("first", "second")
    declarations.want(guard)
    make(declarations)
    guard.patterns = ("first",)
    declarations.unbind(guard, "second")
    make(declarations)
    guard.patterns = ("first", "second")
    declarations.want(guard)
    topology.declared = []
    make(declarations)
    assert topology.declared[-1] == ("guard", ("first", "second"))


def test_what_was_dropped_and_is_wanted_again_is_declared_again(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """An operator may have removed it meanwhile."""
    declarations.want(subscription())
    make(declarations)
    declarations.drop(subscription())
    topology.declared = []
    declarations.want(subscription())
    make(declarations)
    assert topology.declared[-1] == ("guard", ("first",))


def test_what_somebody_had_unbound_is_bound_again(
    declarations: Declarations, topology: RecordingTopology, registration: Unregistered
) -> None:
    """The register tells it, when a connection writes down again what it is to bind."""
    declarations.want(subscription())
    make(declarations)
    topology.declared = []
    registration.had_unbound = {"guard"}
    declarations.declare_over(channel_of(Connection()))
    assert topology.declared[-1] == ("guard", ("first",))


def test_what_is_subscribed_while_the_register_is_asked_has_a_turn_of_its_own(
    declarations: Declarations, topology: RecordingTopology, registration: Unregistered
) -> None:
    """It is written down before it is declared: an older worker would skip its events."""
    registration.meanwhile = lambda: declarations.want(subscription(name="cache"))
    declarations.want(subscription())
    make(declarations)
    assert [each[0] for each in topology.declared if isinstance(each, tuple)] == ["guard"]
    assert declarations.needed(1)
    make(declarations)
    assert registration.entered == [["guard"], ["guard", "cache"]]
    assert topology.declared[-1] == ("cache", ("first",))


def test_what_is_declared_to_be_served_is_there_for_a_publisher_too(
    topology: RecordingTopology,
) -> None:
    standing, line = Standing(topology, lambda _: None), Connection()  # type: ignore[arg-type]
    served = Wanted(subscription(), "guard", served=True, lasting=False, patterns=("first",))
    standing.declare_alone(channel_of(line), served)
    assert standing.has(served._replace(served=False), line)
    topology.declared = []
    standing.forget()
    standing.declare_alone(channel_of(line), served._replace(served=False))
    assert not standing.has(served, line)


@pytest.mark.parametrize("harm", ["lost", "hung up", "forgotten", "another cluster", "pattern"])
def test_what_may_be_gone_is_declared_again(
    declarations: Declarations, topology: RecordingTopology, harm: str
) -> None:
    """A broker that came back without something had ended the connection of its declaration."""
    first, second, guard = Connection(), Connection(), subscription()
    declarations.want(guard)
    declarations.declare_over(channel_of(first))
    topology.declared = []
    match harm:
        case "lost":
            first.connected = False
        case "hung up":
            first.frames.is_hung_up = lambda: True
        case "forgotten":
            declarations.forget()
        case "another cluster":
            second = Connection("other")
        case _:
            guard.patterns += ("second",)
            declarations.want(guard)
    declarations.declare_over(channel_of(second))
    assert ("guard", guard.patterns) in topology.declared


def test_a_publisher_that_misses_an_exchange_declares_everything_again(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """Its connection stands, but the epoch is another: somebody deleted things."""
    declarations.want(subscription())
    make(declarations, 1)
    topology.declared = []
    LINES[declarations][2] = LINES[declarations][1]
    make(declarations, 2)
    assert topology.declared == ["base", "shared", ("guard", ("first",))]


def test_what_can_be_declared_at_once_is(
    declarations: Declarations, topology: RecordingTopology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches that grow: a new quorum queue takes its time, and an answer is awaited."""
    batches: list[int] = []
    progress: list[str] = []

    def at_once(_channel: object, wanted: list[object], *, shared: bool) -> bool:
        assert shared == (not batches or batches == [25, 75])
        batches.append(len(wanted))
        progress.append(declarations.about)
        return True

    monkeypatch.setattr(topology, "declare_at_once", at_once)
    for number in range(100):
        declarations.want(subscription(name=f"guard{number}"))
    make(declarations)
    assert batches == [25, 75]
    assert topology.declared == []
    assert progress == [
        "subscriptions (declaring 1 of 100)",
        "subscriptions (declaring 26 of 100)",
    ]
    assert declarations.about == "exchange 'qt.events'"
    make(declarations, 2)
    assert batches[2:] == [100]


def test_publisher_and_worker_never_declare_at_the_same_time(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """RabbitMQ 4.0 answers a binding before it is made if another connection is making it."""
    inside, overlaps = threading.Lock(), []

    def declaring() -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(threading.get_ident())
            return
        # Lets the other thread run.
        time.sleep(0.001)
        inside.release()

    guard = subscription()
    declarations.want(guard)
    topology.meanwhile = declaring
    (queue,) = declarations.queues(guard)

    def publisher() -> None:
        for epoch in range(1, 50):
            make(declarations, epoch)

    def worker() -> None:
        for _ in range(1, 50):
            declarations.forget()
            queue.declare_all(Connection())

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(publisher), threads.submit(worker)]:
            done.result()
    assert overlaps == []
    assert len(topology.declared) > 50
