"""Declarations: what was subscribed is declared before the next publish, or tried again."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from amqp import spec
from amqp.exceptions import AccessRefused

from qt_events.delivery.subscription import Subscription
from qt_events.errors import TopologyError
from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.standing import Standing, Wanted


class RecordingTopology:
    """Stand-in for a Topology: records declarations, and lets a test step in between."""

    events = "qt.events"
    queue_type = "quorum"

    def __init__(self) -> None:
        self.declared: list[Any] = []
        self.served: bool | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def queue(self, key: str) -> str:
        return f"qt.sub.{key}"

    def has_quarantine(self, _subscription: Subscription) -> bool:
        return False

    def declare_base(self, _channel: object) -> None:
        self.declared.append("base")

    def forget_refusals(self) -> None: ...

    def unbind(self, _channel: object, key: str, pattern: str) -> None:
        self.declared.append(("unbound", key, pattern))

    def turn_to_bind(self, _channel: object) -> nullcontext[None]:
        return nullcontext()

    def level(self, delay: float) -> tuple[str, int]:
        return ("qt.retry.800", 800) if delay > 0.4 else ("qt.retry.400", 400)

    def declare_lasting(self, _channel: object, subscription: Subscription) -> None:
        self.declared.append(("lasting", subscription.name))

    def declare_level(self, _channel: object, delay: float) -> None:
        self.declared.append(self.level(delay)[0])

    def declare_at_once(self, *_: object, **__: object) -> bool:
        """Refuse it: each is declared alone then."""
        return False

    def declare_subscription(
        self, _channel: object, subscription: Subscription, key: str, *, served: bool, shared: bool
    ) -> None:
        if shared:
            self.declared.append("shared")
        patterns, self.served = subscription.patterns, served
        self.meanwhile()
        self.declared.append((key, patterns))


class Unregistered:
    """Stand-in for a Registration: tells who was entered, and lets a test step in meanwhile."""

    is_behind = False

    def __init__(self) -> None:
        self.entered: list[list[str]] = []
        self.had_unbound: set[str] = set()
        self.meanwhile: Callable[[], object] = lambda: None

    def keep(self, subscription: Subscription) -> None: ...

    def try_again(self) -> None: ...

    def drop(self, subscription: Subscription) -> None: ...

    def remove(self, subscription: Subscription, pattern: str) -> None: ...

    def has_entered(self, _subscription: Subscription) -> bool:
        return False

    def enter(self, _channel: object, subscriptions: Iterable[Subscription]) -> set[str]:
        self.entered.append([each.name for each in subscriptions])
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return self.had_unbound

    def must_own(self, subscription: Subscription) -> None: ...


@pytest.fixture
def registration() -> Unregistered:
    return Unregistered()


@pytest.fixture
def topology() -> RecordingTopology:
    return RecordingTopology()


@pytest.fixture
def here() -> set[str]:
    """Return the names of the subscriptions that this process is to serve."""
    return {"guard", "cache"}


@pytest.fixture
def declarations(
    topology: RecordingTopology, here: set[str], registration: Unregistered
) -> Declarations:
    # Only asked where nothing is published.
    publisher: Any = SimpleNamespace(begin=lambda _: None)
    return Declarations(
        topology,  # type: ignore[arg-type]
        publisher,
        lambda _: 1,
        lambda each: each.broadcast,
        registration,  # type: ignore[arg-type]
        will_serve=lambda each: each.name in here,
    )


def subscription(broadcast: bool = False, name: str = "guard") -> Subscription:
    made = Subscription(name, print, broadcast=broadcast)
    made.patterns = ("first",)
    return made


class Connection:
    """Connection of py-amqp, which stands until `connected` says otherwise."""

    def __init__(self, cluster: str = "rabbit") -> None:
        self.connected, self.host, self.virtual_host = True, "rabbit:5672", "/"
        self.server_properties = {"cluster_name": cluster}
        self.frames = SimpleNamespace(is_hung_up=lambda: False)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        yield SimpleNamespace(connection=self)

    def heartbeat_tick(self) -> None: ...


# Connections by epoch: there is a new one in each, and those before it are lost.
LINES: "WeakKeyDictionary[Declarations, dict[int, Connection]]" = WeakKeyDictionary()


def make(declarations: Declarations, epoch: int = 1) -> None:
    lines = LINES.setdefault(declarations, {})
    if epoch not in lines:
        for line in lines.values():
            line.connected = False
        lines[epoch] = Connection()
    declarations.make(channel_of(lines[epoch]), epoch)


def channel_of(connection: Connection) -> Any:
    return SimpleNamespace(connection=connection)


def test_everything_is_declared_once_an_epoch(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The exchange, a queue or a binding may be gone since the last epoch."""
    declarations.want(subscription())
    assert declarations.needed(1)
    make(declarations, 1)
    assert not declarations.needed(1)
    assert declarations.needed(2)
    make(declarations, 2)
    assert topology.declared == ["base", "shared", ("guard", ("first",))] * 2


def test_what_all_share_is_declared_once(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The shared part is half of what a subscription needs."""
    for name in ("guard", "audit"):
        declarations.want(subscription(name=name))
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",)), ("audit", ("first",))]


def test_what_cannot_be_declared_again_fails_nobody(
    declarations: Declarations, topology: RecordingTopology, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged once an epoch, and the others are declared.

    With a new pattern it is an error.
    """

    def refuse_once() -> None:
        topology.meanwhile = lambda: None
        message = "different"
        raise TopologyError(message)

    guard = subscription()
    declarations.want(guard)
    declarations.want(subscription(name="audit"))
    make(declarations, 1)
    topology.declared, topology.meanwhile = [], refuse_once
    make(declarations, 2)
    assert topology.declared == ["base", "shared", "shared", ("audit", ("first",))]
    assert not declarations.needed(2)
    text = "guard could not be declared again and may receive no events: different"
    assert text in caplog.text
    declarations.want(guard)
    topology.meanwhile = refuse_once
    with pytest.raises(TopologyError):
        make(declarations, 2)


def test_a_publish_that_was_refused_meanwhile_is_none_of_its_business(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The publisher's own channel was closed while it waited.

    It starts again, and declares this then.
    """

    def refuse() -> None:
        topology.meanwhile = lambda: None
        raise TopologyError("no") from AccessRefused("no", spec.Basic.Publish)

    declarations.want(subscription())
    make(declarations, 1)
    topology.meanwhile = refuse
    with pytest.raises(TopologyError):
        make(declarations, 2)
    assert declarations.needed(2)


def test_what_is_served_here_no_more_is_not_declared_again(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The queue stays as it is, or has been deleted."""
    declarations.want(subscription())
    make(declarations, 1)
    declarations.drop(subscription())
    make(declarations, 2)
    assert topology.declared == ["base", "shared", ("guard", ("first",)), "base"]


def test_a_delay_level_is_declared_once_an_epoch_however_many_wait_for_it(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """Declaring it takes a dozen round trips on the publisher's one thread."""
    channel: Any = None
    waiting = [declarations.level(delay) for delay in (0.3, 0.4, 0.35, 0.5)]
    for epoch in (1, 2):
        for level in waiting:
            if level.needed(epoch):
                level.make(channel, epoch)
    assert topology.declared == ["qt.retry.400", "qt.retry.800"] * 2


def test_a_pattern_that_comes_while_its_subscription_is_declared_is_declared_too(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """subscribe() runs on another thread than the declarations."""
    guard = subscription()
    declarations.want(guard)

    def subscribe_again() -> None:
        topology.meanwhile = lambda: None
        guard.patterns += ("second",)
        declarations.want(guard)

    topology.meanwhile = subscribe_again
    make(declarations)
    assert declarations.needed(1)
    make(declarations)
    assert not declarations.needed(1)
    assert topology.declared[1:] == [
        "shared",
        ("guard", ("first",)),
        ("guard", ("first", "second")),
    ]


def test_what_could_not_be_declared_is_wanted_still(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The next publish tries again and fails again. Else its subscription would not hear it."""

    def refuse() -> None:
        message = "different"
        raise TopologyError(message)

    declarations.want(subscription())
    topology.meanwhile = refuse
    for _ in range(2):
        with pytest.raises(TopologyError):
            make(declarations)
        assert declarations.needed(1)


def test_a_forked_child_is_another_instance(declarations: Declarations) -> None:
    """A child must not take its parent's broadcast events. Shared subscriptions keep their key."""
    state = subscription(broadcast=True)
    before = declarations.key(state)
    declarations.after_fork()
    assert before.startswith("guard.")
    assert declarations.key(state).startswith("guard.")
    assert declarations.key(state) != before
    assert declarations.key(subscription()) == "guard"


def test_a_forked_child_makes_no_queue_that_nobody_reads(
    declarations: Declarations, topology: RecordingTopology, here: set[str]
) -> None:
    """A queue for the parent's broadcast would collect events until it expires."""
    declarations.want(subscription(broadcast=True, name="cache"))
    declarations.want(subscription())
    make(declarations)
    topology.declared = []
    here.clear()
    declarations.after_fork()
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",))]
    assert declarations.instances == set()


def test_a_broadcast_is_declared_once_this_process_is_to_serve_it(
    declarations: Declarations, topology: RecordingTopology, here: set[str]
) -> None:
    """A process that only publishes would leave a queue that nobody reads."""
    cache, guard = subscription(broadcast=True, name="cache"), subscription()
    here.clear()
    for each in (cache, guard):
        declarations.want(each)
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",))]
    assert declarations.heard((cache, guard)) == (guard,)
    assert not declarations.needed(1)
    here.add("cache")
    declarations.serve()
    assert declarations.heard((cache, guard)) == (cache, guard)
    make(declarations)
    assert topology.declared[-1] == (declarations.key(cache), ("first",))
    assert declarations.instances == {f"qt.sub.{declarations.key(cache)}"}


@pytest.mark.parametrize("served", [True, False])
def test_what_is_served_here_is_declared_as_that(
    declarations: Declarations, topology: RecordingTopology, served: bool
) -> None:
    """Publisher and worker both say if the queue is served here: then it must be bound here."""
    guard = subscription(broadcast=served)
    declarations.want(guard)
    make(declarations)
    assert topology.served is served
    topology.served = not served
    declarations.forget()
    declarations.queues(guard)[0].declare_all(Connection())
    assert topology.served is served


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
    served = Wanted(subscription(), "guard", served=True, patterns=("first",))
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


def test_ways_of_a_subscription_that_has_ended_are_forgotten(declarations: Declarations) -> None:
    """They would add up where subscriptions come and go, and the next one may have another."""
    first = declarations.lasting(subscription())
    assert declarations.lasting(subscription()) is first
    declarations.drop(subscription())
    assert declarations.lasting(subscription()) is not first
