"""Stand-ins for what declares: a Topology, a Registration, connections of py-amqp."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.rabbitmq.topology.declarations import Declarations


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

    def has_quarantine(self, subscription: Subscription) -> bool:
        return not subscription.broadcast

    def quarantine(self, name: str) -> str:
        return f"qt.quarantine.{name}"

    @property
    def quarantined(self) -> str:
        return self.quarantine("")

    def declare_base(self, _channel: object) -> None:
        self.declared.append("base")

    def forget_refusals(self) -> None: ...

    def unbind(self, _channel: object, key: str, pattern: str) -> None:
        self.declared.append(("unbound", key, pattern))

    def turn_to_bind(self, _channel: object) -> nullcontext[None]:
        return nullcontext()

    def level(self, delay: float) -> tuple[str, int]:
        return ("qt.retry.800", 800) if delay > 0.4 else ("qt.retry.400", 400)

    def declare_dead_letters(self, _channel: object, name: str) -> None:
        self.declared.append(("dead letters", name))

    def declare_quarantine(self, _channel: object, name: str) -> None:
        self.declared.append(("quarantine", name))

    def declare_level(self, _channel: object, delay: float) -> None:
        self.declared.append(self.level(delay)[0])

    def declare_at_once(self, *_: object, **__: object) -> bool:
        """Refuse it: each is declared alone then."""
        return False

    def declare_subscription(  # how it is declared
        self,
        channel: object,
        subscription: Subscription,
        key: str,
        *,
        served: bool,
        lasting: bool,
        shared: bool,
    ) -> None:
        if shared:
            self.declared.append("shared")
        patterns, self.served = subscription.patterns, served
        self.meanwhile()
        self.declared.append((key, patterns))
        if lasting and self.has_quarantine(subscription):
            self.declare_quarantine(channel, subscription.name)


class Unregistered:
    """Stand-in for a Registration: tells who was entered, and lets a test step in meanwhile."""

    is_behind = False

    def __init__(self) -> None:
        self.entered: list[list[str]] = []
        self.had_unbound: set[str] = set()
        self.quarantined: set[str] = set()
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

    def note_quarantine(self, _channel: object, name: str) -> None:
        self.quarantined.add(name)

    def has_quarantine(self, name: str) -> bool:
        return name in self.quarantined

    def read(self, _channel: object) -> None: ...

    def must_own(self, subscription: Subscription) -> None: ...


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
