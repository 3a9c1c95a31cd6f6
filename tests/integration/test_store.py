"""The store on SQLite and on PostgreSQL."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from qt_events import RiskMode, Side
from tests.support.fleet.forks import ForkingKeeper
from workers.fleet.postgres import PrivatePostgres
from workers.store import Database, PolicyStore, Store, StoredClose, StoreUnavailableError, Trade

DAY = date(2024, 1, 2)
NEXT = DAY + timedelta(1)
PATH = {"PYTHONPATH": str(Path(__file__).parents[2])}

# Another process's part: it adds each document and each trade that this one adds too.
ADDING = """
import asyncio, sys
from datetime import date
from qt_events import Side
from workers.store import Store, Trade

async def main(url):
    store = Store(url)
    new = 0
    for number in range(100):
        new += await store.documents.add("race", str(number), {"by": sys.argv[2]})
        trade = Trade(str(number), date(2024, 1, 2), "A", Side.BUY, 1, 1.0, "s", "m", None)
        new += await store.trades.add("race", trade)
    print(new)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = Store(url)
    yield opened
    opened.dispose()


def trade(
    order_id: str = "1", day: date = DAY, pnl_cents: int | None = None, **columns: str
) -> Trade:
    own = {"symbol": "A", "strategy_id": "core", "model": "XGBoost v1"} | columns
    side = Side.BUY if pnl_cents is None else Side.SELL
    return Trade(
        order_id=order_id, day=day, side=side, size=10, price=0.1, pnl_cents=pnl_cents, **own
    )


async def test_a_new_store_is_empty_until_something_is_kept(store: Store) -> None:
    assert await store.is_empty()
    await store.policies.set_risk_mode(RiskMode.NORMAL, DAY)
    assert not await store.is_empty()


async def test_a_days_prices_are_kept_once_and_exactly(store: Store) -> None:
    """A second write of a day changes nothing; floats come back to the last digit."""
    closes = {"B": 0.1 + 0.2, "A": 1e-9}
    await store.prices.add(NEXT, {"A": 2.0})
    await store.prices.add(DAY, closes)
    await store.prices.add(DAY, {"A": 3.0})
    assert await store.prices.between(None, NEXT) == [
        StoredClose(DAY, closes),
        StoredClose(NEXT, {"A": 2.0}),
    ]
    assert await store.prices.between(DAY, date.max) == [StoredClose(NEXT, {"A": 2.0})]
    assert await store.prices.between(NEXT, date.max) == []


async def test_documents_are_put_over_and_added_once(store: Store) -> None:
    """`put` replaces, `add` does not; kinds are separate."""
    await store.documents.put("plan", "b", {"n": 1})
    await store.documents.put("plan", "b", {"n": {"deep": [1, None, "ü"]}})
    assert await store.documents.add("plan", "a", {"n": 2})
    assert not await store.documents.add("plan", "a", {"n": 3})
    await store.documents.put("other", "a", {})
    assert await store.documents.all("plan") == {
        "a": {"n": 2},
        "b": {"n": {"deep": [1, None, "ü"]}},
    }
    assert list(await store.documents.all("plan")) == ["a", "b"]
    assert (await store.documents.count("plan"), await store.documents.get("plan", "c")) == (
        2,
        None,
    )


async def test_a_trade_is_entered_once_in_each_book(store: Store) -> None:
    """The order id identifies it; the first entry stays."""
    assert await store.trades.add("executor", trade())
    assert not await store.trades.add("executor", trade(symbol="B"))
    assert await store.trades.add("analytics", trade())
    assert await store.trades.between("executor", None, DAY) == [trade()]
    assert (await store.trades.count("executor"), await store.trades.count("nobody's")) == (1, 0)


async def test_trades_come_by_day_and_order(store: Store) -> None:
    """The order of entry does not matter."""
    kept = [trade("1"), trade("2"), trade("0", NEXT)]
    for each in reversed(kept):
        await store.trades.add("book", each)
    assert await store.trades.between("book", None, NEXT) == kept
    assert await store.trades.between("book", DAY, NEXT) == kept[2:]


async def test_profit_is_summed_up_by_each_column(store: Store) -> None:
    """Sales alone count, in cents."""
    for number, (symbol, cents) in enumerate([("A", 5), ("A", -7), ("B", 3)]):
        await store.trades.add("book", trade(str(number), pnl_cents=cents, symbol=symbol))
    await store.trades.add("book", trade("purchase", symbol="C"))
    assert await store.trades.profit("book", "symbol") == {"A": -2, "B": 3}
    assert await store.trades.profit("book", "strategy_id") == {"core": 1}
    assert await store.trades.profit("nobody's", "model") == {}


async def test_the_policy_store_knows_the_newest_and_all_before(url: str) -> None:
    """MSC AI gets this part of the store alone; the default day is today."""
    database = Database(url)
    policies = PolicyStore(database)
    assert await policies.risk_mode() is None
    await policies.set_risk_mode(RiskMode.DEFENSIVE, DAY)
    await policies.set_risk_mode(RiskMode.NORMAL, DAY)
    await policies.set_risk_mode(RiskMode.AGGRESSIVE)
    assert await policies.risk_mode() is RiskMode.AGGRESSIVE
    assert (await policies.history())[0] == (DAY, RiskMode.NORMAL)
    database.dispose()


def test_two_processes_make_one_store_at_once_and_lose_nothing(url: str) -> None:
    """Either may create the schema; every row of both is there once."""
    keeper, names = ForkingKeeper("qt-events-store-"), ("one", "two")
    try:
        command = [sys.executable, "-c", ADDING, url]
        processes = [keeper.spawn(name, [*command, name], {**os.environ, **PATH}) for name in names]
        statuses = [process.wait(100) for process in processes]
        outputs = [(keeper.folder / f"{name}.out").read_text() for name in names]
    finally:
        keeper.close()
    assert statuses == [0, 0], outputs
    assert sum(map(int, outputs)) == 200
    store = Store(url)
    assert (
        asyncio.run(store.documents.count("race")) == asyncio.run(store.trades.count("race")) == 100
    )
    store.dispose()


async def test_a_server_that_is_away_has_a_name_and_comes_back(
    own_postgres: PrivatePostgres,
) -> None:
    """The error has no password; the same store works again, with its data."""
    store = Store(own_postgres.url)
    await store.documents.put("kind", "key", {"n": 1})
    own_postgres.kill()
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1") as refused:
        await store.documents.get("kind", "key")
    password = own_postgres.url.split(":")[2].split("@")[0]
    assert password not in str(refused.value) + repr(refused.value) + repr(refused.value.__cause__)
    own_postgres.restart()
    assert await store.documents.get("kind", "key") == {"n": 1}
    store.dispose()


async def test_a_wrong_password_is_refused_without_showing_it(postgres_url: str) -> None:
    store = Store(postgres_url.replace("@", "planted@", 1))
    with pytest.raises(StoreUnavailableError, match="authentication") as refused:
        await store.is_empty()
    assert "planted" not in str(refused.value)
    store.dispose()


async def test_who_was_held_up_does_not_put_the_day_back(store: Store) -> None:
    """`advance` keeps the later day in any order; the same day again replaces."""
    for day, number in (("2024-01-03", 1), ("2024-01-02", 2), ("2024-01-03", 3)):
        await store.documents.advance("policy", "", {"day": day, "n": number})
    assert await store.documents.get("policy", "") == {"day": "2024-01-03", "n": 3}
