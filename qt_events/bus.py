"""The EventBus Protocol: what every backend does, whoever carries the events."""

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from inspect import Parameter, signature
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

from qt_events.delivery.base_bus import BaseBus
from qt_events.delivery.forwarding import Forwarding
from qt_events.delivery.middleware import Middleware
from qt_events.delivery.publishing.published import Published
from qt_events.delivery.subscribing.starting import Start
from qt_events.delivery.subscribing.subscription import EventHandler, Predicate, Subscription
from qt_events.delivery.transacting.inbox import Inbox
from qt_events.errors import BackendError, BusStateError, InvalidOptionError, InvalidUrlError
from qt_events.event_loop import running_loop
from qt_events.events.current import current_attempt
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent, as_event

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from qt_events.dead_letters.operations import DeadLetters
    from qt_events.delivery.retry import RetryPolicy

logger = logging.getLogger("qt_events")


@runtime_checkable
class EventBus(Protocol):
    """Publish typed events without knowing who listens; subscribe without knowing who publishes.

    Delivery is at least once to every subscription made before the publish: make handlers
    idempotent. A failing, slow or retrying subscription holds up no other.
    """

    @property
    def dead_letters(self) -> "DeadLetters":
        """Events that failed for good."""

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """Hand the event to every subscription whose pattern matches its type.

        When it returns, the backend has the event safely, or with `spool=` this machine's disk has
        it, and its result says which. Inside a handler the event inherits the handled one's
        correlation id and is caused by it. `mandatory` makes an event that nobody is
        subscribed to an error; of an event that was spooled nobody can know that.

        Raises:
            InvalidEventError: that was no event.
            BackpressureError: the bus stayed full for `publish_timeout` seconds.
            BrokerError: it is unknown whether the event was taken; publish the same event again.
            SpoolError: the spool is full, or its disk fails; the same holds.
            UnroutableError: nobody is subscribed, and `mandatory` was given.
        """

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """Do what `publish` does, for plain threads, sync handlers among them; it blocks.

        Raises:
            BusStateError: called on an event loop's thread, which it would block.
            QtEventsError: those of `publish`.
        """

    def subscribe(
        self,
        event_type: str | type[Event[Any]],
        handler: EventHandler,
        *,
        name: str | None = None,
        when: Predicate | None = None,
        retry: "RetryPolicy | None" = None,
        concurrency: int | None = None,
        broadcast: bool | None = None,
        prefetch: int | None = None,
        batch: int | None = None,
        within: float | None = None,
        raw: bool | None = None,
        start: Start | None = None,
        inbox: Inbox | None = None,
    ) -> Subscription:
        """Call `handler` with each event whose type matches, or with lists of them.

        The same handler (or name) again adds a pattern to its subscription.

        Args:
            event_type: a type, a topic pattern (`*`, `#`), or an event class.
            handler: any callable that takes the event, or with `batch` a list of events; sync ones
                run in threads.
            name: identity of the subscription, on RabbitMQ its queue; by default the handler's.
            when: handle only events for which this is true.
            retry: RetryPolicy() if left out: 5 attempts, first delay 1 s, doubling.
            concurrency: events of this subscription, or batches, handled at a time in one process;
                1 keeps their order.
            broadcast: each process gets each event, instead of one of those that serve the name.
            prefetch: events that one process takes from the broker before they have an outcome, at
                least `concurrency`, times `batch`; about a second of work if left out, or the batch
                that is handled and the next one. No effect in memory.
            batch: most events of one list, up to 10,000. They are acknowledged when the handler
                has returned. `BatchFailed` fails some of them, any other error each of them.
            within: seconds, up to 60, after the first event of a list at which it is handled though
                it is not full; 0.05 if left out.
            raw: the handler gets a RawEvent, the event as it was on the wire: of any type and
                version, whatever its payload. So do `when` and middleware around the handler.
            start: the event that a new subscription begins with, decided once: "first", or a time
                with its zone, for what a history has kept, or "now"; see docs/history.md.
            inbox: handles an event that comes twice once, in a transaction; see docs/inbox.md.

        Raises:
            InvalidPatternError, InvalidHandlerError, InvalidOptionError, InvalidPolicyError,
            DuplicateSubscriptionError, NotSupportedError, NoRecorderError: see their texts.
        """

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """Take a pattern from the handler's subscription, and end it with its last pattern.

        Raises:
            UnknownSubscriptionError: the handler is not subscribed to it.
        """

    def use(self, middleware: Middleware) -> None:
        """Call the middleware around every publish, every handler, or both; see docs/middleware.md.

        The first that is used is the outermost. It may have any of five methods: `around_publish`,
        `around_handle` and `around_batch`, which are async, and the plain observers `published` and
        `concluded`. Used while the bus runs, it is called for publishes and attempts that begin
        after that.

        Raises:
            InvalidMiddlewareError: it has none of the methods, or one that is wrongly (not) async.
        """

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        """Deliver events until stop() or cancellation.

        Args:
            handle_signals: have SIGTERM and SIGINT stop the bus. A second one gives the events that
                are being handled back at once. The former handlers are restored at the end.

        Raises:
            BusStateError: it runs already, or is to handle signals outside of the main thread.
        """

    async def join(self, timeout: float | None = None) -> None:
        """Return when all that this process published has an outcome, with all that followed.

        Raises:
            TimeoutError: something has no outcome after `timeout` seconds.
            ForeignConsumersError: other processes serve the same subscriptions, so nobody here can
                know.
        """

    def stop(self) -> None:
        """Ask run_forever to finish what it holds, within the grace period, and return.

        A run_forever that has not begun yet, a task made just before, returns when it begins.
        """

    def close(self) -> None:
        """Close the connection and the thread of publishing, after the publishes in flight.

        For a bus that is not needed any more: publishing on it is a BusStateError from here on.
        """

    def get_stats(self) -> dict[str, Any]:
        """Return counters; see `qt_events.delivery.stats.Stats.snapshot`."""

    async def __aenter__(self) -> Self:
        """Start delivering in the background."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Drain and stop."""


def refuse_on_event_loop() -> None:
    """Raise BusStateError where publish_sync would block an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BusStateError(
        "publish_sync() would block this event loop: write `await bus.publish(event)`"
    )


def refuse_in_handler() -> None:
    """Raise BusStateError where join would wait for the handler that calls it.

    Raises NotSupportedError where no asyncio loop runs that could wait.
    """
    running_loop()
    if current_attempt() is not None:
        raise BusStateError(
            "join() inside a handler would wait for that handler: call it from outside"
        )


class Hosted(BaseBus, ABC):
    """Base of a bus that `async with` runs in the background, and drains at its end."""

    #: Seconds that the end gives to events without an outcome.
    grace: float
    _runner: asyncio.Task[None] | None = None
    #: Publishes events that were kept as bytes; None if they are decoded for it.
    _forwarding: Forwarding | None = None

    async def forward(self, event: RawEvent) -> None:
        """See Forwards."""
        forwarding = self._forwarding
        if forwarding is None or forwarding.needs_event:
            await cast("EventBus", self).publish(as_event(event))
        else:
            await forwarding.send(event)

    @abstractmethod
    async def run_forever(self, *, handle_signals: bool = False) -> None:
        """See EventBus."""

    @abstractmethod
    async def join(self, timeout: float | None = None) -> None:
        """See EventBus."""

    @abstractmethod
    def stop(self) -> None:
        """See EventBus."""

    @abstractmethod
    def _forget_stop(self) -> None:
        """Forget a stop() from before: it is not meant for the run that begins now."""

    def _hasten(self) -> None:
        """Let no batch of this run wait any more until it is full: the bus is being left."""

    async def _started(self) -> None:
        """Return when the bus delivers.

        It begins after run_forever's first step, and is cancelled if run_forever ends first.
        """
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        """Start delivering in the background, and return once the bus does.

        An error of run_forever before that is raised here.
        """
        running_loop()
        self._forget_stop()
        runner = self._runner = asyncio.create_task(self.run_forever())
        started = asyncio.create_task(self._started())
        try:
            await asyncio.wait({runner, started}, return_when=asyncio.FIRST_COMPLETED)
            await (runner if runner.done() else started)
        # Nobody will call __aexit__ then.
        except BaseException:
            runner.cancel()
            raise
        finally:
            started.cancel()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Wait for all outcomes, retries included, at most `grace` seconds; then stop."""
        runner = self._runner
        assert runner is not None  # noqa: S101
        try:
            if error is None and not runner.done():
                self._hasten()
                await self.join(self.grace)
        except (TimeoutError, BusStateError) as late:
            logger.warning("left the bus with work unfinished: %s", late)
        finally:
            if not runner.done():
                self.stop()
            await runner


#: Group of entry points: the scheme of a URL -> its bus, `module:Class`.
GROUP = "qt_events.backends"

# Parameters of a backend that are no options beside a URL.
_GIVEN_ELSEWHERE = {"url", "app"}
# RFC 3986, 3.1.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_USE = "memory:// or amqp://user:password@host:port/vhost"


def create_event_bus(url: str, **options: Any) -> EventBus:
    """Make the bus of a URL: `memory://`, or `amqp://user:password@host:port/vhost` for RabbitMQ.

    `amqps` is RabbitMQ over TLS. Several AMQP URLs joined by `;` name the nodes of a cluster. Any
    package can add a scheme by an entry point of the group `qt_events.backends`. The class that it
    names is called with the URL and the options; or its classmethod `from_url` is, if it has one.

    Args:
        url: scheme and address of the backend.
        options: keyword arguments of the backend's class.

    Raises:
        InvalidUrlError: it is malformed, or no backend serves the scheme.
        InvalidOptionError: the backend has no such option, or not with that value.
        BackendError: the class of the scheme cannot be imported, or two packages claim the scheme.
    """
    backend = _backend_of(url)
    _check_options(options, backend.__name__, signature(backend).parameters)
    return cast("EventBus", getattr(backend, "from_url", backend)(url, **options))


def _backend_of(url: object) -> type:
    # Imported here: programs that construct their bus themselves need no packages' metadata.
    from importlib.metadata import entry_points  # noqa: PLC0415

    scheme, installed = scheme_of(url), entry_points(group=GROUP)
    found = installed.select(name=scheme)
    if not found:
        raise _no_backend(url, scheme, installed.names)
    if len({each.value for each in found}) > 1:
        claims = " and ".join(sorted(f"{_package(each)} ({each.value})" for each in found))
        raise BackendError(f"several packages serve {scheme}://: {claims}; uninstall all but one")
    return _loaded(next(iter(found)))


def _no_backend(url: object, scheme: str, schemes: Iterable[str]) -> InvalidUrlError:
    # Never the whole URL: it may hold a password.
    shown = f"{scheme}://..." if scheme else f"without a scheme ({type(url).__name__})"
    known = ", ".join(sorted(schemes)) or "none, so install qt-events again"
    return InvalidUrlError(
        f"no backend for the URL {shown}: use {_USE}; schemes there are: {known}"
    )


def _loaded(entry_point: "EntryPoint") -> type:
    whose = f"{entry_point.name}:// is {entry_point.value} of the package {_package(entry_point)}"
    try:
        backend = entry_point.load()
    except Exception as error:
        raise BackendError(
            f"{whose}, which cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(backend, type):
        raise BackendError(f"{whose}, which is no class: its entry point must be `module:Class`")
    return backend


def _package(entry_point: "EntryPoint") -> str:
    return entry_point.dist.name if entry_point.dist is not None else "(unknown)"


def _check_options(options: Iterable[str], backend: str, known: Mapping[str, Parameter]) -> None:
    if any(each.kind is Parameter.VAR_KEYWORD for each in known.values()):
        return
    for option in options:
        if option not in known.keys() - _GIVEN_ELSEWHERE:
            names = ", ".join(sorted(known.keys() - _GIVEN_ELSEWHERE))
            raise InvalidOptionError(f"{backend} has no option {option!r}; it has {names}")


def scheme_of(url: object) -> str:
    """Return the text before ://, even where the rest is malformed; "" if there is none."""
    before, found, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
    return before.lower() if found and _SCHEME.fullmatch(before) else ""
