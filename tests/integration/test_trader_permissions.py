"""Components of Quantum Trader as users of a broker: OppRank may write `opportunities.*` only."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqp.exceptions import AccessRefused

from qt_events import PublishRefusedError
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.operating.undeclared import undeclared
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.testing.broker import Broker
from tests.integration.guarded import Guarded
from tests.support.waiting import until_told
from tests.unit.workers.harness import MONDAY
from workers.events import MarketClosedEvent
from workers.publishers import components, lasting_subscriptions
from workers.store import Store

# RabbitMQ starts, two commands run, and ninety queues are declared.
pytestmark = pytest.mark.timeout(300)

OPPRANK = "opprank"
OWN_TYPES = {"opportunities.updated", "opportunities.analyzed"}
ALL_TYPES = sorted(event_type for each in components() for event_type in each.publishes)
SUBSCRIPTION = "opp_rank.on_market_closed"


@pytest.fixture(scope="module")
def trader(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Quantum Trader after `qt-events topology permissions --apply --app workers`."""
    name = f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    opened = Guarded(
        url, broker.management_url, "qt", tmp_path_factory.mktemp("trader"), app="workers"
    )
    try:
        opened.let_in()
        yield opened
    finally:
        opened.fleet.close()
        broker.management.delete_vhost(name)
        users = ",".join(f'<<"qt-{each.name}">>' for each in components())
        broker.rabbitmqctl(
            "eval", f'[rabbit_auth_backend_internal:delete_user(U, <<"test">>) || U <- [{users}]].'
        )


async def test_opprank_may_write_opportunities_and_every_other_type_is_refused_by_name(
    trader: Guarded,
) -> None:
    """Every type that any component publishes is tried."""
    with trader.bus(OPPRANK) as bus:
        for event_type in ALL_TYPES:
            message = Content(b"{}", {"content_type": "application/json"})
            order = PublishRequest(bus.topology.events, event_type, message, must_route=False)
            if event_type in OWN_TYPES:
                await bus.publisher.ask(order)
            else:
                with pytest.raises(PublishRefusedError, match=rf"ACCESS_REFUSED.*'{event_type}'"):
                    await bus.publisher.ask(order)
    assert set(ALL_TYPES) > OWN_TYPES
    assert trader.depth("sub.market_feed.on_market_analyzed") == 1
    trader.purge("sub.market_feed.on_market_analyzed")


def test_opprank_cannot_read_what_others_hear(trader: Guarded) -> None:
    """Only one queue of the system is readable for OppRank."""
    subscriptions = [each for component in components() for each in component.subscriptions]
    names = [f"{each.name}.{'a' * 12}" if each.broadcast else each.name for each in subscriptions]
    readable = []
    for name in names:
        with trader.channel(OPPRANK) as channel:
            try:
                channel.basic_get(trader.name(f"sub.{name}"))
            except AccessRefused:
                continue
            readable.append(name)
    assert readable == [SUBSCRIPTION]


async def test_with_these_rights_opprank_does_its_work(trader: Guarded, tmp_path: Path) -> None:
    """The feed's close reaches OppRank, and OppRank's report reaches the feed."""
    database = f"sqlite:///{tmp_path}/store.db"
    store = Store(database)
    await store.prices.add(MONDAY, {"A": 10.0})
    store.dispose()
    with trader.bus("feed") as feed:
        await feed.publish(MarketClosedEvent.create(day=MONDAY, closes={"A": 10.0}))
    worker = await trader.work(OPPRANK, serves=SUBSCRIPTION, ready=False, QT_DATABASE_URL=database)
    answered = lambda: trader.depth("sub.market_feed.on_market_analyzed") == 1  # noqa: E731
    await until_told(answered, what="opportunities.analyzed", timeout=60)
    assert "REFUSED" not in worker.output
    with trader.channel("feed") as channel:
        raw = channel.basic_get(trader.name("sub.market_feed.on_market_analyzed"))
    assert raw.delivery_info["routing_key"] == "opportunities.analyzed"


def test_the_feeds_look_for_others_queues_needs_no_right(trader: Guarded) -> None:
    """RabbitMQ from 4.3 on refuses it, and the feed begins all the same."""
    with trader.bus("feed") as bus:
        assert undeclared(bus, lasting_subscriptions()) == []
