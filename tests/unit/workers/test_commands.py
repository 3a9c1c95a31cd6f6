"""`python -m workers analytics` and `feed`."""

import asyncio
import json
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from qt_events import Side
from tests.unit.workers.harness import MONDAY, trade
from workers.__main__ import main
from workers.store import Store
from workers.system.listeners.analytics import BOOK


@pytest.fixture(autouse=True)
def no_database_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QT_DATABASE_URL", raising=False)


def workers(*args: str) -> Any:
    """Return the exit status."""
    with pytest.raises(SystemExit) as end:
        main(args)
    return end.value.code


@pytest.fixture
def traded(store: Store, database: str) -> str:
    """URL of a database with two sales."""

    async def trade_some() -> None:
        for symbol, cents in (("A", -50_25), ("B", 1234_50)):
            await store.trades.add(BOOK, trade(symbol, Side.SELL, pnl_cents=cents))

    asyncio.run(trade_some())
    return database


def test_analytics_answers_with_a_table(traded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The best comes first; the default is by strategy."""
    assert workers("analytics", "--database", traded, "--by", "symbol") == 0
    out, err = capsys.readouterr()
    rows = [line.split("│")[1:3] for line in out.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [["B", "1,234.50"], ["A", "-50.25"]]
    assert ("symbol" in out, "profit" in out, err) == (True, True, "")
    assert workers("analytics", "--database", traded) == 0
    assert "momentum" in capsys.readouterr().out


def test_analytics_answers_in_json(traded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is all there is on stdout, in the same order."""
    assert workers("analytics", "--database", traded, "--by", "symbol", "--json") == 0
    assert list(json.loads(capsys.readouterr().out).items()) == [("B", 1234.5), ("A", -50.25)]


def test_analytics_asks_the_fleets_database(
    traded: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """QT_DATABASE_URL names it by default."""
    monkeypatch.setenv("QT_DATABASE_URL", traded)
    assert workers("analytics", "--json", "--by", "model") == 0
    assert json.loads(capsys.readouterr().out) == {"XGBoost v1": 1184.25}


@pytest.mark.parametrize(
    ("options", "said"), [((), "no position has been closed yet"), (("--json",), "{}")]
)
def test_an_empty_database_has_no_answer(
    database: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    """A sentence or an empty object says so, without an error."""
    assert workers("analytics", "--database", database, *options) == 0
    assert capsys.readouterr().out.strip() == said


def test_a_question_that_is_none_is_wrong_usage(database: str) -> None:
    assert workers("analytics", "--database", database, "--by", "weather") == 2


def test_a_database_url_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has an example."""
    assert workers("analytics", "--database", "mysql://root@localhost/x") == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "sqlite:///" in err) == ("", 1, True)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Port where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", ["run", "feed"])
def test_a_broker_that_says_nothing_is_named_after_the_connection_timeout(
    command: str, silent_port: int, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line has the address, before a publish would give up after 30 seconds."""
    broker = f"amqp://guest:guest@127.0.0.1:{silent_port}//?connection_timeout=300"
    options = ["--database", database] if command == "feed" else []
    started = monotonic()
    assert workers(command, "--days", "1", "--broker", broker, *options) == 1
    assert monotonic() - started < 25
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"no answer from amqp://guest:**@127.0.0.1:{silent_port}//" in err


def test_feed_leaves_the_database_unused_without_a_broker(
    store: Store, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next feed, with a broker, can have it."""
    broker = "amqp://guest:guest@127.0.0.1:1//"
    assert workers("feed", "--database", database, "--broker", broker, "--days", "1") == 1
    assert "--broker, QT_BROKER_URL or CELERY_BROKER_URL" in capsys.readouterr().err
    assert asyncio.run(store.is_empty())


def test_feed_asks_our_own_variable_before_celerys(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery's own names the broker of its workers, which the feed needs too."""
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://guest:guest@127.0.0.1:1//celerys")
    assert workers("feed", "--database", database, "--days", "1") == 1
    assert "127.0.0.1:1//celerys" in capsys.readouterr().err
    monkeypatch.setenv("QT_BROKER_URL", "amqp://guest:guest@127.0.0.1:1//ours")
    assert workers("feed", "--database", database, "--days", "1") == 1
    assert "127.0.0.1:1//ours" in capsys.readouterr().err


def test_feed_refuses_a_database_that_is_in_use(
    store: Store, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids and days of two replays would collide. Nothing is fed, and no broker is asked."""
    asyncio.run(store.prices.add(MONDAY, {"A": 1.0}))
    assert (
        workers(
            "feed", "--database", database, "--broker", "amqp://guest@127.0.0.1:1//", "--days", "1"
        )
        == 1
    )
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "the database holds data of another replay: give --database" in err
    kept = asyncio.run(store.prices.between(None, MONDAY.replace(year=9000)))
    assert [each.day for each in kept] == [MONDAY]
