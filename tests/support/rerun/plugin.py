"""Plugin of pytest that records a run, or runs again the tests that failed in a recorded one.

Under xdist only the process that the user started records: it hears of every worker's reports.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.rerun.record import Failure, Record, Success

_NAME = "rerun"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options that the command passes."""
    group = parser.getgroup("rerun")
    group.addoption("--rerun-record", type=Path, metavar="FILE", help="where to record this run")
    group.addoption("--rerun-failed-of", type=Path, metavar="FILE", help="the run to repeat")


def pytest_configure(config: pytest.Config) -> None:
    """Record, or repeat, in the process that the user started."""
    if hasattr(config, "workerinput"):
        return
    if path := config.getoption("rerun_record"):
        config.pluginmanager.register(Recorder(config, path), _NAME)
    elif path := config.getoption("rerun_failed_of"):
        config.pluginmanager.register(Repeater(Record.read(path)), _NAME)


class Recorder:
    """Hears every report of the first run."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config, self._path = config, path
        self._record = Record()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report: of a failure its text, of anything else all."""
        if report.when not in ("setup", "call", "teardown"):  # xdist reports a crash as `???`
            self._record.obstacles.append(f"a worker crashed in {report.nodeid}")
        elif report.failed:
            failure = Failure(report.nodeid, report.when, report.longreprtext)
            self._record.failures.append(failure)
        else:
            self._keep(report)

    def _keep(self, report: pytest.TestReport) -> None:
        category = self._config.hook.pytest_report_teststatus(report=report, config=self._config)[0]
        if category:
            self._record.others.append(Success.of(report, category))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that cannot be collected."""
        if report.failed:
            self._record.obstacles.append(f"{report.nodeid or 'a module'} cannot be collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note a worker of xdist that ended before its time."""
        if error:
            self._record.obstacles.append(f"a worker crashed: {error}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the record."""
        if session.shouldfail or session.shouldstop:
            self._record.obstacles.append(f"{session.shouldfail or session.shouldstop}")
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._record.obstacles.append(f"exit status {int(exitstatus)}")
        self._record.write(self._path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what happens with the failures, before pytest's own summary line."""
        if self._record.failures:
            reason = self._record.reason
            number = len(self._record.failed)
            terminalreporter.write_sep("=", "rerun")
            terminalreporter.write_line(
                f"not run again: {reason}" if reason else f"to be run again, alone: {number}"
            )


class Repeater:
    """Runs nothing but the failed tests, and sums up both runs."""

    def __init__(self, first: Record) -> None:
        self._first = first
        self._wanted = set(first.failed)
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave only the tests that failed."""
        items[:] = [item for item in items if item.nodeid in self._wanted]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep who passed and who did not."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    @property
    def _missing(self) -> list[str]:
        """Tests that failed at first and have not passed now."""
        good = self._passed - self._failed
        return [nodeid for nodeid in self._first.failed if nodeid not in good]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Be green only if each of them has passed, not if one was skipped or not found."""
        if self._missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the flaky tests. pytest's own summary line then counts the tests of both runs."""
        for nodeid in self._missing:
            terminalreporter.write_line(f"did not pass when run again: {nodeid}", red=True)
        if not self._missing:
            self._list_flaky(terminalreporter)
        for success in self._first.others:
            terminalreporter.stats.setdefault(success.category, []).append(success.report())

    def _list_flaky(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("=", "FLAKY: failed at first, passed when run again, alone")
        for failure in self._first.failures:
            terminalreporter.write_line(f"FLAKY {failure.nodeid} ({failure.when})")
            for line in failure.text.splitlines():
                terminalreporter.write_line(f"    {line}")
