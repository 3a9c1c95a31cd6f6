"""Record: the reports of one run of pytest, kept in a file for the run that follows."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

LIMIT = 5  # failed tests that are run again; more of them are no accident

_TIMEOUT = "from pytest-timeout"  # in the text of each of its failures


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed, in its setup, call or teardown."""

    nodeid: str
    when: str  #: setup, call or teardown
    text: str  #: traceback and message, as pytest shows them

    @property
    def is_timeout(self) -> bool:
        return _TIMEOUT in self.text


@dataclass(frozen=True, slots=True)
class Success:
    """A test that did not fail, as far as a summary needs it."""

    nodeid: str
    category: str  #: pytest's: passed, skipped, xfailed
    when: str
    #: Path, line and reason of a skip, else what pytest shows.
    text: str | tuple[str, int, str]

    @classmethod
    def of(cls, report: pytest.TestReport, category: str) -> Self:
        """Return what is to be kept of a report."""
        found = report.longrepr
        text = found if isinstance(found, tuple) else str(found or "")
        return cls(report.nodeid, category, report.when, text)

    def report(self) -> pytest.TestReport:
        """Return a report that pytest counts and sums up as the original."""
        path = self.nodeid.partition("::")[0]
        outcome: Any = "passed" if self.category == "passed" else "skipped"
        text = tuple(self.text) if isinstance(self.text, list | tuple) else self.text or None
        place = (path, None, self.nodeid)
        return pytest.TestReport(self.nodeid, place, {}, outcome, text, self.when)  # type: ignore[arg-type]


@dataclass(slots=True)
class Record:
    """Reports of a run."""

    failures: list[Failure] = field(default_factory=list)
    others: list[Success] = field(default_factory=list)
    #: Reasons, beside failed tests, for which the run cannot become green.
    obstacles: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Return the node ids of the tests that failed, in their order."""
        return list(dict.fromkeys(failure.nodeid for failure in self.failures))

    @property
    def reason(self) -> str:
        """Return why the failed tests are not run again; empty if they are."""
        late = [failure.nodeid for failure in self.failures if failure.is_timeout]
        if self.obstacles:
            return self.obstacles[0]
        if late:
            return f"{late[0]} timed out"
        if len(self.failed) > LIMIT:
            return f"{len(self.failed)} tests failed, more than {LIMIT}"
        return "" if self.failures else "no test failed"

    def write(self, path: Path) -> None:
        """Write the record; a run that is killed leaves none."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        fields = json.loads(path.read_text())
        failures = [Failure(**each) for each in fields["failures"]]
        others = [Success(**each) for each in fields["others"]]
        return cls(failures, others, fields["obstacles"])
