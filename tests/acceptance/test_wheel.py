"""The wheel as a user gets it: in an empty environment, without extras, used in an empty folder."""

import json
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qt_events import __version__

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "wheel" / "program.py"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
BUILD = (sys.executable, "-m", "hatchling", "build", "-t", "wheel")

# On a busy machine
pytestmark = pytest.mark.timeout(300)

COMMANDS = {
    "",
    "dead-letters",
    *(f"dead-letters {each}" for each in ("discard", "export", "list", "retry", "show")),
    "flower",
    "history",
    *(
        f"history {each}"
        for each in ("export", "list", "prune", "record", "show", "stats", "trace", "upgrade")
    ),
    "outbox",
    *(f"outbox {each}" for each in ("list", "relay", "retry", "stats", "upgrade")),
    "spool",
    *(f"spool {each}" for each in ("list", "retry", "stats")),
    "replay",
    "rerun",
    "topology",
    *(
        f"topology {each}"
        for each in ("declare", "move", "permissions", "remove", "show", "take-over", "unbind")
    ),
    "worker",
}

# Prints every command's exit code and help, as JSON.
HELP = """
import contextlib, io, json, sys
from importlib.metadata import entry_points
import typer
from qt_events.cli import GROUP, build_app, main

def names(words, command):
    yield " ".join(words)
    for name, each in getattr(command, "commands", {}).items():
        yield from names([*words, name], each)

found = list(names([], typer.main.get_command(build_app(entry_points(group=GROUP)))))
assert "celery" not in sys.modules, "help and completion would be slow"
helps = {}
for name in found:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main([*name.split(), "--help"])
        except SystemExit as end:
            helps[name] = end.code, printed.getvalue()
print(json.dumps(helps))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a folder to use it in; every warning is an error there."""

    python: Path
    folder: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end."""
        path = str(self.python.parent)
        given = {"PATH": path, "COLUMNS": "100", "PYTHONWARNINGS": "error", **variables}
        return subprocess.run(
            [self.python.with_name(command[0]), *command[1:]],
            cwd=self.folder, env=given, text=True, capture_output=True, check=False,
        )  # fmt: skip

    def write(self, name: str, text: str = "") -> Path:
        """Write a module into the folder."""
        file = self.folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
        return file

    @property
    def packages(self) -> Path:
        """Its folder of installed packages."""
        (found,) = self.python.parents[1].glob("lib/python*/site-packages")
        return found

    def pip(self, *arguments: str) -> None:
        command = [*PIP[:3], "--python", str(self.python), *PIP[3:], *arguments]
        subprocess.run(command, check=True, timeout=280)


def environment(folder: Path) -> Environment:
    """Make an empty one. Pip of this environment installs into it: that is quicker than its own."""
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (folder / "empty").mkdir()
    return Environment(folder / "venv" / "bin" / "python", folder / "empty")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*BUILD, "-d", folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and what it depends on, and with no extra.

    What it depends on is linked from the environment of the tests: pip takes ten seconds for it.
    """
    made = environment(tmp_path_factory.mktemp("user"))
    made.pip("install", "--no-deps", "--no-compile", str(wheel))
    for name in sorted(dependencies(wheel)):
        link(distribution(name), made.packages)
    return made


def dependencies(wheel: Path) -> set[str]:
    """Return the names of all that the wheel depends on, directly or not, without its extras."""
    (built,) = distributions(path=[str(wheel)])
    waiting, found = [built], set[str]()
    while waiting:
        for requirement in map(Requirement, waiting.pop().requires or ()):
            name = canonicalize_name(requirement.name)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                installed = distribution(name)
                assert requirement.specifier.contains(installed.version), requirement
                if name not in found:
                    found.add(name)
                    waiting.append(installed)
    return found


def link(installed: Distribution, packages: Path) -> None:
    """Link the modules and the metadata of a distribution into another environment."""
    tops = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
    for top in tops:
        (packages / top).symlink_to(Path(str(installed.locate_file(top))))


@pytest.fixture
def folder(user: Environment, tmp_path: Path) -> Environment:
    """The same environment, in a folder that only this test uses."""
    return Environment(user.python, tmp_path)


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    """Two packages that say that they are typed; Quantum Trader is an application."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = f"qt_events-{__version__}.dist-info"
        entry_points = archive.read(f"{metadata}/entry_points.txt").decode()
    assert {name.partition("/")[0] for name in names} == {"pytest_qt_events", "qt_events", metadata}
    assert {"pytest_qt_events/py.typed", "qt_events/py.typed"} <= names
    assert "workers" not in entry_points


def test_the_version_is_told(user: Environment) -> None:
    """The script and `python -m qt_events` print it."""
    for command in (("qt-events",), ("python", "-m", "qt_events")):
        done = user.run(*command, "--version")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"qt-events {__version__}\n", "")


def test_every_command_has_its_help(user: Environment) -> None:
    """No help prints a warning or a traceback, or needs an extra; the list has all commands."""
    done = user.run("python", "-c", HELP)
    assert (done.returncode, done.stderr) == (0, "")
    helps = json.loads(done.stdout)
    assert set(helps) == COMMANDS
    for name, (status, text) in helps.items():
        assert status == 0, name
        assert re.search(rf"Usage: {f'qt-events {name}'.strip()} \[OPTIONS\]", text), name


@pytest.mark.parametrize("command", ["qt-events", "python -m qt_events"])
def test_the_program_has_its_help(user: Environment, command: str) -> None:
    """The script and `python -m qt_events` print the same."""
    done = user.run(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: qt-events [OPTIONS]" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flower", "Flower is not installed: pip install 'qt-events[flower]'"),
        ("worker", "give --app MODULE (or QT_APP): the module whose attribute `app` is"),
        ("topology declare", "give --app MODULE (or QT_APP): the module whose attribute `app` is"),
        ("topology show", "give --url amqp://user:password@host:port/vhost (or QT_BROKER_URL)"),
        ("dead-letters list", "give --url amqp://user:password@host:port/vhost"),
        ("outbox relay", "give --store URL (or QT_OUTBOX), the database of your rows"),
        ("worker --app json", "there is no Celery app in 'json': it has to be an attribute `app`"),
    ],
)
def test_what_is_missing_is_said_in_one_line(folder: Environment, words: str, said: str) -> None:
    """The line says what to write; the exit code is 2."""
    done = folder.run("qt-events", *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"qt-events: {said}")
    assert done.stderr.count("\n") == 1


BROKEN = {
    "raising": ("\nrate = 1 / 0", "ZeroDivisionError: division by zero", 2),
    "malformed": ("def desk(:\n", "SyntaxError: invalid syntax (malformed.py, line 1)", 1),
    "lacking": ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'", 1),
}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("worker", "raising"),
        ("topology declare", "malformed"),
        ("dead-letters list", "lacking"),
    ],
)
def test_a_broken_app_is_told_in_a_few_lines(folder: Environment, words: str, name: str) -> None:
    """The text has the app's own error, file and line; exit code 1, for the command was right."""
    text, error, line = BROKEN[name]
    file = folder.write(name, text)
    done = folder.run("qt-events", *words.split(), "--app", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"qt-events: the app '{name}' cannot be imported: {error}",
        f"  {file}, line {line}",
    ]


def test_a_program_runs(folder: Environment) -> None:
    """A user's program runs in memory, without a broker."""
    done = folder.run("python", str(PROGRAM))
    assert (done.returncode, done.stderr) == (0, "")
    assert "DEFENSIVE" in done.stdout


@pytest.fixture
def own_workers(wheel: Path, tmp_path: Path) -> Environment:
    """An environment into which a user's package `workers` and our wheel are installed."""
    made = environment(tmp_path)
    made.write("workers/__init__", "MINE = True")
    made.write("workers/command", "MINE = True")
    (made.folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
        "[project]\nname = 'fleet'\nversion = '1'\n"
        "[tool.hatch.build.targets.wheel]\npackages = ['workers']\n"
    )
    subprocess.run([*BUILD, "-d", tmp_path], cwd=made.folder, check=True, capture_output=True)
    (theirs,) = tmp_path.glob("fleet*.whl")
    made.pip("install", "--no-deps", "--no-compile", str(theirs), str(wheel))
    return Environment(made.python, tmp_path / "venv")


def test_a_users_package_workers_is_left_alone(own_workers: Environment) -> None:
    """Installing the wheel neither hides nor changes it; uninstalling does not remove it."""
    site = own_workers.packages
    files = {"__init__.py", "command.py"}
    program = "import workers.command; print(workers.command.MINE, workers.__path__)"
    expected = f"True ['{site / 'workers'}']\n"

    def there() -> set[str]:
        return {path.name for path in (site / "workers").glob("*.py")}

    assert (own_workers.run("python", "-c", program).stdout, there()) == (expected, files)
    assert (site / "qt_events").is_dir()
    own_workers.pip("uninstall", "--yes", "qt-events")
    assert not (site / "qt_events").exists()
    assert (own_workers.run("python", "-c", program).stdout, there()) == (expected, files)


CHECKERS = {
    "mypy": ("mypy", "--strict", "--config-file=", "--cache-dir=cache", "--python-executable"),
    "pyright": ("pyright", "--pythonpath"),
}
MISTAKES = """\
# pyright: strict
from qt_events import InMemoryEventBus, PolicyDeletedEvent, TradeExecutedEvent

def on_trade(event: TradeExecutedEvent) -> float:
    return event.payload.prize

InMemoryEventBus(max_size=1)
"""


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_know_the_installed_library(folder: Environment, checker: str) -> None:
    """A right program is clean, in pyright's strict mode too; each mistake is found in its line."""
    mistakes = folder.write("mistakes", MISTAKES)
    command = [sys.executable, "-m", *CHECKERS[checker], str(folder.python)]
    done = subprocess.run(
        [*command, str(PROGRAM), str(mistakes)],
        cwd=folder.folder, text=True, capture_output=True, check=False,
    )  # fmt: skip
    found = re.findall(r"(\w+)\.py:(\d+):.*error: ", done.stdout)
    expected = {("mistakes", "2"), ("mistakes", "5"), ("mistakes", "7")}
    assert set(found) == expected, done.stdout + done.stderr
