"""Passwords stay where they were given: no command's output contains a planted one."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import psycopg
import pytest
import typer.main
from psycopg import sql
from typer.testing import CliRunner

import workers.__main__
from qt_events.cli import GROUP, build_app
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.testing.broker import Broker
from qt_events.testing.ports import free_ports
from tests.integration.planted import LOGIN, PASSWORD, USER, leaks, places, with_login
from tests.support.fleet.flower import QT_EVENTS, Flower, FlowerFleet
from tests.support.waiting import until, until_told
from workers.fleet.postgres import PrivatePostgres

ROOT = Path(__file__).resolve().parents[2]
PATH = os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])
MANY_COMMANDS = Path(__file__).parent / "apps" / "many_commands.py"
#: Commands that end by themselves when their logins work. The others are in GOING_ON, below.
ENDING = {
    *(f"topology {each}" for each in ("declare", "show", "remove", "permissions")),
    *(f"topology {each}" for each in ("move", "take-over", "unbind")),
    *(f"dead-letters {each}" for each in ("list", "show", "retry", "discard", "export")),
    *(f"history {each}" for each in ("export", "list", "prune", "show", "stats", "trace")),
    *(f"outbox {each}" for each in ("list", "retry", "stats", "upgrade")),
    *(f"spool {each}" for each in ("list", "stats", "retry")),
    "history upgrade", "replay", "rerun", "run", "feed", "analytics",
}  # fmt: skip


def secrets_at(url: str, management_url: str) -> dict[str, str]:
    """Return every secret that a program here takes from its environment."""
    api = management_url.replace("guest:guest", LOGIN)
    return {
        "CELERY_BROKER_URL": url,
        "FLEET_URL": url,
        "QT_APP": "workers",
        "QT_BROKER_URL": url,
        "QT_DATABASE_URL": f"postgresql://{LOGIN}@127.0.0.1:1/qt",
        "QT_HISTORY": f"postgresql://{LOGIN}@127.0.0.1:1/qt",
        "QT_OUTBOX": f"postgresql://{LOGIN}@127.0.0.1:1/qt",
        "DISCORD_WEBHOOK_URL": f"https://127.0.0.1:1/api/webhooks/1/{quote(PASSWORD, safe='')}",
        "FLOWER_BROKER_API": f"{api}/api/",
        "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}",
        "QT_MANAGEMENT_URL": api,
    }


# Every command: those of `qt-events`, found by their entry points, and those of `python -m workers`


APPS = {"qt-events": build_app(entry_points(group=GROUP)), "workers": workers.__main__.build_app()}


def commands(program: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command of a program with the words that call it."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(APPS[program]))]
    while pending:
        words, command = pending.pop()
        if hasattr(command, "commands"):
            pending += [((*words, name), each) for name, each in command.commands.items()]
        else:
            yield words, command


def calls() -> list[list[str]]:
    """Return a call of each command with its required arguments, and Celery's own on the same app.

    `fleet` is left out: it makes its own broker, and starts only `worker`, `feed` and `flower`.
    """
    more = {
        "worker": ["--loglevel=DEBUG"],
        "flower": ["--port=0"],
        "feed": ["--days=1"],
        "run": ["--days=1"],
        "prune": ["--older-than=1d"],
    }
    found = []
    every = [(program, *command) for program in APPS for command in commands(program)]
    for program, words, command in every:
        needed = [
            "x" for each in command.params if each.param_type_name == "argument" and each.required
        ]
        found.append([program, *words, *needed, *more.get(words[-1], [])])
    celerys = (["worker", "--loglevel=DEBUG"], ["inspect", "stats", "--timeout=1"], ["report"])
    return [
        *(each for each in found if each[1] != "fleet"),
        *(["celery", "-A", "workers", *each] for each in celerys),
    ]


def test_no_help_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help texts hide values that options take from the environment or have as a default."""
    for name, value in secrets_at(
        f"amqp://{LOGIN}@host//", "http://guest:guest@host:15672"
    ).items():
        monkeypatch.setenv(name, value)
    names = set()
    for program, app in APPS.items():
        for words, _ in commands(program):
            shown = CliRunner().invoke(app, [*words, "--help"])
            assert shown.exit_code == 0
            assert leaks(shown.output) == []
            names.add(words[0])
    own = {"analytics", "feed", "fleet", "run"}
    assert names == {each.name for each in entry_points(group=GROUP)} | own


Call = tuple[list[str], dict[str, str]]  # the words of a command, and its environment


def outputs_of(folder: Path, chosen: list[Call]) -> list[str]:
    """Return the output of each call until it ends or says that it goes on trying."""
    command = [sys.executable, str(MANY_COMMANDS), str(folder), *map(json.dumps, chosen)]
    given = {**os.environ, "PYTHONPATH": PATH, "COLUMNS": "400", "QT_LOG_LEVEL": "DEBUG"}
    subprocess.run(command, env=given, cwd=folder, check=True, timeout=200)
    return [(folder / str(number)).read_text(errors="replace") for number in range(len(chosen))]


def outputs_without_secrets(chosen: list[Call], folder: Path) -> list[str]:
    """Return the output of each call; assert that it is not empty and contains no secret."""
    outputs = outputs_of(folder, chosen)
    for call, text in zip(chosen, outputs, strict=True):
        assert text.strip(), f"{call} said nothing at all"
        assert leaks(text) == [], call
    return outputs


@pytest.mark.timeout(240)
def test_no_command_tells_a_secret(amqp_url: str, broker: Broker, tmp_path: Path) -> None:
    """Commands show no secret where the login is refused or the URL is malformed."""
    urls = places(amqp_url)
    secrets = [secrets_at(urls[each], broker.management_url) for each in ("refused", "malformed")]
    outputs_without_secrets([(words, each) for each in secrets for words in calls()], tmp_path)


# Logins that work


@pytest.fixture
def flower_fleet(
    broker: Broker, amqp_url: str, vhost: str, tmp_path: Path
) -> Iterator[FlowerFleet]:
    """Return a fleet without workers, on a vhost in which the planted user may do everything."""
    api = ManagementApi(broker.management_url, vhost)
    api.create_user(USER, PASSWORD)
    api.permit(USER, ".*", ".*", ".*")
    opened = FlowerFleet(with_login(amqp_url), broker.management_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def database(postgres: PrivatePostgres) -> str:
    """Make an empty database and return its URL with the planted login, which works."""
    name = f"planted_{uuid.uuid4().hex}"
    url = postgres.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        if (
            connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,)).fetchone()
            is None
        ):
            make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(make.format(sql.Identifier(USER), sql.Literal(PASSWORD)))
        give = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        connection.execute(give.format(sql.Identifier(name), sql.Identifier(USER)))
    return with_login(url)


@pytest.mark.timeout(300)
async def test_no_command_at_work_tells_a_secret(
    flower_fleet: FlowerFleet, broker: Broker, database: str, tmp_path: Path
) -> None:
    """Commands that end by themselves show no secret while a worker at DEBUG trades a day."""
    administrator = {"password": PASSWORD, "tags": "administrator"}
    broker.management._request("PUT", f"/users/{USER}", administrator)  # noqa: SLF001  # nobody else needs one
    secrets = secrets_at(flower_fleet.url, broker.management_url)
    secrets |= dict.fromkeys(("QT_DATABASE_URL", "QT_HISTORY", "QT_OUTBOX"), database)
    serving = [QT_EVENTS, "worker", "--loglevel=DEBUG", "-E"]
    worker = flower_fleet.spawn(
        "serving", serving, **secrets, PYTHONPATH=PATH, QT_LOG_LEVEL="DEBUG"
    )
    await until(
        lambda: " ready." in flower_fleet.output("serving"), timeout=90, what="the worker is ready"
    )
    chosen = [
        each
        for each in calls()
        if (each[0] == "celery" and "worker" not in each) or named(each) in ENDING
    ]
    # `declare` and `feed` go first, so that the others have something to show.
    chosen.sort(key=lambda call: ("declare" not in call, "feed" not in call))
    outputs = await asyncio.to_thread(
        outputs_without_secrets, [(words, secrets) for words in chosen], tmp_path
    )
    shown = arguments_of(worker.pid)
    worker.terminate()
    await until(lambda: worker.poll() is not None, what="the worker's end")
    assert leaks(shown + flower_fleet.output("serving")) == []
    said = {named(call): text for call, text in zip(chosen, outputs, strict=True)}
    assert said.keys() >= ENDING
    assert "DEBUG" in flower_fleet.output("serving")
    assert "declared: exchanges" in said["topology declare"]
    assert "opp_rank.on_market_closed" in said["topology show"]
    assert "0 dead letters" in said["dead-letters list"]
    assert {name: said[name].count("day 1/1") for name in ("run", "feed")} == {"run": 1, "feed": 1}
    assert "it ended with 0" in said["analytics"]


@pytest.mark.timeout(300)
def test_a_fleet_tells_no_secret(database: str, tmp_path: Path) -> None:
    """The secrets of database and webhook are in no output, though all processes have them."""
    given = {
        **os.environ,
        **secrets_at("amqp://nobody", "http://nobody"),
        "PYTHONPATH": PATH,
        "QT_LOG_LEVEL": "DEBUG",
    }
    command = [
        sys.executable,
        "-m",
        "workers",
        "fleet",
        "--workers=1",
        "--days=1",
        "--until-done",
        "--no-flower",
    ]
    ended = subprocess.run(
        command, env={**given, "QT_DATABASE_URL": database, "QT_HISTORY": database}, cwd=tmp_path,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, check=False,
    )  # fmt: skip
    assert leaks(ended.stdout) == []
    assert ended.returncode == 0, ended.stdout
    assert "worker-1: " in ended.stdout


def named(call: list[str]) -> str:
    """Return the words of a call that name its command."""
    groups = {"topology", "dead-letters", "history", "outbox", "spool"}
    return " ".join(call[1:3] if call[1] in groups else call[1:2])


def arguments_of(pid: int) -> str:
    """Return the command lines of a process and its children, which every user can read."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return "\n".join(Path(f"/proc/{each}/cmdline").read_text() for each in (str(pid), *children))


async def test_workers_and_flower_at_work_tell_no_secret(flower_fleet: FlowerFleet) -> None:
    """Remote control, Flower's pages and the process list show no secret.

    The worker runs on prefork at DEBUG, logs JSON, and has a handler that fails.
    """
    worker = await flower_fleet.start(
        "-P", "processes", "-c", "1", "--loglevel", "DEBUG", QT_LOG_FORMAT="json"
    )
    (port,) = free_ports(1)
    watching = {"FLOWER_BASIC_AUTH": "me:mine", "FLOWER_BROKER_API": flower_fleet.api}
    process = flower_fleet.spawn(
        "flower", [QT_EVENTS, "flower", "-A", "flower_app", f"--port={port}"], **watching
    )
    flower = Flower(process, flower_fleet.path("flower"), port)
    with flower_fleet.client() as client:
        inspector = client.app.control.inspect(timeout=10, limit=1)
        answers = [
            await asyncio.to_thread(getattr(inspector, name))
            for name in ("conf", "stats", "report")
        ]
    await until_told(flower.answers, what="Flower answers")
    await until_told(lambda: flower.sees(flower_fleet.nodes), what="Flower sees the worker")
    failed = await flower_fleet.publish("model.wanted", model="m7")
    await flower.until_task(failed, "model_loader", "FAILURE")
    (node,) = flower_fleet.nodes
    pages = (
        "/",
        "/broker",
        "/tasks",
        f"/worker/{node}",
        "/api/workers?refresh=1",
        "/api/queues/length",
        "/metrics",
    )
    texts = [
        str(answers),
        arguments_of(worker.pid),
        arguments_of(flower.process.pid),
        flower_fleet.output("worker-1"),
    ]
    texts += [await asyncio.to_thread(flower.page, each) for each in pages]
    texts.append(flower.output)
    assert USER in str(answers)
    assert leaks("\n".join(texts)) == []


GOING_ON: dict[str, Callable[..., object]] = {
    "worker": test_no_command_at_work_tells_a_secret,
    "flower": test_workers_and_flower_at_work_tell_no_secret,
    "fleet": test_a_fleet_tells_no_secret,
    "history record": test_no_command_tells_a_secret,
    "outbox relay": test_no_command_tells_a_secret,
}


@pytest.mark.parametrize(
    "name", sorted({words[0] for program in APPS for words, _ in commands(program)})
)
def test_every_command_is_tried_where_its_logins_are_taken(name: str) -> None:
    """A new command needs a place in ENDING, or its own test and a place in GOING_ON."""
    found = {
        " ".join(words) for program in APPS for words, _ in commands(program) if words[0] == name
    }
    assert found
    assert found <= ENDING | GOING_ON.keys()
