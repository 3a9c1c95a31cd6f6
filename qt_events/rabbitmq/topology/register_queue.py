"""RegisterQueue: the register as one message on the broker, changed by one process at a time.

It is taken, and stored again if it changed: a confirmed copy, then the acknowledgement. If a
process dies in between there are two messages, and the next one merges them.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import kombu
from amqp import Channel, spec
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import (
    AccessRefused,
    ChannelError,
    MessageNacked,
    NotFound,
)

from qt_events.errors import BrokerError
from qt_events.rabbitmq.connection.connections import visiting
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.messages.envelope import RETURNS, body_of
from qt_events.rabbitmq.messages.properties import PERSISTENT
from qt_events.rabbitmq.topology.broker_lock import PATIENCE, LockedError, broker_lock
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.register import Register

logger = logging.getLogger("qt_events")

T = TypeVar("T")

_CLOSE = "BsBB"  # reply_code, reply_text, class_id, method_id
_CONFIRMED = 5.0  # seconds for the confirm; none comes while the broker has an alarm
# Seconds in which a message comes back that another process had: if it died, or from another node.
_COMES_BACK = 1.0
_POLL = 0.02
# The broker drops a message that came back a million times.
_RETURNED_OFTEN = 1_000


class RegisterError(Exception):
    """Register that cannot be had now; the text says why."""


class RegisterBusyError(RegisterError):
    """Register that another process has just now."""


class NoRightsError(RegisterError):
    """Register that this user may not have."""


class RegisterQueue:
    """Register of a prefix.

    Args:
        topology: names it.
        connect: makes a connection for writing, not connected yet. An alarm of the broker stops a
            connection that publishes, and a worker's must go on.
    """

    def __init__(self, topology: Topology, connect: Callable[[], kombu.Connection]) -> None:
        self._topology, self._connect = topology, connect

    def change(self, connection: Any, change: Callable[[Register], T]) -> tuple[Register, T]:
        """Have a function look at the register, and change it; return it with the result.

        Raises:
            NoRightsError: this user may not have it. A component's user may not.
            RegisterError: others had it for too long, or it could not be stored.
        """
        return self._having(connection, PATIENCE, lambda channel: self._changed(channel, change))

    def look(self, connection: Any) -> Register:
        """Return the register, without waiting for others.

        Raises:
            NoRightsError: this user may not have it.
            RegisterBusyError: another process has it just now.
        """
        register, is_worn = self._having(connection, 0.0, self._read)
        if is_worn:
            self.change(connection, lambda _: None)
        return register

    def has_quarantine(self, connection: Any, name: str) -> bool:
        """Return True unless it is certain that a subscription has no quarantine."""
        with connection.channel() as channel:
            try:
                self._topology.depth(channel, self._topology.quarantine(name))
            except NotFound:
                return False
            # It may be, and this user may not look.
            except AccessRefused:
                return True
        return True

    def _having(self, connection: Any, patience: float, use: Callable[[Channel], T]) -> T:
        """Call `use` with a channel while this process has the register to itself."""
        channel = connection.channel()
        channel.auto_decode = False
        try:
            with broker_lock(channel, self._topology.register_lock, patience):
                return use(channel)
        except LockedError as error:
            raise (RegisterError if patience else RegisterBusyError)(str(error)) from error
        except ChannelError as error:
            # The publisher's own channel may end meanwhile.
            if is_about_a_publish(error):
                raise
            kind = NoRightsError if isinstance(error, AccessRefused) else RegisterError
            raise kind(error.reply_text) from error
        finally:
            if connection.connected and channel.is_open:
                # In order with what was done before it, so nobody need wait for the answer.
                channel.is_closing = True
                channel.send_method(spec.Channel.Close, _CLOSE, (0, "", 0, 0))

    def _changed(self, channel: Channel, change: Callable[[Register], T]) -> tuple[Register, T]:
        messages = list(self._messages(channel))
        register = self._merged(messages)
        if not messages:
            register.is_younger = self._topology.has_base(channel)
        before = register.encode()
        result = change(register)
        last = messages[-1].delivery_info["delivery_tag"] if messages else 0
        is_stored = len(messages) == 1 and before == messages[0].body == register.encode()
        if is_stored and not _is_worn(messages):
            channel.basic_reject(last, requeue=True)
            return register, result
        self._store(register)
        if messages:
            channel.basic_ack(last, multiple=True)
        return register, result

    def _read(self, channel: Channel) -> tuple[Register, bool]:
        try:
            raw = channel.basic_get(self._topology.register)
        except NotFound:
            return Register(), False
        messages = list(self._and_all_behind(channel, raw))
        if not messages:
            raise RegisterBusyError("another process had it, and it is on its way back")
        # py-amqp's own waits for no answer, which would meet a channel that is closed.
        channel.send_method(spec.Basic.Recover, "b", (True,), wait=spec.Basic.RecoverOk)
        return self._merged(messages), _is_worn(messages)

    def _merged(self, messages: list[RawMessage]) -> Register:
        register = Register()
        for raw in messages:
            try:
                register.merge(Register.decode(body_of(raw)))
            except ValueError as error:
                logger.warning(
                    "%s held something that this library has not written (%s): it is written anew",
                    self._topology.register,
                    error,
                )
        return register

    def _messages(self, channel: Channel) -> Iterator[RawMessage]:
        name = self._topology.register
        try:
            raw = channel.basic_get(name)
        except NotFound:
            self._topology.declare_register(channel)
            return
        deadline = time.monotonic() + _COMES_BACK
        while raw is None and time.monotonic() < deadline:
            time.sleep(_POLL)
            raw = channel.basic_get(name)
        yield from self._and_all_behind(channel, raw)

    def _and_all_behind(self, channel: Channel, raw: RawMessage | None) -> Iterator[RawMessage]:
        while raw is not None:
            yield raw
            more = raw.delivery_info["message_count"]
            raw = channel.basic_get(self._topology.register) if more else None

    def _store(self, register: Register) -> None:
        try:
            with visiting(self._connect()) as connection:
                self._publish(connection, register.encode())
        except AccessRefused as error:
            raise NoRightsError(error.reply_text) from error
        except (ChannelError, MessageNacked, BrokerError) as error:
            raise RegisterError(str(error)) from error

    def _publish(self, connection: Any, body: bytes) -> None:
        message = RawMessage(body, delivery_mode=PERSISTENT, content_type="application/json")
        try:
            connection.channel().basic_publish_confirm(
                message, "", self._topology.register, confirm_timeout=_CONFIRMED
            )
        except TimeoutError:
            # A goodbye would not be heard either.
            connection.collect()
            raise


def _is_worn(messages: list[RawMessage]) -> bool:
    return any(_returns(each) > _RETURNED_OFTEN for each in messages)


def _returns(raw: RawMessage) -> int:
    count = (raw.headers or {}).get(RETURNS, 0)
    return count if isinstance(count, int) else 0
