"""Table of scenarios and the backends that run them, with the reasons for the others."""

from collections.abc import Iterable
from typing import Any

from qt_events.testing.contract.backend import Backend, MemoryBackend
from qt_events.testing.contract.scenario import Feature, Scenario
from qt_events.testing.contract.scenarios import scenarios
from tests.support.contract.backends import (
    CeleryBackend,
    EagerBackend,
    PreforkBackend,
    SoloBackend,
    ThreadsBackend,
    WorkerBackend,
)

BACKENDS: tuple[type[Backend], ...] = (
    MemoryBackend,
    CeleryBackend,
    WorkerBackend,
    PreforkBackend,
    ThreadsBackend,
    SoloBackend,
    EagerBackend,
)


def table(backends: Iterable[type[Backend]] = BACKENDS) -> str:
    """Return a row a scenario, the lacking features where it does not run, then the reasons."""
    backends = tuple(backends)
    rows = [_row(scenario, backends) for scenario in scenarios()]
    head = _line(["rule", *(backend.name for backend in backends)])
    return "\n".join([head, _rule(len(backends) + 1), *rows, "", *_reasons(backends)])


def _row(scenario: type[Scenario], backends: Iterable[type[Backend]]) -> str:
    subject, *_ = scenario.__module__.partition(".scenarios.")[2].split(".")
    lacking = (_names(scenario.needs & ~backend.features) for backend in backends)
    return _line(
        [
            f"{subject}: {scenario.__name__}",
            *(f"no: {names}" if names else "runs" for names in lacking),
        ]
    )


def _reasons(backends: Iterable[type[Backend]]) -> list[str]:
    whys: dict[tuple[Feature, str], list[str]] = {}
    for backend in backends:
        for feature, why in backend.lacks.items():
            whys.setdefault((feature, why), []).append(backend.name)
    rows = [
        _line([_names(feature), ", ".join(names), why])
        for (feature, why), names in sorted(whys.items(), key=_by)
    ]
    return [_line(["lacking", "on", "because"]), _rule(3), *rows]


def _by(item: tuple[tuple[Feature, str], Any]) -> int:
    return item[0][0].value


def _names(features: Feature) -> str:
    return ", ".join(str(each.name).lower().replace("_", " ") for each in features)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"
