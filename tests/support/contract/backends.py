"""Backends of CeleryEventBus: its run_forever(), `celery worker` on each pool, eager mode."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import ClassVar

from celery import Celery

from qt_events.bus import EventBus
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.backend import Backend
from qt_events.testing.contract.member import HostedMember, Member
from qt_events.testing.contract.recorder import EVERY_GATE, Recorder
from qt_events.testing.contract.scenario import Feature, Options, Scenario
from qt_events.testing.keeper import Keeper
from tests.support.contract.assignment import Assignment
from tests.support.fleet.forks import ForkingKeeper

_STARTUP = 60.0  # seconds a worker process may take to get ready
_SHUTDOWN = 60.0  # seconds its warm shutdown may take
_POLL = 0.02  # seconds

# Reasons for which a backend lacks a feature
_ON_THE_BROKER = "what waits for handlers waits on the broker"
_ONE_BY_ONE = "a NotSupportedError: the pool hands out one event at a time"
_ELSEWHERE = "the bus that publishes is in another process"
_ONE_AT_A_TIME = "one handler at a time, whosever it is"


class _DeclaringMember(HostedMember):
    """Member that has its queues once it is started.

    Publish waits for the queues of its own bus, not for another member's.
    """

    def __init__(self, bus: CeleryEventBus) -> None:
        super().__init__(bus)
        self._declarations = bus.declarations

    async def start(self) -> None:
        await super().start()
        await self._declarations.made()


class CeleryBackend(Backend):
    """CeleryEventBus with run_forever() in the test's process. `url` is of a vhost of its own."""

    name = "celery"
    lacks: ClassVar[Mapping[Feature, str]] = {
        Feature.BACKPRESSURE: _ON_THE_BROKER,
    }

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: list[CeleryEventBus] = []

    def bus(self, options: Options) -> EventBus:
        bus = CeleryEventBus(self._url, service="contract", **options.arguments())
        self._opened.append(bus)
        return bus

    async def close(self, bus: EventBus) -> None:
        """Close the bus and the other members' buses."""
        for opened in self._opened:
            await asyncio.to_thread(opened.close)

    def member(self, bus: EventBus) -> Member:
        assert isinstance(bus, CeleryEventBus)
        return _DeclaringMember(bus)


class EagerBackend(Backend):
    """CeleryEventBus under task_always_eager: publish runs the handlers, without a broker."""

    name = "eager"
    lacks: ClassVar[Mapping[Feature, str]] = dict.fromkeys(
        (
            Feature.BACKGROUND,
            Feature.SIDE_BY_SIDE,
            Feature.CONCURRENCY,
            Feature.RESTART,
            Feature.BACKPRESSURE,
            Feature.FLEET,
            Feature.START,
        ),
        "`publish` runs the handlers before it returns",
    )

    def bus(self, options: Options) -> EventBus:
        app = Celery("qt_events_contract", set_as_current=False)
        app.conf.task_always_eager = True
        return CeleryEventBus(app=app, service="contract", **options.arguments())


class WorkerBackend(Backend):
    """`celery worker` in processes of its own; the test only publishes.

    Scenarios that may share a process do: it starts for the first of them and lives until `end`.
    The others get a prefix and processes of their own. Call `end` afterwards.
    """

    name = "worker"
    lacks: ClassVar[Mapping[Feature, str]] = {
        Feature.LOCAL: _ELSEWHERE,
        Feature.HOSTED: _ELSEWHERE,
        Feature.BACKPRESSURE: _ON_THE_BROKER,
        Feature.START: _ELSEWHERE,
    }
    pool: ClassVar[tuple[str, ...]] = ()  #: options of `celery worker`

    def __init__(self, url: str, folder: Path, scenarios: Sequence[type[Scenario]]) -> None:
        """Take a vhost that no other uses meanwhile, a folder, and all scenarios to be run."""
        self._url, self._folder = url, folder
        self._shared = [scenario.path() for scenario in scenarios if self.shares(scenario)]
        self._keeper = ForkingKeeper("qt-events-contract-")
        self._number = count(1)
        self._shared_member: WorkerMember | None = None

    def end(self) -> None:
        """Kill the processes that still run."""
        self._keeper.close()

    def bus(self, options: Options) -> EventBus:
        """Return a bus under the prefix of the shared process."""
        return CeleryEventBus(self._url, prefix="shared", service="contract", **options.arguments())

    def open(self, scenario: type[Scenario]) -> EventBus:
        return CeleryEventBus(
            self._url, prefix=self._prefix(scenario), **scenario.options.arguments()
        )

    async def close(self, bus: EventBus) -> None:
        assert isinstance(bus, CeleryEventBus)
        await asyncio.to_thread(bus.close)

    def shares(self, scenario: type[Scenario]) -> bool:
        return not scenario.needs_own_process()

    def records(self, scenario: type[Scenario], folder: Path) -> Path:
        return (
            self._folder / "shared.jsonl"
            if self.shares(scenario)
            else super().records(scenario, folder)
        )

    async def members(self, scenario: Scenario, bus: EventBus) -> list[Member]:
        kind = type(scenario)
        if not self.shares(kind):
            return [self._member(kind, [kind.path()]) for _ in range(kind.members)]
        if self._shared_member is None:
            self._shared_member = self._member(kind, self._shared)
        return [_Lasting(self._shared_member)]

    def _member(self, kind: type[Scenario], scenarios: list[str]) -> "WorkerMember":
        assignment = Assignment(
            name=f"{self.name}-{self._prefix(kind)}-{next(self._number)}",
            url=self._url,
            prefix=self._prefix(kind),
            records=str(Recorder.current().path),
            scenarios=scenarios,
            options=kind.options.arguments(),
        )
        return WorkerMember(self._keeper, assignment, self.pool)

    def _prefix(self, kind: type[Scenario]) -> str:
        return "shared" if self.shares(kind) else kind.__name__.lower()


class PreforkBackend(WorkerBackend):
    """`celery worker -P processes`: children take several events of a subscription at a time."""

    name = "prefork"
    lacks: ClassVar[Mapping[Feature, str]] = {
        **WorkerBackend.lacks,
        Feature.ORDER: "several children take one subscription's events",
        Feature.CONCURRENCY: (
            "a subscription may have all the children there are, however slow it is"
        ),
        Feature.BROADCAST: "a NotSupportedError: no child could own its queue",
        Feature.BATCHES: _ONE_BY_ONE,
    }
    pool = ("-P", "processes", "-c", "4")


class ThreadsBackend(WorkerBackend):
    """`celery worker -P threads`."""

    name = "threads"
    lacks: ClassVar[Mapping[Feature, str]] = {
        **WorkerBackend.lacks,
        Feature.BATCHES: _ONE_BY_ONE,
    }
    pool = ("-P", "threads", "-c", "4")


class SoloBackend(WorkerBackend):
    """`celery worker -P solo`: one handler at a time, whosever it is."""

    name = "solo"
    lacks: ClassVar[Mapping[Feature, str]] = {
        **WorkerBackend.lacks,
        Feature.SIDE_BY_SIDE: _ONE_AT_A_TIME,
        Feature.CONCURRENCY: _ONE_AT_A_TIME,
        Feature.BATCHES: _ONE_BY_ONE,
    }
    pool = ("-P", "solo")


class WorkerMember(Member):
    """One `celery worker` process."""

    def __init__(self, keeper: Keeper, assignment: Assignment, pool: Sequence[str] = ()) -> None:
        self._keeper, self._assignment, self._pool = keeper, assignment, pool
        self._recorder = Recorder(Path(assignment.records))
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    async def start(self) -> None:
        if self._process is None:
            self._starts += 1
            self._process = self._keeper.spawn(
                self._assignment.name, self._command(), self._environment()
            )
            await self._ready()

    def _command(self) -> list[str]:
        app = "tests.support.contract.worker"
        node = f"{self._assignment.name}-{self._starts}@%h"
        options = [
            "--loglevel",
            "WARNING",
            "--hostname",
            node,
            "--without-mingle",
            "--without-gossip",
        ]
        return [sys.executable, "-m", "celery", "-A", app, "worker", *self._pool, *options]

    def _environment(self) -> dict[str, str]:
        # Scenarios may live beside the tests.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        return {**os.environ, "PYTHONPATH": path, **self._assignment.environment()}

    async def _ready(self) -> None:
        deadline = time.monotonic() + _STARTUP
        while len(self._recorder.read("ready", self._assignment.name)) < self._starts:
            self.must_be_well()
            assert time.monotonic() < deadline, (
                f"not ready within {_STARTUP:g} s:\n{self._output()}"
            )
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """Shut it down warm; after the check, when every gate is open, end it at once."""
        if self._process is not None:
            process, self._process = self._process, None
            if self._recorder.read("gate", EVERY_GATE):
                self._keeper.kill(self._assignment.name)
                return
            await self._end(process, signal.SIGTERM)

    async def give_back(self) -> None:
        """Shut it down cold, as a second signal does."""
        if self._process is not None:
            process, self._process = self._process, None
            await self._end(process, signal.SIGQUIT)

    async def _end(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        process.send_signal(number)
        try:
            await asyncio.to_thread(process.wait, _SHUTDOWN)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"no shutdown within {_SHUTDOWN:g} s of {number.name}:\n{self._output()}"
            ) from None

    def must_be_well(self) -> None:
        code = self._process and self._process.poll()
        assert code is None, f"the worker ended by itself with {code}:\n{self._output()}"

    def _output(self) -> str:
        return (self._keeper.folder / f"{self._assignment.name}.out").read_text(errors="replace")[
            -5000:
        ]


class _Lasting(Member):
    """Member that goes on after the scenario."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def start(self) -> None:
        await self._member.start()

    async def stop(self) -> None:
        """Do nothing: it serves the next scenario."""

    def must_be_well(self) -> None:
        self._member.must_be_well()
