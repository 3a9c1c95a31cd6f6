"""Redeliveries: messages that come again while, or after, their first delivery is handled here."""

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from qt_events.delivery.outcome import Outcome
from qt_events.delivery.waiting.lanes import Lane
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.unacknowledged import Delivered, UnacknowledgedEvents, delivered
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery

_AT_A_TIME = 100  # outcomes of one subscription that are made safe


class Redeliveries:
    """Settles messages that the broker delivers again after a lost connection.

    A handler that still runs gets the new delivery in place of its old one. The outcome of one that
    has ended is used. So neither is called twice, unless another worker gets the message.

    `finish` makes a delivery's outcome safe and settles it, in lanes of their own: `on_new` is
    called with each.
    """

    def __init__(
        self,
        known: UnacknowledgedEvents,
        finish: Callable[[Delivery], Coroutine[Any, Any, None]],
        on_new: Callable[[Lane[Delivery]], None],
    ) -> None:
        self._known, self._finish, self._on_new = known, finish, on_new
        #: Outcomes that are made safe, by subscription: those of one may wait for the broker.
        self.lanes: dict[str, Lane[Delivery]] = {}
        # Handlers that run on without a connection.
        self._running: dict[Delivered, Delivery] = {}
        # Came while Celery's thread set the consumers up.
        self._waiting: list[Delivery] = []

    def store(self, delivery: Delivery) -> None:
        """Make a delivery's outcome safe, beside its subscription's own lane."""
        name = delivery.name
        lane = self.lanes.get(name)
        if lane is None:
            lane = Lane(_AT_A_TIME, self._finish, partial(self._drop_lane, name))
            self.lanes[name] = lane
            self._on_new(lane)
        lane.push(delivery)

    def _drop_lane(self, name: str) -> None:
        self.lanes.pop(name, None)

    def knows(self, envelope: Envelope) -> bool:
        """Return True for a message that came before, and is to be given to `take`."""
        return envelope.redelivered and (
            delivered(envelope) in self._running or self._known.knows(envelope)
        )

    def take(self, delivery: Delivery, *, now: bool) -> None:
        """Settle a message that it knows: now, or once the loop owns the connection."""
        if now:
            self._settle(delivery)
        else:
            self._waiting.append(delivery)

    def resume(self) -> None:
        """Settle what came before the loop owned the connection."""
        waiting, self._waiting = self._waiting, []
        for delivery in waiting:
            self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        if delivery.is_void():
            return
        running = self._running.pop(delivered(delivery.envelope), None)
        if running is not None:
            running.renew(delivery)
        elif not self._known.knows(delivery.envelope):
            # It ended without an outcome meanwhile. This process lives: the return does not count.
            delivery.task.runtime.survived.grant(delivery.envelope)
            delivery.give_back()
        elif (outcome := self._known.take(delivery.envelope)) is not None:
            delivery.decided(outcome)
            self.store(delivery)
        else:
            delivery.replace()

    def cut_off(self, key: tuple[str, bool]) -> None:
        """Use no tag of a lane's consumer that is gone, for the broker delivers again what waits.

        What is known of it is used then.
        """
        for delivery in self._waiting:
            if delivery.lane_key == key:
                delivery.cut_off()
        lane = self.lanes.get(key[0])
        for delivery in lane.clear() if lane is not None else ():
            if delivery.lane_key == key:
                delivery.cut_off()
                self.abandon(delivery)
            else:
                self.store(delivery)

    def give_back(self, delivery: Delivery) -> None:
        """Have a message delivered again whose outcome is not safe, if there is one."""
        if delivery.is_void():
            self.end(delivery, delivery.outcome)
        else:
            self._remember(delivery)
            delivery.give_back()

    def abandon(self, delivery: Delivery) -> None:
        """Leave it to the broker, which delivers it again: to this process, while it lives."""
        self._remember(delivery)
        delivery.forget()

    def _remember(self, delivery: Delivery) -> None:
        """Use its outcome when it comes again; without one, do not count the return."""
        if delivery.outcome is not None:
            self._known.add(delivery.envelope, delivery.outcome)
        delivery.task.runtime.survived.grant(delivery.envelope)

    def go_on(self, running: Iterable[Delivery]) -> None:
        """Note handlers that run while the connection is lost; only those with an id to find."""
        for each in running:
            if each.envelope.event_id:
                self._running[delivered(each.envelope)] = each

    def end(
        self, delivery: Delivery, outcome: Outcome | None = None, *, safe: bool = False
    ) -> None:
        """Note that such a handler has ended, without an outcome if there is none.

        `safe`: what follows from it was published already.
        """
        self._running.pop(delivered(delivery.envelope), None)
        if outcome is not None:
            self._known.add(delivery.envelope, None if safe else outcome)
        delivery.forget()
