"""Pipeline: declarations that are sent without waiting for the answer to each."""

from typing import Any

from amqp import Channel


class Pipeline:
    """Declaring side of a channel. One round trip confirms all that was sent.

    The broker carries out a channel's methods in their order. It closes the channel over the first
    one that it refuses, and drops the rest.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel, self.connection = channel, channel.connection

    def exchange_declare(self, *args: Any, **options: Any) -> None:
        self._channel.exchange_declare(*args, nowait=True, **options)

    def queue_declare(self, *args: Any, **options: Any) -> None:
        self._channel.queue_declare(*args, nowait=True, **options)

    def queue_bind(self, *args: Any, **options: Any) -> None:
        self._channel.queue_bind(*args, nowait=True, **options)

    def queue_unbind(self, *args: Any, **options: Any) -> None:
        self._channel.queue_unbind(*args, nowait=True, **options)

    def confirm(self) -> None:
        """Return when the broker has carried out everything.

        Raises:
            amqp.exceptions.ChannelError: it refused something; py-amqp opens the channel again.
        """
        # Any method with an answer will do. This one needs no rights, and nothing is consumed here.
        self._channel.basic_qos(0, 0, a_global=False)
