"""Fixtures of the fault tests: a rig on the node that tests may harm."""

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.rig import SUBSCRIPTIONS, Rig

_SHOWN = 12_000  # characters of a worker's output


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscriptions of the app that the module's workers serve, with their patterns."""
    return SUBSCRIPTIONS


@pytest.fixture
def rig(
    node_url: str, tmp_path: Path, hears: Mapping[str, str], request: pytest.FixtureRequest
) -> Iterator[Rig]:
    """Open workers, buses and a ledger on the vhost; its account goes into the run's summary."""
    opened = Rig(node_url, tmp_path, hears)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(
        ("ledger", {**account.as_dict(), "figures": opened.figures})
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last words of every worker with the failure of its test: where it hangs, too."""
    report = yield
    rig = getattr(item, "funcargs", {}).get("rig")
    if report.failed and call.when == "call" and rig is not None:
        for number, worker in enumerate(rig.workers, 1):
            end = f"exit status {worker.process.poll()}"
            report.sections.append((f"worker {number}, {end}", worker.last_words()[-_SHOWN:]))
    return report
