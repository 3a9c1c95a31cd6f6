"""The contract suite over every backend; NOT_COLLECTED lists what a backend does not run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from qt_events.testing import contract
from qt_events.testing.contract import Backend, Feature, MemoryBackend, Scenario
from tests.support.contract.backends import (
    CeleryBackend,
    EagerBackend,
    PreforkBackend,
    SoloBackend,
    ThreadsBackend,
    WorkerBackend,
)
from tests.support.contract.table import BACKENDS

Opener = Callable[[type[WorkerBackend]], WorkerBackend]


def scenarios_of(backend: type[Backend]) -> list[type[Scenario]]:
    return contract.scenarios(backend.features)


def by_rule(scenario: type[Scenario]) -> str:
    return f"{scenario.__module__.rpartition('.')[2]}-{scenario.__name__}"


def on_each(*backends: type[Backend]) -> pytest.MarkDecorator:
    """Parametrise with every scenario that these backends can run."""
    runs = [(backend, scenario) for backend in backends for scenario in scenarios_of(backend)]
    ids = [f"{backend.name}-{by_rule(scenario)}" for backend, scenario in runs]
    return pytest.mark.parametrize(("backend", "scenario"), runs, ids=ids)


@on_each(MemoryBackend, EagerBackend)
async def test_a_bus_without_a_broker(
    backend: type[MemoryBackend | EagerBackend], scenario: type[Scenario], tmp_path: Path
) -> None:
    """InMemoryEventBus, and CeleryEventBus under task_always_eager, keep the contract."""
    await contract.run(scenario, backend(), tmp_path)


@on_each(CeleryBackend)
async def test_a_bus_that_delivers_itself(
    backend: type[CeleryBackend], scenario: type[Scenario], amqp_url: str, tmp_path: Path
) -> None:
    """CeleryEventBus with run_forever() in the caller's process keeps the contract."""
    await contract.run(scenario, backend(amqp_url), tmp_path)


@on_each(WorkerBackend, PreforkBackend, ThreadsBackend, SoloBackend)
async def test_workers_on_each_pool(
    backend: type[WorkerBackend], scenario: type[Scenario], worker_backends: Opener, tmp_path: Path
) -> None:
    """CeleryEventBus with `celery worker` processes keeps what the pool can of the contract."""
    await contract.run(scenario, worker_backends(backend), tmp_path)


# What a backend cannot do, scenario by scenario: a change here is a change of the contract.
# The bus that publishes does not deliver
_PUBLISHER_ELSEWHERE = {
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
    "NobodyListens",
    "NoReplayToABroadcast",
    "SubscribingAgainInAnotherWay",
}
_BATCHES = {
    "Batches",
    "FullBatches",
    "SeveralBatches",
    "SomeOfABatchFail",
    "AWholeBatchFails",
    "WrongBatchFailures",
    "PredicatesOfBatches",
    "PublishingFromABatch",
    "StoppingWithABatch",
    "RefusedBatches",
    "RawBatches",
    "FatesOfBatches",
}
_STARTS = {"FromTheFirstOn", "FromATimeOn", "InBatches", "DecidedOnce", "RefusedStarts"}
NOT_COLLECTED = {
    MemoryBackend: {"SeveralMembers"},  # one process
    # The broker holds what waits for handlers
    CeleryBackend: {"Backpressure", "WaitingForRoom"},
    WorkerBackend: _PUBLISHER_ELSEWHERE | _STARTS | {"RefusedBatches"},
    PreforkBackend: _PUBLISHER_ELSEWHERE
    | _BATCHES
    | _STARTS
    # A broadcast is a NotSupportedError: no child could own its queue.
    | {"OneMember", "SeveralMembers"}
    # Children take what comes, as many of one subscription as there are.
    | {"Order", "Prefetch", "Concurrency", "SlowHoldsUpNobody"},
    ThreadsBackend: _PUBLISHER_ELSEWHERE | _BATCHES | _STARTS,
    SoloBackend: _PUBLISHER_ELSEWHERE
    | _BATCHES
    | _STARTS
    # One handler at a time, whosever it is.
    | {"SyncBesideAsync", "Concurrency", "SlowHoldsUpNobody"},
    # Publish returns when the handlers have run
    EagerBackend: _STARTS
    | {
        "FullBatches",
        "SeveralBatches",
        "StoppingWithABatch",
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
        "HardStop",
        "StubbornHandler",
        "SubscribingAgainInAnotherWay",
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


def test_a_backend_has_what_it_does_not_lack() -> None:
    """A backend that extends another has all features but those in its own `lacks`."""

    class Narrow(MemoryBackend):
        lacks: ClassVar[Mapping[Feature, str]] = {
            Feature.ORDER: "as a test",
            Feature.LOCAL: "as a test",
        }

    class Narrower(Narrow):
        lacks: ClassVar[Mapping[Feature, str]] = {**Narrow.lacks, Feature.HOSTED: "as a test"}

    assert Narrow.features == ~(Feature.ORDER | Feature.LOCAL)
    assert Narrower.features == ~(Feature.ORDER | Feature.LOCAL | Feature.HOSTED)


def test_every_feature_is_needed_by_a_scenario() -> None:
    """A feature that no scenario needs would be a promise that nobody checks."""
    needed = Feature(0)
    for scenario in contract.scenarios():
        needed |= scenario.needs
    assert needed == ~Feature(0)
