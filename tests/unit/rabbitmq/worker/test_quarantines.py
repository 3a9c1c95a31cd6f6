"""Quarantines that others have made: the main process of prefork looks for its children's."""

from unittest.mock import MagicMock, Mock

from qt_events.rabbitmq.worker.quarantines import Quarantines


def test_any_number_of_suspects_are_looked_for_once() -> None:
    """A child that moves an event cannot tell: half a minute would pass by the other looks."""
    consumer, runtime = MagicMock(), Mock()
    quarantines = Quarantines(consumer, runtime)
    for _ in range(3):
        quarantines.look_soon()
    [call] = consumer.timer.call_after.call_args_list
    _, call_soon, (look,) = call.args
    assert call_soon is consumer.call_soon
    look()
    runtime.declarations.look_for_quarantines.assert_called_once()
    quarantines.look_soon()
    assert consumer.timer.call_after.call_count == 2
