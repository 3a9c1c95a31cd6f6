"""Declarer: declares exchanges, queues and bindings, or checks passively that they exist.

A component with rights of its own may not configure what others rely on. An administrator has
declared it (`qt-events topology declare`), and the component only checks. See docs/security.md.
"""

import logging
from collections.abc import Callable
from typing import Any

from amqp import Channel
from amqp.exceptions import AccessRefused, NotFound

from qt_events.errors import TopologyError
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.topology.pipeline import Pipeline

logger = logging.getLogger("qt_events")


class Declarer:
    """Declares over one channel. A refusal closes the channel; py-amqp opens it again.

    `refused` remembers what this user may not declare or bind, with the connection that was told:
    RabbitMQ logs each try, and so does this class. What is missing is tried once a connection.
    """

    def __init__(self, channel: Channel | Pipeline, refused: dict[str, object]) -> None:
        self._channel, self._refused = channel, refused

    def exchange(self, name: str, type: str, **arguments: Any) -> bool:
        """Return True if it was declared; else it exists, with unknown arguments.

        It is taken to exist if this user may not even look.

        Raises:
            TopologyError: it does not exist, and this user may not declare it.
            amqp.exceptions.PreconditionFailed: it exists with other arguments.
        """
        options = {"durable": True, "auto_delete": False}
        return self._declare_or_check(
            name,
            lambda: self._channel.exchange_declare(name, type, arguments=arguments, **options),
            lambda: self._channel.exchange_declare(name, type, passive=True, **options),
        )

    def queue(self, name: str, **arguments: Any) -> bool:
        """Do the same as `exchange`, for a queue."""
        return self._declare_or_check(
            name,
            lambda: self._channel.queue_declare(
                name, durable=True, auto_delete=False, exclusive=False, arguments=arguments
            ),
            lambda: self._channel.queue_declare(name, passive=True),
        )

    def bind(self, queue: str, exchange: str, key: str, *, served: bool = True) -> None:
        """Bind a queue.

        If it is not `served` by this process and this user may not bind it, its owner has.

        Raises:
            TopologyError: this user may not bind its own queue by this key, or one served here.
        """
        if not served and _binding(queue) in self._refused:
            return
        try:
            self._channel.queue_bind(queue, exchange, key)
        except AccessRefused as error:
            is_anothers = not served and f"queue {queue!r}" in error.reply_text
            if not is_anothers and not is_about_a_publish(error):
                raise TopologyError(
                    f"this user may not bind {queue!r} to {exchange!r} by {key!r}: "
                    "run `qt-events topology permissions --apply` as an administrator"
                ) from error
            self._note(
                _binding(queue), error, f"{queue!r} is bound by others: this user may not do it"
            )

    def unbind(self, queue: str, exchange: str, key: str) -> None:
        """Remove a binding. It stays if this user may not: its owner removes it."""
        try:
            self._channel.queue_unbind(queue, exchange, key)
        except (AccessRefused, NotFound) as error:
            if is_about_a_publish(error):
                raise
            logger.info("%r stays bound by %r, if it is: %s", queue, key, error.reply_text)

    def _declare_or_check(
        self, name: str, declare: Callable[[], object], check: Callable[[], object]
    ) -> bool:
        if name in self._refused:
            try:
                self._check(name, check)
                return False
            except NotFound as error:
                if self._refused[name] is self._channel.connection:
                    raise _missing(name) from error
                # This user may be allowed by now.
        try:
            declare()
            return True
        except AccessRefused as error:
            self._note(name, error, f"{name!r} is declared by others: this user may not do it")
        try:
            self._check(name, check)
        except NotFound as error:
            raise _missing(name) from error
        return False

    def _check(self, name: str, check: Callable[[], object]) -> None:
        if _look(name) in self._refused:
            return
        try:
            check()
        except AccessRefused as error:
            # RabbitMQ 4.3 shows a name only to who has some right on it. That it is missing shows
            # when something is published there.
            self._note(_look(name), error, f"{name!r} is taken to exist: this user may not look")

    def _note(self, name: str, error: AccessRefused, message: str) -> None:
        # The publisher's channel may end while an answer on this one is waited for.
        if is_about_a_publish(error):
            raise error
        self._refused[name] = self._channel.connection
        logger.info(message)


def _look(name: str) -> str:
    return f"? {name}"


def _binding(queue: str) -> str:
    return f"-> {queue}"


def _missing(name: str) -> TopologyError:
    return TopologyError(
        f"{name!r} is missing on the broker, and this user may not declare it: "
        "run `qt-events topology declare` as an administrator"
    )
