"""The contract suite: what every EventBus does, as scenarios that any backend's tests can run.

feature.py      Feature: what a backend can do, and what a scenario needs
recorder.py     Recorder: what handlers did, told across processes
scenario.py     Scenario, Options: one rule; its subscriptions and its check
stage.py        Stage: one scenario on one backend, as its check sees it
backend.py      Backend, Member: how a bus is opened and who delivers; MemoryBackend
scenarios/      the rules, a module a subject

A backend of your own::

    class MyBackend(Backend):
        name = "mine"
        lacks = {Feature.FLEET: "it is one process"}
        def bus(self, options: Options) -> EventBus: ...

    @pytest.mark.parametrize("scenario", contract.scenarios(MyBackend.features))
    async def test_contract(scenario: type[Scenario], tmp_path: Path) -> None:
        await contract.run(scenario, MyBackend(), tmp_path)
"""

from qt_events.testing.contract.backend import Backend, HostedMember, Member, MemoryBackend
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.recorder import Call, Recorder
from qt_events.testing.contract.scenario import Options, Scenario
from qt_events.testing.contract.scenarios import scenarios
from qt_events.testing.contract.stage import Stage, run

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
    "Stage",
    "run",
    "scenarios",
]
