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
from typing import Self, TypeVar

import kombu
from amqp import Channel

from qt_events.delivery.handler_names import identity_of
from qt_events.delivery.subscription import Subscription
from qt_events.errors import SubscriptionTakenError
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
    is_covered,
)
from qt_events.rabbitmq.topology.register_queue import NoRightsError, RegisterError, RegisterQueue

logger = logging.getLogger("qt_events")

T = TypeVar("T")

_NONE: frozenset[str] = frozenset()
_NOTHING = Entry()

# A register that ends connections (its queue has no leader, for one) must not stop all the rest.
_MOST_LOSSES = 2
LEASE = 2.0  #: seconds for which an answer of the register is believed


@dataclass(slots=True)
class _Result:
    """Consequences of a look at the register."""

    #: Error texts, by the subscriptions that are another's.
    taken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    is_bound_again: bool = False


class Registration:
    """Subscriptions of one bus in the register of its prefix. A broadcast is in none."""

    def __init__(self, service: str | None, queue: RegisterQueue) -> None:
        self._service, self._queue = service or "", queue
        self._lock = threading.Lock()  # held while the register is asked, and for a lease
        self._entered: dict[str, tuple[str, ...]] = {}  # patterns, as they were written down
        self._is_behind = False  # there may be subscriptions that are not entered
        self._unwritten: set[str] = set()  # entered, though the register could not be had
        self._taken: dict[str, str] = {}
        # Patterns that were unsubscribed here, by name: to be written down, and those that cannot.
        self._removed: dict[str, frozenset[str]] = {}
        self._removed_here: dict[str, frozenset[str]] = {}
        self._known = Register()
        self._read_at = -math.inf  # time.monotonic() before the register was last asked
        self._has_rights = True
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

    # This process's part

    def keep(self, subscription: Subscription) -> None:
        """Note a subscription that is new or has a new pattern."""
        for removed in (self._removed, self._removed_here):
            _take(removed, subscription.name, frozenset(subscription.patterns))
        self.try_again()

    def try_again(self) -> None:
        """Have the next declaration write down what could not be written before, too."""
        while self._unwritten:
            self._entered.pop(self._unwritten.pop(), None)
        self._is_behind = True

    def remove(self, subscription: Subscription, pattern: str) -> None:
        """Note a pattern that was unsubscribed."""
        self._is_behind = True
        lasts = self._has_rights and not subscription.broadcast
        _add(
            self._removed if lasts else self._removed_here, subscription.name, frozenset((pattern,))
        )

    def drop(self, subscription: Subscription) -> None:
        """Note a subscription that has ended in this process. Its queue stays as it is bound."""
        self._entered.pop(subscription.name, None)

    def forget(self) -> None:
        """Enter everything again: the register was deleted."""
        self._entered.clear()
        self._is_behind = True
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

    def enter(self, channel: Channel, subscriptions: Iterable[Subscription]) -> None:
        """Write down those that are new, before they are declared; nothing if none is."""
        with self._lock:
            if not self._is_behind:
                return
            self._is_behind = False
            patterns = {each: each.patterns for each in tuple(subscriptions) if not each.broadcast}
            new = {
                each: found
                for each, found in patterns.items()
                if self._entered.get(each.name) != found
            }
            try:
                if new or self._removed:
                    self._write(channel, new)
            except BaseException:
                self._is_behind = True
                raise

    def _write(self, channel: Channel, new: Mapping[Subscription, tuple[str, ...]]) -> None:
        removed = dict(self._removed)
        result = self._ask(channel, partial(self._change, new, removed))
        if result is None:
            # What is another's stays so.
            result = _Result(dict(self._taken))
            # Not with each queue that a worker declares: each would wait for it.
            self._unwritten.update(each.name for each in new if each.name not in self._taken)
        else:
            for name, written in removed.items():
                _take(self._removed, name, written)
        self._taken = result.taken
        for each, entered in new.items():
            if each.name in result.taken:
                # It may have been handed over when somebody asks again.
                self._is_behind = True
            else:
                self._entered[each.name] = entered
        for text in result.warnings:
            logger.warning(text)
        if result.is_bound_again:
            time.sleep(LEASE)

    def _change(
        self,
        new: Mapping[Subscription, tuple[str, ...]],
        removed: Mapping[str, frozenset[str]],
        register: Register,
    ) -> _Result:
        result = _Result()
        for subscription, patterns in new.items():
            name, entry = subscription.name, register.of(subscription.name)
            if not self._claim(name, subscription, entry, result):
                continue
            for pattern in patterns:
                result.is_bound_again |= entry.mark(pattern, bound=True)
        for name, unbound in removed.items():
            if name not in result.taken:
                for pattern in unbound:
                    register.of(name).mark(pattern, bound=False)
        for subscription, patterns in new.items():
            name = subscription.name
            if name not in self._entered and name not in result.taken:
                result.warnings += _unknown(name, register.of(name), patterns)
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

    # Knowledge

    def has_unbound(self, subscription: Subscription, event_type: str) -> bool:
        """Return True if it is certain that an event came by a binding that was removed."""
        name = subscription.name
        entry = self._known.entries.get(name, _NOTHING)
        removed = self._removed.get(name, _NONE) | self._removed_here.get(name, _NONE)
        bound = (pattern for pattern in entry.bound if pattern not in removed)
        if any_matches(removed, event_type) and not any_matches(bound, event_type):
            return True
        return self._age < LEASE and entry.has_unbound(event_type)

    def is_to_be_read(self, subscription: Subscription) -> bool:
        """Return True, once, if what is known is no longer good for the next events."""
        has_none = subscription.broadcast or not self._has_rights
        if has_none or self._is_asking or self._age < LEASE / 2:
            return False
        self._is_asking = True
        return True

    def read(self, channel: Channel) -> None:
        """Ask the register what is known by now."""
        try:
            with self._lock:
                self._ask(channel, lambda _: None)
        finally:
            self._is_asking = False

    def not_read(self) -> None:
        """Note that it could not be asked."""
        self._is_asking = False

    @property
    def _age(self) -> float:
        return monotonic() - self._read_at

    def _must_not_break(self) -> None:
        if self._losses >= _MOST_LOSSES:
            raise RegisterError(f"{self._losses} connections were lost over it")

    def _ask(self, channel: Channel, change: Callable[[Register], T]) -> T | None:
        if not self._has_rights:
            return None
        asked = -math.inf

        def look(register: Register) -> T:
            nonlocal asked
            # Under the lock, as is whoever binds: waiting for it may take longer than a lease.
            asked = monotonic()
            return change(register)

        try:
            self._must_not_break()
            self._known, result = self._queue.change(channel.connection, look)
        except NoRightsError:
            logger.info(
                "the register of subscriptions is not for this user: whose they are, and what "
                "others have unbound, is not known here"
            )
            self._has_rights = False
            for name, patterns in self._removed.items():
                _add(self._removed_here, name, patterns)
            self._removed.clear()
            return None
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
        self._read_at, self._losses = asked, 0
        return result


def _add(to: dict[str, frozenset[str]], name: str, patterns: frozenset[str]) -> None:
    to[name] = to.get(name, _NONE) | patterns


def _take(of: dict[str, frozenset[str]], name: str, patterns: frozenset[str]) -> None:
    if left := of.pop(name, _NONE) - patterns:
        of[name] = left


def _unknown(name: str, entry: Entry, patterns: tuple[str, ...]) -> list[str]:
    """Return a warning if the queue is bound by patterns that this process does not have."""
    others = [each for each in entry.bound if not is_covered(each, patterns)]
    if not others:
        return []
    text = (
        f"{name}: its queue is also bound by {', '.join(map(repr, others))}, which this process "
        "does not have. If another release has them, upgrade this one: until then it gives such "
        "events back. If they were dropped, run "
        f"`qt-events topology unbind {name} {' '.join(map(repr, others))}`"
    )
    return [text]
