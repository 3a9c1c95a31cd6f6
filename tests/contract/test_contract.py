"""The contract suite over every backend; COLLECTED tells which scenarios a backend does not run, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qt_events.testing import contract
from qt_events.testing.contract import Backend, Feature, MemoryBackend, Scenario
from qt_events.testing.contract.celery import (
    CeleryBackend,
    EagerBackend,
    PreforkBackend,
    SoloBackend,
    ThreadsBackend,
    WorkerBackend,
)
from qt_events.testing.contract.table import BACKENDS

Opener = Callable[[type[WorkerBackend]], WorkerBackend]


def scenarios_of(backend: type[Backend]) -> list[type[Scenario]]:
    return contract.scenarios(backend.features)


def by_rule(scenario: type[Scenario]) -> str:
    return f"{scenario.__module__.rpartition('.')[2]}-{scenario.__name__}"


@pytest.mark.parametrize("scenario", scenarios_of(MemoryBackend), ids=by_rule)
async def test_memory(scenario: type[Scenario], tmp_path: Path) -> None:
    """InMemoryEventBus keeps the contract."""
    await contract.run(scenario, MemoryBackend(), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(EagerBackend), ids=by_rule)
async def test_eager(scenario: type[Scenario], tmp_path: Path) -> None:
    """CeleryEventBus under task_always_eager keeps the contract."""
    await contract.run(scenario, EagerBackend(), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(CeleryBackend), ids=by_rule)
async def test_celery(scenario: type[Scenario], amqp_url: str, tmp_path: Path) -> None:
    """CeleryEventBus with run_forever() in the caller's process keeps the contract."""
    await contract.run(scenario, CeleryBackend(amqp_url), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(WorkerBackend), ids=by_rule)
async def test_worker(scenario: type[Scenario], worker_backends: Opener, tmp_path: Path) -> None:
    """CeleryEventBus with `celery worker` as a separate process keeps the contract."""
    await contract.run(scenario, worker_backends(WorkerBackend), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(PreforkBackend), ids=by_rule)
async def test_prefork(scenario: type[Scenario], worker_backends: Opener, tmp_path: Path) -> None:
    """CeleryEventBus with `celery worker -P processes` keeps what prefork can of the contract."""
    await contract.run(scenario, worker_backends(PreforkBackend), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(ThreadsBackend), ids=by_rule)
async def test_threads(scenario: type[Scenario], worker_backends: Opener, tmp_path: Path) -> None:
    """CeleryEventBus with `celery worker -P threads` keeps what threads can of the contract."""
    await contract.run(scenario, worker_backends(ThreadsBackend), tmp_path)


@pytest.mark.parametrize("scenario", scenarios_of(SoloBackend), ids=by_rule)
async def test_solo(scenario: type[Scenario], worker_backends: Opener, tmp_path: Path) -> None:
    """CeleryEventBus with `celery worker -P solo` keeps what solo can of the contract."""
    await contract.run(scenario, worker_backends(SoloBackend), tmp_path)


# What a backend cannot do, scenario by scenario: a change here is a change of the contract.
_PUBLISHER_ELSEWHERE = {  # the bus that publishes does not deliver
    "Backpressure",
    "WaitingForRoom",
    "SubscribingWhileRunning",
    "UnsubscribingOnePattern",
    "Join",
    "JoinTimeout",
    "Statistics",
    "AsyncWith",
    "RunningTwice",
    "RefusedSubscriptions",
    "JoinInsideAHandler",
}
NOT_COLLECTED = {
    MemoryBackend: {"SeveralMembers"},  # one process
    CeleryBackend: {"Backpressure", "WaitingForRoom"},  # the broker holds what waits for handlers
    WorkerBackend: _PUBLISHER_ELSEWHERE,
    PreforkBackend: _PUBLISHER_ELSEWHERE
    | {"OneMember", "SeveralMembers"}  # a broadcast is a NotSupportedError: no child could own its queue
    | {
        "Order",
        "Concurrency",
        "SlowHoldsUpNobody",
    },  # children take what comes, as many of one subscription as there are
    ThreadsBackend: _PUBLISHER_ELSEWHERE,
    SoloBackend: _PUBLISHER_ELSEWHERE
    | {"SyncBesideAsync", "Concurrency", "SlowHoldsUpNobody"},  # one handler at a time, whosever it is
    EagerBackend: {  # publish returns when the handlers have run
        "SeveralMembers",
        "SyncBesideAsync",
        "NeverEarly",
        "RetriesHoldUpNobody",
        "RetryingLaterNeverEarly",
        "Concurrency",
        "SlowHoldsUpNobody",
        "Backpressure",
        "WaitingForRoom",
        "JoinTimeout",
        "StopFinishes",
        "RetriesOutliveAStop",
    },
}


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_what_a_backend_does_not_run_is_declared(backend: type[Backend]) -> None:
    """A backend runs every scenario except those in NOT_COLLECTED."""
    missing = set(contract.scenarios()) - set(scenarios_of(backend))
    assert {scenario.__name__ for scenario in missing} == NOT_COLLECTED[backend]


@pytest.mark.parametrize("scenario", contract.scenarios(), ids=by_rule)
def test_each_scenario_states_its_rule(scenario: type[Scenario]) -> None:
    """A scenario's own docstring is the rule that it checks."""
    assert scenario.__doc__ not in (None, Scenario.__doc__)
    assert scenario.__doc__.split("\n")[0].endswith(".")


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_a_backend_says_why_it_lacks_a_feature(backend: type[Backend]) -> None:
    """Whoever reads docs/pools.md learns the reason too, and no reason is given for what it has."""
    assert set(backend.lacks) == set(~backend.features)


def test_every_feature_is_needed_by_a_scenario() -> None:
    """A feature that no scenario needs would be a promise that nobody checks."""
    needed = Feature(0)
    for scenario in contract.scenarios():
        needed |= scenario.needs
    assert needed == ~Feature(0)
