"""Flower on a fleet of its own: the processes, and Flower's API."""

import json
import os
import subprocess
import sys
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import RECORDS, Call, Recorder
from qt_events.testing.ports import free_ports
from tests.support.fleet.forks import ForkingKeeper, fork_server
from tests.support.waiting import until, until_told

_APPS = Path(__file__).parents[2] / "integration" / "apps"
QT_EVENTS = str(Path(sys.executable).with_name("qt-events"))
USER, PASSWORD = "me", "mine"
#: `qt-events flower`, as a program that can be forked.
FLOWER = ("-m", "qt_events", "flower")
POOLS = {"asyncio": (), "prefork": ("-P", "processes", "-c", "2")}

Task = dict[str, Any]


class Flower:
    """One Flower process, through its API."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, port: int) -> None:
        self.process, self._output = process, output
        self.place = f"127.0.0.1:{port}"

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def get(self, path: str, method: str = "GET") -> Any:
        return json.loads(self.page(path, method))

    def page(self, path: str, method: str = "GET", *, timeout: float = 30) -> str:
        token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = Request(
            f"http://{self.place}{path}", method=method, headers={"Authorization": f"Basic {token}"}
        )
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        assert self.process.poll() is None, self.output
        try:
            self.get("/api/workers")
        except HTTPError:
            raise
        except OSError:
            return False
        return True

    def begin_to_revoke(self) -> None:
        """Give an order to all workers; without a broker a thread of Flower's tries for ever."""
        with suppress(TimeoutError):
            self.page(f"/api/task/revoke/{uuid.uuid4()}", "POST", timeout=2)

    def tasks(self, event: Event[Any], name: str | None = None) -> list[Task]:
        """Return the deliveries of an event that Flower knows."""
        found = self.get("/api/tasks?limit=100").values()
        return [
            each
            for each in found
            if each["uuid"].startswith(event.id) and name in (None, each["name"])
        ]

    def queues(self) -> dict[str, int]:
        return {
            each["name"]: each.get("messages", -1)
            for each in self.get("/api/queues/length")["active_queues"]
        }

    def sees(self, nodes: list[str]) -> bool:
        return {
            each["hostname"] for each in self.get("/workers?json=1")["data"] if each["status"]
        } == set(nodes)

    async def until_task(self, event: Event[Any], name: str, *states: str) -> Task:
        """Return the event's delivery to that subscription, once it is in one of these states."""
        seen: list[Task] = []

        def found() -> list[Task]:
            seen[:] = self.tasks(event, name)
            return [task for task in seen if task["state"] in states]

        try:
            # The events of a task come after its call.
            (task,) = await until_told(found, timeout=90, what=f"{name} {states}")
        except AssertionError as error:
            error.add_note(f"{name} of {event.id} was to be {states}, and is {seen}\n{self.output}")
            raise
        return dict(task)


class FlowerFleet:
    """Workers of apps/flower_app.py, Flower on them, and the handlers' records."""

    def __init__(self, url: str, management_url: str, folder: Path) -> None:
        self.url, self.api = url, f"{management_url}/api/"
        self.recorder = Recorder(folder / "records.jsonl")
        self._keeper, self._number = ForkingKeeper("qt-events-flower-"), count(1)

    async def start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start one more worker, and return when it consumes."""
        before = len(self.nodes)
        name = f"worker-{next(self._number)}"
        command = [
            "-m",
            "celery",
            "-A",
            "flower_app",
            "worker",
            "-E",
            "--loglevel",
            "INFO",
            *options,
        ]
        process = self.spawn(name, command, **environment)
        await until(
            lambda: len(self.nodes) > before or process.poll() is not None, what=f"{name} is ready"
        )
        assert process.poll() is None, self.output(name)
        return process

    async def watch(self, *options: str, awaited: list[str] | None = None) -> Flower:
        """Start Flower, and return when it has heard of every worker, or of the awaited ones."""
        (port,) = free_ports(1)
        given = [
            f"--port={port}",
            f"--basic-auth={USER}:{PASSWORD}",
            f"--management-url={self.api}",
        ]
        process = self.spawn("flower", [*FLOWER, "-A", "flower_app", *given, *options])
        flower = Flower(process, self.path("flower"), port)
        await until_told(flower.answers, what="Flower answers")
        nodes = self.nodes if awaited is None else awaited
        await until_told(lambda: flower.sees(nodes), what=f"Flower sees {nodes}")
        return flower

    def spawn(self, name: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(_APPS), *(entry for entry in sys.path if entry)])
        own = {
            "PYTHONPATH": path,
            "FLEET_URL": self.url,
            RECORDS: str(self.recorder.path),
            "COLUMNS": "200",
        }
        if command[: len(FLOWER)] == [*FLOWER]:
            fork_server().preload("flower.command")
        return self._keeper.spawn(
            name, [sys.executable, *command], {**os.environ, **own, **environment}
        )

    def output(self, name: str) -> str:
        return self.path(name).read_text(errors="replace")

    def path(self, name: str) -> Path:
        return self._keeper.folder / f"{name}.out"

    @property
    def nodes(self) -> list[str]:
        return [call.name for call in self.recorder.read("ready")]

    async def publish(self, event_type: str, **payload: Any) -> Event[Any]:
        event: Event[Any] = Event(event_type, None, payload)
        with self.client() as client:
            await client.publish(event)
        return event

    @contextmanager
    def client(self) -> Iterator[CeleryEventBus]:
        """Open a bus of the current event loop, for tests share a fleet and have a loop each."""
        bus = CeleryEventBus(self.url)
        try:
            yield bus
        finally:
            bus.close()

    def calls(self, name: str, event: Event[Any]) -> list[Call]:
        return self.recorder.read("call", name, event.id)

    async def until_called(self, name: str, event: Event[Any]) -> Call:
        await until(lambda: self.calls(name, event), what=f"a call of {name}")
        return self.calls(name, event)[0]

    def open(self, gate: str) -> None:
        self.recorder.write(Call("gate", gate))

    def close(self) -> None:
        self._keeper.close()
