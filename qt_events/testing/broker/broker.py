"""Broker: the operations that tests may ask of a RabbitMQ."""

from typing import Protocol

from qt_events.testing.broker.management import Management


class Broker(Protocol):
    """A RabbitMQ for tests. Only a PrivateBroker does harm; a given one raises NotSupportedError.

    Every call blocks: milliseconds for signals, a second for `rabbitmqctl`, several for a restart.
    In an `async def` test use `asyncio.to_thread` where the loop has to go on meanwhile.
    """

    url: str
    management_url: str
    management: Management

    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...
    def block(self) -> None: ...
    def unblock(self) -> None: ...
    def rabbitmqctl(self, *arguments: str) -> str: ...
