"""The contract suite: the rules that every EventBus keeps, as scenarios for any backend's tests.

scenario.py    Scenario: one rule, its subscriptions and its check, and what these work with
recorder.py    Recorder: calls of handlers, told across processes; hear() and fail() make handlers
member.py      Member: someone who delivers events; HostedMember: a bus in the test's own loop
backend.py     Backend: opens a bus and those who deliver; MemoryBackend; run(): a scenario on one
scenarios/     the rules, a module a subject

A backend of your own::

    class MyBackend(Backend):
        name = "mine"
        lacks = {Feature.FLEET: "it is one process"}
        def bus(self, options: Options) -> EventBus: ...

    @pytest.mark.parametrize("scenario", contract.scenarios(MyBackend.features))
    async def test_contract(scenario: type[Scenario], tmp_path: Path) -> None:
        await contract.run(scenario, MyBackend(), tmp_path)
"""

import warnings
from typing import TYPE_CHECKING, Any

from qt_events.testing.contract.backend import Backend, MemoryBackend, run
from qt_events.testing.contract.member import HostedMember, Member
from qt_events.testing.contract.recorder import Call, Recorder
from qt_events.testing.contract.scenario import Feature, Options, Scenario, ScenarioRun
from qt_events.testing.contract.scenarios import scenarios

__all__ = [
    "Backend",
    "Call",
    "Feature",
    "HostedMember",
    "Member",
    "MemoryBackend",
    "Options",
    "Recorder",
    "Scenario",
    "ScenarioRun",
    "run",
    "scenarios",
]

# Hidden from type checkers, which would take every name for granted.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return ScenarioRun for its old name, with a DeprecationWarning."""
        if name == "Stage":
            message = "qt_events.testing.contract.Stage is deprecated: it is called ScenarioRun now"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return ScenarioRun
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
