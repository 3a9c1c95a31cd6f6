"""Registration: a process's part in the register, and what it knows from there. Thread-safe.

A pattern is written down before it is bound, and a process that has read "unbound" believes it for
LEASE seconds. Whoever binds such a pattern again waits for so long, so no event that came by the
new binding is taken for an old one.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Self, TypeVar
from weakref import WeakSet

import kombu
from amqp import Channel
from billiard.process import current_process

from qt_events.delivery.subscribing.handler_names import identity_of
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import SubscriptionTakenError, TopologyError
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.topology import ownership
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.ownership import Claim, claim
from qt_events.rabbitmq.topology.register import (
    Entry,
    Owner,
    Register,
    any_matches,
    unknown_bindings,
)
from qt_events.rabbitmq.topology.register_queue import (
    NoRightsError,
    RegisterBusyError,
    RegisterError,
    RegisterQueue,
)
from qt_events.rabbitmq.topology.removed_patterns import RemovedPatterns

logger = logging.getLogger("qt_events")

T = TypeVar("T")

_NOTHING = Entry()

# A register that ends connections (its queue has no leader, for one) must not stop all the rest.
_MOST_LOSSES = 2
LEASE = 2.0  #: seconds for which an answer of the register is believed
TAKEN = 10.0  #: seconds until it is asked again whether a name is still another service's
REFUSED = 300.0  #: seconds until it is asked again by a user that had no rights


@dataclass(slots=True)
class _Result:
    """Consequences of a look at the register."""

    #: Error texts, by the subscriptions that are another's.
    taken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    #: Of patterns that a process of this release does not have.
    unknown: list[str] = field(default_factory=list)
    #: Subscriptions of which a pattern is bound again that had been unbound
    bound_again: set[str] = field(default_factory=set)


class Registration:
    """Subscriptions of one bus in the register of its prefix. A broadcast is in none."""

    def __init__(self, service: str | None, queue: RegisterQueue) -> None:
        self._service, self._queue = service or "", queue
        self._lock = threading.Lock()  # held while the register is asked, and for a lease
        self._entered: dict[str, tuple[str, ...]] = {}  # patterns, as they were written down
        self._is_behind = False  # there may be subscriptions that are not entered
        self._is_unwritten = False  # some were entered though the register could not be had
        self._taken: dict[str, str] = {}
        # Patterns that were unsubscribed here: to be written down, and those of broadcasts.
        self._removed, self._removed_here = RemovedPatterns(), RemovedPatterns()
        self._known = Register()
        self._read_at = -math.inf  # time.monotonic() before the register was last asked
        self._taken_at = -math.inf  # the same, when a name was another service's
        self._written_at = -math.inf  # the same, when all was written down
        self._refused_until = -math.inf  # by time.monotonic(): the user had no rights
        self._connections: WeakSet[Any] = WeakSet()  # by which something was declared
        self._warned: set[str] = set()
        self._noted: set[str] = set()  # names whose quarantine was made here
        self._losses = 0  # connections in a row that were lost while it was asked
        self._is_asking = False
        renew_after_fork(self)

    @classmethod
    def at(
        cls, topology: Topology, connect: Callable[[], kombu.Connection], service: str | None
    ) -> Self:
        """Return that of a service; `connect` makes a connection to the topology's broker."""
        return cls(service, RegisterQueue(topology, connect))

    def after_fork(self) -> None:
        """Keep what is known. The parent's threads may have been asking."""
        self._lock, self._is_asking = threading.Lock(), False
        self._removed.after_fork()
        self._removed_here.after_fork()

    # This process's part

    def keep(self, subscription: Subscription) -> None:
        """Note a subscription that is new or has a new pattern."""
        for removed in (self._removed, self._removed_here):
            removed.take(subscription.name, subscription.patterns)
        if self._is_unwritten:
            self.try_again()
        self._is_behind = True

    def try_again(self) -> None:
        """Have everything written down again, for it is about to be bound again.

        Somebody may have unbound it meanwhile, and others would skip its events.
        """
        self._is_unwritten = False
        self._entered.clear()
        self._is_behind = True

    def remove(self, subscription: Subscription, pattern: str) -> None:
        """Note a pattern that was unsubscribed."""
        self._is_behind = True
        removed = self._removed_here if subscription.broadcast else self._removed
        removed.add(subscription.name, pattern)

    def drop(self, subscription: Subscription) -> None:
        """Note a subscription that has ended in this process. Its queue stays as it is bound."""
        self._entered.pop(subscription.name, None)
        self._taken.pop(subscription.name, None)

    def forget(self) -> None:
        """Enter everything again: the register was deleted."""
        self.try_again()
        self._known, self._read_at = Register(), -math.inf

    @property
    def is_behind(self) -> bool:
        """True if there may be something to write down."""
        return self._is_behind

    def has_entered(self, subscription: Subscription) -> bool:
        return subscription.name in self._entered

    def must_own(self, subscription: Subscription) -> None:
        """Raise SubscriptionTakenError if it is another service's."""
        if (text := self._taken.get(subscription.name)) is not None:
            raise SubscriptionTakenError(text)

    def enter(self, channel: Channel, subscriptions: Iterable[Subscription]) -> set[str]:
        """Write down those that are new, before they are declared; nothing if none is.

        By a new connection all are. Return the names of those that somebody had unbound.
        """
        with self._lock:
            if channel.connection not in self._connections:
                self._connections.add(channel.connection)
                # Publisher and worker lose their connections together: once is enough for both.
                if self._written_at < getattr(channel.connection, "opened_at", math.inf):
                    self.try_again()
            if not self._is_behind:
                return set()
            self._is_behind, again = False, set[str]()
            patterns = {each: each.patterns for each in tuple(subscriptions) if not each.broadcast}
            new = {
                each: found
                for each, found in patterns.items()
                if self._entered.get(each.name) != found and not self._is_just_taken(each)
            }
            try:
                if new or self._removed:
                    again = self._write(channel, new)
            except BaseException:
                self._is_behind = True
                raise
            # It may have been handed over when somebody asks again.
            self._is_behind |= bool(self._taken)
            return again

    def _is_just_taken(self, subscription: Subscription) -> bool:
        return subscription.name in self._taken and monotonic() - self._taken_at < TAKEN

    def _write(self, channel: Channel, new: Mapping[Subscription, tuple[str, ...]]) -> set[str]:
        removed = self._removed.copy()
        has_quarantine = partial(self._queue.has_quarantine, channel.connection)
        result = self._ask(channel, partial(self._change, new, removed, has_quarantine))
        if result is None:
            # What is another's stays so.
            result = _Result(dict(self._taken))
            # Not with each queue that a worker declares: each would wait for it.
            self._is_unwritten = True
        else:
            self._written_at = monotonic()
            for name, written in removed.items():
                self._removed.take(name, written)
            if result.taken:
                self._taken_at = monotonic()
        asked = {each.name for each in new}
        still = {name: text for name, text in self._taken.items() if name not in asked}
        self._taken = still | result.taken
        self._entered |= {
            each.name: entered for each, entered in new.items() if each.name not in self._taken
        }
        self._warn(result)
        if result.bound_again:
            time.sleep(LEASE)
        return result.bound_again

    def _warn(self, result: _Result) -> None:
        # Celery's child processes have a parent that says it once for all of them.
        unknown = [] if current_process().daemon else result.unknown
        for text in (*result.warnings, *unknown):
            if text not in self._warned:
                self._warned.add(text)
                logger.warning(text)

    def _change(
        self,
        new: Mapping[Subscription, tuple[str, ...]],
        removed: Mapping[str, frozenset[str]],
        has_quarantine: Callable[[str], bool],
        register: Register,
    ) -> _Result:
        result = _Result()
        for subscription, patterns in new.items():
            name, entry = subscription.name, register.enter(subscription.name, has_quarantine)
            entry.quarantine |= name in self._noted
            if not self._claim(name, subscription, entry, result):
                continue
            for pattern in patterns:
                if entry.mark(pattern, bound=True):
                    result.bound_again.add(name)
        for name, unbound in removed.items():
            if name not in result.taken:
                for pattern in unbound:
                    register.of(name).mark(pattern, bound=False)
        for subscription, patterns in new.items():
            name = subscription.name
            if name not in self._entered and name not in result.taken:
                result.unknown += unknown_bindings(name, register.of(name), patterns)
        return result

    def _claim(self, name: str, subscription: Subscription, entry: Entry, result: _Result) -> bool:
        """Write down whose it is. Return False if it is another service's."""
        owner = Owner(self._service, identity_of(subscription.handler))
        found = claim(owner, entry.owners)
        if found is Claim.FOREIGN:
            result.taken[name] = ownership.foreign(name, owner, entry.owners)
            return False
        if found is Claim.DOUBTFUL:
            result.warnings.append(ownership.doubtful(name, owner, entry.owners))
        entry.add_owner(owner)
        return True

    def note_quarantine(self, channel: Channel, name: str) -> None:
        """Write down that it is made, for others to consume it. Not by a user without rights.

        Raises:
            TopologyError: the register cannot be had now.
        """
        with self._lock:
            self._noted.add(name)
            is_noted = self._ask(channel, lambda register: register.note_quarantine(name))
        if is_noted is None:
            text = f"the quarantine of {name!r} cannot be written down in the register"
            if self._has_rights:
                raise TopologyError(f"{text} now, and is not made: nobody else would find it")
            logger.warning("%s by this user: workers of a user who has rights miss it", text)

    # Knowledge

    def has_quarantine(self, name: str) -> bool:
        """Return True unless it is known that nobody has needed it yet."""
        entry = self._known.entries.get(name)
        return entry is None or entry.quarantine

    def has_unbound(self, subscription: Subscription, event_type: str) -> bool:
        """Return True if it is certain that an event came by a binding that was removed."""
        name = subscription.name
        entry = self._known.entries.get(name, _NOTHING)
        removed = self._removed.of(name) | self._removed_here.of(name)
        bound = (pattern for pattern in entry.bound if pattern not in removed)
        if any_matches(removed, event_type) and not any_matches(bound, event_type):
            return True
        return self._age < LEASE and entry.has_unbound(event_type)

    def begin_reading(self, subscription: Subscription) -> bool:
        """Return True if what is known is no longer good for the next events.

        The caller then has `read` called, or calls `not_read`: until then the answer is False.
        """
        has_none = subscription.broadcast or not self._has_rights
        if has_none or self._is_asking or self._age < LEASE / 2:
            return False
        self._is_asking = True
        return True

    def read(self, channel: Channel) -> None:
        """Ask the register what is known by now, unless another process has it just now."""
        try:
            with self._lock:
                self._had(lambda: (self._queue.look(channel.connection), None))
        except RegisterBusyError:
            # A later event asks again. Nobody who publishes is to wait for it.
            pass
        finally:
            self._is_asking = False

    def not_read(self) -> None:
        """Note that it could not be asked."""
        self._is_asking = False

    @property
    def _age(self) -> float:
        return monotonic() - self._read_at

    @property
    def _has_rights(self) -> bool:
        return monotonic() >= self._refused_until

    def _must_not_break(self) -> None:
        if self._losses >= _MOST_LOSSES:
            raise RegisterError(f"{self._losses} connections were lost over it")

    def _ask(self, channel: Channel, change: Callable[[Register], T]) -> T | None:
        asked = -math.inf

        def look(register: Register) -> T:
            nonlocal asked
            # Under the lock, as is whoever binds: waiting for it may take longer than a lease.
            asked = monotonic()
            return change(register)

        return self._had(lambda: self._queue.change(channel.connection, look), lambda: asked)

    def _had(
        self, having: Callable[[], tuple[Register, T]], asked: Callable[[], float] | None = None
    ) -> T | None:
        """Know the register that a function gets; None where it cannot be had."""
        if not self._has_rights:
            return None
        began = monotonic()
        try:
            self._must_not_break()
            self._known, result = having()
        except NoRightsError:
            text = (
                "the register of subscriptions is not for this user: whose they are, and what "
                "others have unbound, is not known here"
            )
            # Rights may be given later.
            level = logging.INFO if self._refused_until < 0 else logging.DEBUG
            logger.log(level, text)
            self._refused_until = monotonic() + REFUSED
            return None
        except RegisterBusyError:
            raise
        except RegisterError as error:
            logger.warning(
                "the register of subscriptions cannot be had, and nothing is written down: %s",
                error,
            )
            self._losses = 0
            return None
        except LOST:
            self._losses += 1
            raise
        self._read_at, self._losses = began if asked is None else asked(), 0
        return result
