"""`spool=`: a path or a Spool, on RabbitMQ; in memory it is checked and has no effect."""

from pathlib import Path

import pytest

from qt_events import Event, InMemoryEventBus, Published, create_event_bus
from qt_events.delivery.publishing.spooling import spool_of
from qt_events.errors import InvalidOptionError
from qt_events.outbox.spool import Spool


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_a_path_is_a_spool_in_a_file(tmp_path: Path) -> None:
    """Nothing is opened: commands import programs whose bus has a spool."""
    for path in (tmp_path / "spool.db", str(tmp_path / "spool.db")):
        spool = spool_of(path)
        assert isinstance(spool, Spool)
        assert spool.path == tmp_path / "spool.db"
    bus = create_event_bus("amqp://guest@127.0.0.1:1//", spool=tmp_path / "spool.db")
    assert bus.get_stats()["spool"]["state"] == "opening"
    bus.close()
    assert files(tmp_path) == []


@pytest.mark.parametrize("spool", ["", 7, Spool, object()])
@pytest.mark.parametrize("url", ["memory://", "amqp://guest@127.0.0.1:1//"])
def test_anything_else_is_refused_by_name_on_every_bus(url: str, spool: object) -> None:
    """Moving to another URL finds no mistake that was there before."""
    with pytest.raises(InvalidOptionError, match="spool="):
        create_event_bus(url, spool=spool)
    with pytest.raises(InvalidOptionError, match="spool_after="):
        create_event_bus(url, spool_after=0)


async def test_in_memory_everything_is_confirmed(tmp_path: Path) -> None:
    """There is no broker that could be away."""
    bus = InMemoryEventBus(spool=tmp_path / "spool.db")
    assert await bus.publish(Event("a.b")) is Published.CONFIRMED
    assert bus.get_stats()["spool"] == {}
    assert files(tmp_path) == []
