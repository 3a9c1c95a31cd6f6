"""A queue that was deleted: what stands is looked at again with the next connection."""

from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from amqp.exceptions import NotFound, PreconditionFailed, RecoverableConnectionError

from qt_events.errors import BrokerBlockedError, TopologyError
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.worker import consuming_anew
from qt_events.rabbitmq.worker.consumer import EventConsumer
from qt_events.rabbitmq.worker.consuming_anew import ConsumingAnew

QUEUE: Any = Mock(subscription="audit", quarantined=False)


@pytest.fixture
def consumer() -> Any:
    """Return a consumer that serves a queue, and whose declarations tell what they forget."""
    consumer: Any = EventConsumer.__new__(EventConsumer)
    consumer.pool, consumer.runtime = Mock(spec=AsyncioPool), Mock()
    consumer.task_consumer = Mock()
    return consumer


def test_a_queue_that_is_gone_is_declared_with_the_next_connection(consumer: Any) -> None:
    """Else that one fails as well, and the publisher trusts the queue until then."""
    with pytest.raises(RecoverableConnectionError):
        consumer.give_up_connection(NotFound("no queue"))
    consumer.runtime.declarations.forget.assert_called_once_with()
    consumer.pool.void.assert_called_once_with()


def test_another_error_of_the_channel_declares_nothing_again(consumer: Any) -> None:
    with pytest.raises(RecoverableConnectionError):
        consumer.give_up_connection(PreconditionFailed("held too long"))
    consumer.runtime.declarations.forget.assert_not_called()


def test_celerys_own_pools_declare_again_what_a_cancelled_consumer_read(consumer: Any) -> None:
    """The broker does not say whether its queue is gone."""
    consumer.pool = Mock()
    with pytest.raises(RecoverableConnectionError):
        ConsumingAnew(consumer, Mock()).take_up_again(QUEUE)
    consumer.runtime.declarations.doubt.assert_called_once_with("audit")


async def taken_up(consumer: Any, *made: Exception | None, misses: bool = False) -> Mock:
    """Declare and consume, with these answers of the publisher; return what consumes."""
    consume = Mock()
    declarations = consumer.runtime.declarations
    declarations.made, declarations.misses.return_value = AsyncMock(side_effect=made), misses
    consumer.pool.serving = True
    ConsumingAnew(consumer, Mock()).declare_and([QUEUE], consume)
    await consumer.pool.spawn.call_args.args[0]()
    return consume


async def test_a_queue_is_consumed_once_the_publisher_is_not_blocked_any_more(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may stand for days: nobody else would take it up again."""
    monkeypatch.setattr(consuming_anew, "_FIRST_PAUSE", 0.001)
    consume = await taken_up(consumer, BrokerBlockedError("alarm"), BrokerBlockedError("it"), None)
    consume.assert_called_once_with(QUEUE)


@pytest.mark.parametrize(("misses", "times"), [(True, 0), (False, 1)])
async def test_another_subscriptions_refusal_does_not_keep_a_queue_unserved(
    consumer: Any, misses: bool, times: int
) -> None:
    consume = await taken_up(consumer, TopologyError("other arguments"), misses=misses)
    assert consume.call_count == times
