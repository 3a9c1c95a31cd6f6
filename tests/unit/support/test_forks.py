"""ForkingKeeper: forked programs are what started ones are, and end as those do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qt_events.testing.keeper import Keeper
from tests.support.first_words import ROOT
from tests.support.fleet.fleet import StartedWorker
from tests.support.fleet.forks import ForkedProcess, ForkingKeeper, fork_server

PATIENCE = 30.0  # seconds
SLEEP = "import sys, time; print('up', flush=True); time.sleep(600)"


@pytest.fixture(params=[Keeper, ForkingKeeper])
def keeper(request: pytest.FixtureRequest) -> Iterator[Keeper]:
    """Both kinds: everything here holds for either."""
    opened: Keeper = request.param("qt-test-forks-")
    yield opened
    opened.close()


def spawn(keeper: Keeper, code: str, *arguments: str, **env: str) -> "subprocess.Popen[bytes]":
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return keeper.spawn("one", [sys.executable, "-c", code, *arguments], given)


def output(keeper: Keeper) -> str:
    return (keeper.folder / "one.out").read_text()


def is_up(keeper: Keeper) -> None:
    deadline = time.monotonic() + PATIENCE
    while "up" not in output(keeper):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    # The second, if it ends between opening and reading.
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_forking_keeper_forks_and_another_does_not(keeper: Keeper) -> None:
    process: object = spawn(keeper, "")
    assert isinstance(process, ForkedProcess) is isinstance(keeper, ForkingKeeper)


def test_a_program_has_its_arguments_its_environment_and_its_folder(keeper: Keeper) -> None:
    code = (
        "import os, sys; print(sys.argv, os.environ['MINE'], os.environ.get('HOME'), os.getcwd())"
    )
    process = keeper.spawn(
        "one", [sys.executable, "-c", code, "a", "b"], {"MINE": "1", "PYTHONPATH": ""}
    )
    assert process.wait(PATIENCE) == 0
    assert output(keeper) == f"['-c', 'a', 'b'] 1 None {keeper.folder}\n"


def test_a_module_is_found_on_the_given_path_and_is_main(keeper: Keeper, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys; print(__name__, sys.argv[1:])")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = keeper.spawn("one", [sys.executable, "-m", "mine", "-x"], env)
    assert process.wait(PATIENCE) == 0
    assert output(keeper) == "__main__ ['-x']\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit('in words')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(5)", 5),
        ("import os; os.kill(os.getpid(), 9)", -9),
    ],
)
def test_a_program_ends_with_its_own_status(keeper: Keeper, code: str, status: int) -> None:
    assert spawn(keeper, code).wait(PATIENCE) == status


def test_both_streams_are_appended_to_one_file(keeper: Keeper) -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); 1 / 0"
    for _ in range(2):
        spawn(keeper, code).wait(PATIENCE)
    assert output(keeper).count("out\nerr\n") == 2
    assert output(keeper).count("ZeroDivisionError") == 2


def test_a_program_leads_a_process_group_that_is_killed_with_it(keeper: Keeper) -> None:
    code = "import os, time; os.fork(); print('up', os.getpid(), flush=True); time.sleep(600)"
    process = spawn(keeper, code)
    deadline = time.monotonic() + PATIENCE
    while output(keeper).count("up") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pids = {int(line.split()[1]) for line in output(keeper).splitlines()}
    assert {os.getpgid(pid) for pid in pids} == {process.pid}
    keeper.kill("one")
    assert process.returncode == -signal.SIGKILL
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_signals_do_what_they_do_to_an_interpreter(
    keeper: Keeper, number: signal.Signals, status: int
) -> None:
    process = spawn(keeper, SLEEP)
    is_up(keeper)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(number)
    assert process.wait(PATIENCE) == status
    assert process.poll() == status


def test_closing_ends_what_runs_and_removes_the_folder(keeper: Keeper) -> None:
    process = spawn(keeper, SLEEP)
    is_up(keeper)
    keeper.close()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert not keeper.folder.exists()


def test_a_library_that_is_preloaded_needs_a_process_of_its_own(tmp_path: Path) -> None:
    keeper = ForkingKeeper("qt-test-forks-")
    process: object = spawn(keeper, "", LD_PRELOAD="")
    assert isinstance(process, subprocess.Popen)
    process.wait(PATIENCE)
    keeper.close()


def test_a_forked_program_does_not_outlive_a_killed_owner() -> None:
    program = (
        "import sys; from tests.support.fleet.forks import ForkingKeeper\n"
        "keeper = ForkingKeeper('qt-test-forks-')\n"
        "code = 'import time; time.sleep(600)'\n"
        "process = keeper.spawn('one', [sys.executable, '-c', code], {})\n"
        "print(process.pid, keeper.folder, flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().decode().split()
        assert alive(int(pid))
        owner.kill()
    deadline = time.monotonic() + PATIENCE
    while alive(int(pid)) or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_module_that_is_preloaded_is_there_in_every_fork_from_then_on() -> None:
    keeper = ForkingKeeper("qt-test-forks-")
    try:
        # It prints the Zen of Python.
        fork_server().preload("this")
        spawn(keeper, "import sys; print('up', 'this' in sys.modules, flush=True)").wait()
        assert output(keeper) == "up True\n"
    finally:
        keeper.close()


async def test_a_program_that_hangs_shows_where() -> None:
    """Waiting for its end fails with the stack of each of its threads, and of its children's."""
    code = (
        "import os, threading\n"
        "def hanging(): threading.Event().wait()\n"
        "if not os.fork(): hanging()\n"
        "threading.Thread(target=hanging, daemon=True).start()\n"
        "print('up', flush=True)\n"
        "os.waitpid(-1, 0); os.read(os.pipe()[0], 1)\n"
    )
    with closing(ForkingKeeper("qt-test-forks-")) as keeper:
        process = spawn(keeper, code)
        is_up(keeper)
        worker = StartedWorker(process, keeper.folder / "one.out")
        with pytest.raises(AssertionError, match="the end of the worker") as failure:
            await worker.ended(0.1)
        (told,) = failure.value.__notes__
    assert told.count("Fatal Python error: Aborted") == 2
    assert told.count("in hanging") == 2
