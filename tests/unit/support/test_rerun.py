"""The rerun of a few failed tests, by real pytest runs over tiny suites."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.first_words import ROOT
from tests.support.rerun.__main__ import run
from tests.support.rerun.record import LIMIT, Failure, Record, Success

FLAKY = """
from pathlib import Path
import pytest

def flaky(name):
    seen = Path(__file__).with_name(f"{name}.seen")
    first = not seen.exists()
    seen.touch()
    assert not first, f"{name} at its first time"
"""


# The plugins of this project's environment would take half a second of each start.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "PATH": os.defpath,
    "COLUMNS": "100",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "-p xdist.plugin -p pytest_timeout -p no:cacheprovider",
}


class Run:
    """Outcome of the command over a suite."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.output = status, out + err
        self.lines = out.splitlines()

    @property
    def summary(self) -> str:
        """The last line, without its time and its rule."""
        found = re.fullmatch(r"=*\s*(.*?) in [\d.]+s.*", self.lines[-1])
        assert found, self.output
        return found[1]

    @property
    def runs(self) -> int:
        return self.output.count("test session starts")


class Suite:
    """A tiny suite, and the command in this process; the runs of pytest have their own."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capfd = folder, capfd
        (folder / "pytest.ini").write_text("[pytest]\n")

    def write(self, **modules: str) -> None:
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(FLAKY + text)

    def run(self, *arguments: str, **modules: str) -> Run:
        self.write(**modules)
        return Run(run(arguments), *self._capfd.readouterr())


@pytest.fixture
def suite(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Suite:
    """Enter an empty suite, with nothing of this run in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in {*os.environ} - {*ENVIRONMENT}:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return Suite(tmp_path, capfd)


def test_a_test_that_passes_when_run_again_is_named_flaky_and_the_run_is_green(
    suite: Suite,
) -> None:
    run = suite.run(
        "-ra",
        test_one="""
def test_good(): pass
def test_bad(): flaky("bad")
@pytest.mark.skip(reason="not here")
def test_skipped(): pass
""",
        test_two="def test_other(): pass\n",
    )
    assert run.status == 0, run.output
    assert run.summary == "3 passed, 1 skipped"
    listed = run.lines.index("FLAKY test_one.py::test_bad (call)")
    assert "bad at its first time" in "\n".join(run.lines[listed:])
    assert "not here" in "\n".join(run.lines[listed:])


def test_a_test_that_fails_twice_fails_the_run(suite: Suite) -> None:
    run = suite.run(test_one='def test_bad(): assert False, "always"\ndef test_a(): flaky("a")\n')
    assert run.status == 1
    assert run.runs == 2
    assert run.summary == "1 failed, 1 passed"
    assert "FLAKY" not in run.output
    assert "did not pass when run again: test_one.py::test_bad" in run.lines


def test_more_than_five_failures_are_not_run_again(suite: Suite) -> None:
    text = '@pytest.mark.parametrize("n", range({}))\ndef test_bad(n): flaky(f"bad-{{n}}")\n'
    run = suite.run(test_one=text.format(LIMIT + 1))
    assert (run.status, run.runs) == (1, 1)
    assert run.summary == "6 failed"
    assert "not run again: 6 tests failed, more than 5" in run.lines


def test_five_failures_are_run_again_alone_though_they_ran_side_by_side(suite: Suite) -> None:
    text = """
import os
@pytest.mark.parametrize("n", range(5))
def test_bad(n):
    flaky(f"bad-{n}")
    assert "PYTEST_XDIST_WORKER" not in os.environ
def test_good(): assert "PYTEST_XDIST_WORKER" in os.environ
"""
    run = suite.run("--numprocesses", "2", "--dist", "loadfile", test_one=text)
    assert run.status == 0, run.output
    assert run.summary == "6 passed"


def test_a_worker_that_crashes_is_not_run_again(suite: Suite) -> None:
    text = """
import os
def test_bad():
    if not Path("crashed").exists():
        Path("crashed").touch()
        os._exit(0)
"""
    run = suite.run("--numprocesses", "1", test_one=text)
    assert (run.status, run.runs) == (1, 1), run.output
    assert run.summary == "1 failed"


def test_a_crash_beside_a_flaky_test_is_not_run_again(suite: Suite) -> None:
    text = 'import os\ndef test_bad(): flaky("bad")\ndef test_crash(): os._exit(1)\n'
    run = suite.run("--numprocesses", "1", test_one=text)
    assert (run.status, run.runs) == (1, 1), run.output
    assert any(line.startswith("not run again: a worker crashed") for line in run.lines)


@pytest.mark.parametrize("status", [0, 1])
def test_a_test_that_ends_pytest_itself_fails_the_run(suite: Suite, status: int) -> None:
    """This one is run as CI does, in a process that ends with the status."""
    suite.write(test_one=f"import os\ndef test_bad(): os._exit({status})\n")
    command = [sys.executable, "-m", "tests.support.rerun"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (status or 3)
    assert Run(done.returncode, done.stdout, done.stderr).runs == 1


def test_a_module_that_cannot_be_collected_is_not_run_again(suite: Suite) -> None:
    run = suite.run(
        "--continue-on-collection-errors",
        test_one='def test_bad(): flaky("bad")\n',
        test_two="import nowhere\n",
    )
    assert (run.status, run.runs) == (1, 1)
    assert run.summary == "1 failed, 1 error"
    assert "not run again: test_two.py cannot be collected" in run.lines


def test_an_interrupted_collection_keeps_its_exit_status(suite: Suite) -> None:
    run = suite.run(test_one="import nowhere\n")
    assert (run.status, run.runs) == (2, 1)
    assert run.summary == "1 error"


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout_is_not_run_again(suite: Suite, method: str) -> None:
    text = """
import time
def test_bad():
    if not Path("slept").exists():
        Path("slept").touch()
        time.sleep(60)
"""
    arguments = ("--timeout=0.5", f"--timeout-method={method}", "--numprocesses=1")
    run = suite.run(*arguments, test_one=text)
    assert (run.status, run.runs) == (1, 1), run.output
    assert run.summary == "1 failed"


def test_a_run_that_stops_at_the_first_failure_is_not_run_again(suite: Suite) -> None:
    text = 'def test_bad(): flaky("bad")\ndef test_never_run(): assert False\n'
    run = suite.run("--exitfirst", test_one=text)
    assert (run.status, run.runs) == (1, 1)
    assert any(line.startswith("not run again: stopping after 1 failures") for line in run.lines)


def test_a_failed_setup_and_a_failed_teardown_are_run_again(suite: Suite) -> None:
    text = """
@pytest.fixture
def before(): flaky("before")
@pytest.fixture
def after():
    yield
    flaky("after")
def test_one(before): pass
def test_two(after): pass
"""
    run = suite.run(test_one=text)
    assert run.status == 0, run.output
    assert "FLAKY test_one.py::test_one (setup)" in run.lines
    assert "FLAKY test_one.py::test_two (teardown)" in run.lines


def test_a_failed_test_that_is_skipped_when_run_again_fails_the_run(suite: Suite) -> None:
    text = """
def test_bad():
    if Path(__file__).with_name("bad.seen").exists():
        pytest.skip("no more")
    flaky("bad")
"""
    run = suite.run(test_one=text)
    assert (run.status, run.runs) == (1, 2)
    assert run.summary == "1 skipped"
    assert "did not pass when run again: test_one.py::test_bad" in run.lines


def test_a_green_run_is_pytests_own(suite: Suite) -> None:
    run = suite.run(test_one="def test_good(): pass\n")
    assert (run.status, run.runs) == (0, 1)
    assert run.summary == "1 passed"
    assert "rerun ==" not in run.output


def test_no_tests_at_all_keeps_its_exit_status(suite: Suite) -> None:
    assert suite.run(test_one="").status == 5


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        [Failure("test.py::test", "call", "E assert")], [Success("b", "passed", "call", "")], ["no"]
    )
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
