"""Broker: a RabbitMQ that tests use, as far as they may."""

from typing import Protocol

from qt_events.testing.broker.management import Management


class Broker(Protocol):
    """What tests may ask of a RabbitMQ. Only a PrivateBroker does what harms; a given one refuses: NotSupportedError.

    Every call blocks: milliseconds for signals, a second for what goes through `rabbitmqctl`, several for a restart.
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
