"""`qt-events outbox`: list, stats, retry, upgrade, and wrong usage."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from qt_events.cli import main
from qt_events.outbox import Outbox, OutboxSchemaError
from qt_events.outbox.tables import DEAD, SENT, WAITING, events
from tests.support.shop import placed, rows


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["outbox", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def filled(url: str, engine: sa.Engine) -> str:
    """Return the URL of an outbox with two events that wait, one dead and one sent."""
    outbox = Outbox(engine)
    with engine.begin() as connection:
        for each in ("waits", "late", "dead", "sent"):
            outbox.add(connection, placed(each))
        for each, state in (("dead", DEAD), ("sent", SENT)):
            connection.execute(
                sa.update(events)
                .where(events.c.id == each)
                .values(state=state, reason="too\nlarge\x1b[2J" if state == DEAD else None)
            )
    return url


def test_a_list_says_what_waits_how_long_and_why(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing in it controls the terminal."""
    assert run("list", "--store", filled) == 0
    shown = capsys.readouterr().out
    assert [each.split()[0] for each in shown.splitlines()[3:6]] == ["waiting", "waiting", "dead"]
    assert "too\\nlarge\\x1b[2J" in shown
    assert "sent" not in shown
    assert run("list", "--store", filled, "--state", "dead", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["state"], found["reason"]) == ("dead", "dead", "too\nlarge\x1b[2J")
    assert 0 <= found["age"] < 60
    assert json.loads(found["body"])["data"] == {"order": "dead"}
    assert run("list", "--store", filled, "--state", "sent", "--limit", "1", "--json") == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == ["sent"]


def test_stats_say_how_much_waits(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", "--store", filled) == 0
    shown = capsys.readouterr().out
    assert "2 wait, 1 are dead, 1 were sent lately" in shown
    assert "2  order.placed" in shown
    assert run("stats", "--store", filled, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found.pop("oldest") < 60
    assert found == {"waiting": 2, "dead": 1, "sent": 1, "by_type": {"order.placed": 2}}


def test_dead_events_wait_again(
    filled: str, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("retry", "waits", "--store", filled) == 1
    assert "no event 'waits' is dead" in capsys.readouterr().err
    assert run("retry", "dead", "waits", "--store", filled) == 1
    assert rows(engine, DEAD) == ["dead"]
    assert run("retry", "dead", "--store", filled) == 0
    assert rows(engine, WAITING) == ["waits", "late", "dead"]
    assert run("retry", "--all", "--store", filled) == 0
    assert capsys.readouterr().out.splitlines() == ["1 events wait again", "0 events wait again"]


@pytest.mark.parametrize("arguments", [
    ("list",),
    ("list", "--state", "lost"),
    ("list", "--store", "mysql://host/shop"),
    ("retry",),
    ("retry", "1", "--all"),
    ("relay", "--store", "sqlite:///shop.db"),
    ("relay", "--url", "amqp://localhost//"),
])  # fmt: skip
def test_wrong_usage(
    arguments: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One line that says what to write, and exit code 2."""
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("QT_OUTBOX", raising=False)
    monkeypatch.delenv("QT_BROKER_URL", raising=False)
    if arguments[0] == "retry" or arguments[1:2] == ("--state",):
        arguments = (*arguments, "--store", "sqlite:///shop.db")
    assert run(*arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_empty_database_has_no_outbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until `upgrade` has made one."""
    url = f"sqlite:///{tmp_path}/shop.db"
    assert run("stats", "--store", url) == 1
    assert "has no tables of an outbox" in capsys.readouterr().err
    assert run("upgrade", "--store", url) == 0
    assert run("upgrade", "--store", url) == 0
    assert run("stats", "--store", url) == 0
    assert "0 wait, 0 are dead, 0 were sent" in capsys.readouterr().out


def test_tables_of_another_release_are_refused(tmp_path: Path) -> None:
    path = f"{tmp_path}/shop.db"
    with closing(Outbox(f"sqlite:///{path}")) as outbox:
        outbox.open_sync()
        for version, advice in (("9999", "pip install"), ("0000", "qt-events outbox upgrade")):
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("UPDATE outbox_version SET version_num = ?", [version])
            with pytest.raises(OutboxSchemaError, match=advice):
                outbox.open_sync()
