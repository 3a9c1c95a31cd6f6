"""The rerun of a few failed tests, by real pytest runs over tiny suites."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.first_words import ROOT
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
BARE = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "-p xdist.plugin -p pytest_timeout -p no:cacheprovider",
}


class Run:
    """One run of the command over a suite."""

    def __init__(self, folder: Path, *arguments: str, **modules: str) -> None:
        (folder / "pytest.ini").write_text("[pytest]\n")
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(FLAKY + text)
        command = [sys.executable, "-m", "tests.support.rerun", *arguments]
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath, "COLUMNS": "100", **BARE}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        self.status, self.output = done.returncode, done.stdout + done.stderr
        self.lines = done.stdout.splitlines()

    @property
    def summary(self) -> str:
        """The last line, without its time and its rule."""
        found = re.fullmatch(r"=*\s*(.*?) in [\d.]+s.*", self.lines[-1])
        assert found, self.output
        return found[1]

    @property
    def runs(self) -> int:
        return self.output.count("test session starts")


def test_a_test_that_passes_when_run_again_is_named_flaky_and_the_run_is_green(
    tmp_path: Path,
) -> None:
    run = Run(
        tmp_path,
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


def test_a_test_that_fails_twice_fails_the_run(tmp_path: Path) -> None:
    run = Run(
        tmp_path, test_one='def test_bad(): assert False, "always"\ndef test_a(): flaky("a")\n'
    )
    assert run.status == 1
    assert run.runs == 2
    assert run.summary == "1 failed, 1 passed"
    assert "FLAKY" not in run.output
    assert "did not pass when run again: test_one.py::test_bad" in run.lines


def test_more_than_five_failures_are_not_run_again(tmp_path: Path) -> None:
    suite = '@pytest.mark.parametrize("n", range({}))\ndef test_bad(n): flaky(f"bad-{{n}}")\n'
    run = Run(tmp_path, test_one=suite.format(LIMIT + 1))
    assert (run.status, run.runs) == (1, 1)
    assert run.summary == "6 failed"
    assert "not run again: 6 tests failed, more than 5" in run.lines


def test_five_failures_are_run_again_alone_though_they_ran_side_by_side(tmp_path: Path) -> None:
    suite = """
import os
@pytest.mark.parametrize("n", range(5))
def test_bad(n):
    flaky(f"bad-{n}")
    assert "PYTEST_XDIST_WORKER" not in os.environ
def test_good(): assert "PYTEST_XDIST_WORKER" in os.environ
"""
    run = Run(tmp_path, "--numprocesses", "2", "--dist", "loadfile", test_one=suite)
    assert run.status == 0, run.output
    assert run.summary == "6 passed"


def test_a_worker_that_crashes_is_not_run_again(tmp_path: Path) -> None:
    suite = """
import os
def test_bad():
    if not Path("crashed").exists():
        Path("crashed").touch()
        os._exit(0)
"""
    run = Run(tmp_path, "--numprocesses", "1", test_one=suite)
    assert (run.status, run.runs) == (1, 1), run.output
    assert run.summary == "1 failed"


def test_a_crash_beside_a_flaky_test_is_not_run_again(tmp_path: Path) -> None:
    suite = 'import os\ndef test_bad(): flaky("bad")\ndef test_crash(): os._exit(1)\n'
    run = Run(tmp_path, "--numprocesses", "1", test_one=suite)
    assert (run.status, run.runs) == (1, 1), run.output
    assert any(line.startswith("not run again: a worker crashed") for line in run.lines)


@pytest.mark.parametrize("status", [0, 1, 7])
def test_a_test_that_ends_pytest_itself_fails_the_run(tmp_path: Path, status: int) -> None:
    run = Run(tmp_path, test_one=f"import os\ndef test_bad(): os._exit({status})\n")
    assert run.status == (status or 3)
    assert run.runs == 1


def test_a_module_that_cannot_be_collected_is_not_run_again(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        "--continue-on-collection-errors",
        test_one='def test_bad(): flaky("bad")\n',
        test_two="import nowhere\n",
    )
    assert (run.status, run.runs) == (1, 1)
    assert run.summary == "1 failed, 1 error"
    assert "not run again: test_two.py cannot be collected" in run.lines


def test_an_interrupted_collection_keeps_its_exit_status(tmp_path: Path) -> None:
    run = Run(tmp_path, test_one="import nowhere\n")
    assert (run.status, run.runs) == (2, 1)
    assert run.summary == "1 error"


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout_is_not_run_again(tmp_path: Path, method: str) -> None:
    suite = """
import time
def test_bad():
    if not Path("slept").exists():
        Path("slept").touch()
        time.sleep(60)
"""
    arguments = ("--timeout=0.5", f"--timeout-method={method}", "--numprocesses=1")
    run = Run(tmp_path, *arguments, test_one=suite)
    assert (run.status, run.runs) == (1, 1), run.output
    assert run.summary == "1 failed"


def test_a_run_that_stops_at_the_first_failure_is_not_run_again(tmp_path: Path) -> None:
    suite = 'def test_bad(): flaky("bad")\ndef test_never_run(): assert False\n'
    run = Run(tmp_path, "--exitfirst", test_one=suite)
    assert (run.status, run.runs) == (1, 1)
    assert any(line.startswith("not run again: stopping after 1 failures") for line in run.lines)


def test_a_failed_setup_and_a_failed_teardown_are_run_again(tmp_path: Path) -> None:
    suite = """
@pytest.fixture
def before(): flaky("before")
@pytest.fixture
def after():
    yield
    flaky("after")
def test_one(before): pass
def test_two(after): pass
"""
    run = Run(tmp_path, test_one=suite)
    assert run.status == 0, run.output
    assert "FLAKY test_one.py::test_one (setup)" in run.lines
    assert "FLAKY test_one.py::test_two (teardown)" in run.lines


def test_a_failed_test_that_is_skipped_when_run_again_fails_the_run(tmp_path: Path) -> None:
    suite = """
def test_bad():
    if Path(__file__).with_name("bad.seen").exists():
        pytest.skip("no more")
    flaky("bad")
"""
    run = Run(tmp_path, test_one=suite)
    assert (run.status, run.runs) == (1, 2)
    assert run.summary == "1 skipped"
    assert "did not pass when run again: test_one.py::test_bad" in run.lines


def test_a_green_run_is_pytests_own(tmp_path: Path) -> None:
    run = Run(tmp_path, test_one="def test_good(): pass\n")
    assert (run.status, run.runs) == (0, 1)
    assert run.summary == "1 passed"
    assert "rerun ==" not in run.output


def test_no_tests_at_all_keeps_its_exit_status(tmp_path: Path) -> None:
    assert Run(tmp_path, test_one="").status == 5


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        [Failure("test.py::test", "call", "E assert")], [Success("b", "passed", "call", "")], ["no"]
    )
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
