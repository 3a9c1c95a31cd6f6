"""Standing: exchanges, queues and bindings, declared; or found standing, where this user may declare nothing.

A component with rights of its own may not configure what others rely on: an administrator has declared that for it
(`qt-events topology declare`), and it only makes sure. See docs/security.md.
"""

import logging
from collections.abc import Callable
from typing import Any

from amqp import Channel
from amqp.exceptions import AccessRefused, NotFound

from qt_events.errors import TopologyError
from qt_events.rabbitmq.connection.refusals import is_about_a_publish

logger = logging.getLogger("qt_events")


class Declarer:
    """What has to stand, over one channel. A refusal closes that; py-amqp opens it again.

    `refused` remembers names that this user may not declare, or bind, for as long as its owner likes: RabbitMQ logs
    each try, and so does this.
    """

    def __init__(self, channel: Channel, refused: set[str]) -> None:
        self._channel, self._refused = channel, refused

    def exchange(self, name: str, type: str, **arguments: Any) -> bool:
        """Whether it was declared; else it stands, and is believed to be right.

        Raises:
            TopologyError: it does not stand, and this user may not declare it.
            amqp.exceptions.PreconditionFailed: it stands with other arguments.
        """
        options = {"durable": True, "auto_delete": False}
        return self._stands(
            name,
            lambda: self._channel.exchange_declare(name, type, arguments=arguments, **options),
            lambda: self._channel.exchange_declare(name, type, passive=True, **options),
        )

    def queue(self, name: str, **arguments: Any) -> bool:
        """As `exchange`."""
        return self._stands(
            name,
            lambda: self._channel.queue_declare(
                name, durable=True, auto_delete=False, exclusive=False, arguments=arguments
            ),
            lambda: self._channel.queue_declare(name, passive=True),
        )

    def bind(self, queue: str, exchange: str, key: str, *, served: bool = True) -> None:
        """Bind it; `served` here, by this process. If not, and this user may not, then whose it is has bound it.

        Raises:
            TopologyError: the queue is this user's, and it may not hear that; or it is served here.
        """
        if not served and _binding(queue) in self._refused:
            return
        try:
            self._channel.queue_bind(queue, exchange, key)
        except AccessRefused as error:
            is_anothers = not served and f"queue {queue!r}" in error.reply_text
            if not is_anothers and not is_about_a_publish(error):
                message = (
                    f"this user may not bind {queue!r} to {exchange!r} by {key!r}: "
                    "run `qt-events topology permissions --apply` as an administrator"
                )
                raise TopologyError(message) from error
            self._note(
                _binding(queue), error, f"{queue!r} is bound by others: this user may not do it"
            )

    def _stands(self, name: str, declare: Callable[[], object], look: Callable[[], object]) -> bool:
        if name not in self._refused:
            try:
                declare()
                return True
            except AccessRefused as error:
                self._note(name, error, f"{name!r} is declared by others: this user may not do it")
        try:
            look()
            return False
        except NotFound as error:
            message = (
                f"{name!r} is missing on the broker, and this user may not declare it: "
                "run `qt-events topology declare` as an administrator"
            )
            raise TopologyError(message) from error

    def _note(self, name: str, error: AccessRefused, told: str) -> None:
        if is_about_a_publish(
            error
        ):  # of the publisher, whose channel ended while this one's answer was waited for
            raise error
        self._refused.add(name)
        logger.info(told)


def _binding(queue: str) -> str:
    return f"-> {queue}"
