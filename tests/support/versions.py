"""Tests on the lowest and the newest versions that pyproject.toml admits: `make test-versions`.

Of Celery, kombu, py-amqp and pydantic; everything else is as in constraints.txt. Each end has a
virtual environment of its own in build/versions, which is used again while the versions stay.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from time import monotonic

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "versions"
LIBRARIES = ("celery", "kombu", "amqp", "pydantic")
TESTS = ("tests/unit", "tests/contract")
_EXTRAS = ".[chart,dev,flower,history,outbox,postgresql,trader]"


@dataclass(frozen=True, slots=True)
class End:
    """One end of the ranges."""

    name: str  #: lowest or newest
    pins: tuple[str, ...]  #: for pip; without any, it takes the newest


def ranges() -> dict[str, Requirement]:
    """Return the libraries with the ranges that pyproject.toml gives them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(each) for each in project["dependencies"]]
    return {each.name: each for each in asked if each.name in LIBRARIES}


def lowest(asked: Iterable[Requirement]) -> tuple[str, ...]:
    """Return a pin to the lowest version for each requirement: `celery==5.7` for `>=5.7,<5.8`."""
    return tuple(
        f"{each.name}=={bound.version}"
        for each in asked
        for bound in each.specifier
        if bound.operator == ">="
    )


def constraints(without: Iterable[str]) -> list[str]:
    """Return the lines of constraints.txt apart from these libraries and what they need."""
    free = {canonicalize_name(name) for name in without}
    needed = (Requirement(each).name for name in without for each in requires(name) or ())
    free |= {canonicalize_name(name) for name in needed}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    return [line for line in pins if canonicalize_name(line.partition("==")[0]) not in free]


def prepare(end: End) -> Path:
    """Make the environment of an end, unless it is there, and return its Python."""
    folder = FOLDER / end.name
    python, stamp = folder / "bin" / "python", folder / "made-of.json"
    fixed = constraints(LIBRARIES)
    made_of = json.dumps([end.pins, fixed, (ROOT / "pyproject.toml").read_text()])
    # What is newest today is asked each time.
    if end.pins and stamp.exists() and stamp.read_text() == made_of:
        _say(f"{end.name}: using {folder.relative_to(ROOT)}")
        return python
    _say(f"{end.name}: installing into {folder.relative_to(ROOT)}: a minute or two")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    limits = folder / "constraints.txt"
    limits.write_text("\n".join(fixed))
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--upgrade"]
    subprocess.run([*pip, "-c", str(limits), "-e", _EXTRAS, *end.pins], check=True, cwd=ROOT)
    stamp.write_text(made_of)
    return python


def versions(python: Path | str) -> dict[str, str]:
    """Return the versions of the libraries in the environment of this Python."""
    program = (
        "import json, sys; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    command = [python, "-c", program, *LIBRARIES]
    found: dict[str, str] = json.loads(subprocess.check_output(command))
    return found


def run(python: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Run the tests there; return pytest's exit status and its last line."""
    last = ""
    command = [str(python), "-m", "pytest", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip(" =\n") or last
    return process.returncode, last


def check(end: End, arguments: Sequence[str]) -> tuple[bool, str]:
    """Run the tests on one end; return whether they passed, and a line for the summary."""
    began = monotonic()
    try:
        python = prepare(end)
    except subprocess.CalledProcessError as error:
        return False, f"{end.name}: FAILED: nothing to run on: {error}"
    found = versions(python)
    words = f"{end.name}: {', '.join(f'{name} {found[name]}' for name in LIBRARIES)}"
    if found == versions(sys.executable):
        return True, f"{words}: not run: constraints.txt has these, and so make test runs on them"
    _say(f"{words}: {' '.join(arguments)}")
    status, last = run(python, arguments)
    minutes = f"{(monotonic() - began) / 60:.0f} min"
    return not status, f"{words}: {'passed' if not status else 'FAILED'}: {last} ({minutes} in all)"


def main(arguments: Sequence[str]) -> int:
    """Run both ends and sum up; the exit status is 1 if a test failed, on either."""
    given = arguments if any(Path(ROOT, each).exists() for each in arguments) else ()
    asked = [*arguments, *(() if given else TESTS)]
    ends = (End("lowest", lowest(ranges().values())), End("newest", ()))
    results = [check(end, asked) for end in ends]
    for _, line in results:
        _say(line)
    return 0 if all(passed for passed, _ in results) else 1


def _say(line: str) -> None:
    print(f"test-versions: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
