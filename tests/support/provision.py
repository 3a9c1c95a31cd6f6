"""Programs that tests need beside Python: `python -m tests.support.provision --ensure`.

RabbitMQ, PostgreSQL, Chromium with its driver, and libfaketime. What is missing is installed from
Debian's packages, as root or with a sudo that asks nothing, without starting any service. Where
RabbitMQ cannot be had, tests use the broker that QT_EVENTS_TEST_BROKER_URL names. One that merely
happens to run on the machine is never used.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from qt_events.testing.broker.broker import ADVICE, BROKER_URL
from qt_events.testing.broker.installed import installed_rabbitmq
from tests.support.chromium import installed_chromium
from tests.support.faketime import installed_faketime
from tests.support.packages import install
from workers.fleet.postgres import installed_postgres


@dataclass(frozen=True, slots=True)
class Need:
    """One program that tests need of the machine."""

    packages: tuple[str, ...]  #: names in Debian
    find: Callable[[], Path | None]
    use: str  #: words before the place where it was found
    advice: str
    instead: str = ""  #: environment variable that names a replacement

    def found(self) -> str:
        """Return a line that says what tests will use; empty if there is none."""
        place = self.find()
        return f"{self.use} {place}" if place else ""

    def given(self) -> str:
        """Return the same line for what the environment names."""
        return f"tests use what {self.instead} names" if os.environ.get(self.instead) else ""


def _rabbitmq() -> Path | None:
    folder = installed_rabbitmq()
    return folder and folder / "rabbitmq-server"


def _postgres() -> Path | None:
    return installed_postgres()


def _chromium() -> Path | None:
    found = installed_chromium()
    return found and found.browser


def _faketime() -> Path | None:
    return installed_faketime()


NEEDS = {
    "rabbitmq": Need(
        ("rabbitmq-server",), _rabbitmq, "tests start private nodes of", ADVICE, BROKER_URL
    ),
    "postgresql": Need(
        ("postgresql",),
        _postgres,
        "tests start private servers of PostgreSQL in",
        "no PostgreSQL for the tests: install the postgresql server, 13 or later",
    ),
    "chromium": Need(
        ("chromium", "chromium-driver"),
        _chromium,
        "tests look at web pages in a headless",
        "no Chromium for the tests: install chromium and the chromedriver of its version",
    ),
    "faketime": Need(
        ("faketime",),
        _faketime,
        "tests have wall clocks jump by",
        "no libfaketime for the tests: install faketime 0.9.10 or later",
    ),
}


@dataclass(frozen=True, slots=True)
class Provision:
    """Lines for everything that tests will use, and for everything that cannot be had."""

    there: tuple[str, ...]
    missing: tuple[str, ...]


def ensure(names: Iterable[str] = NEEDS) -> Provision:
    """Make sure of everything that tests need, by one installation of all that is missing."""
    needs = [NEEDS[name] for name in names]
    missing = [need for need in needs if not need.found()]
    trouble = install([package for need in missing for package in need.packages]) if missing else ""
    lines = {need: _line(need, just_installed=need in missing) for need in needs}
    return Provision(
        there=tuple(line for line in lines.values() if line),
        missing=tuple(
            f"{need.advice} ({trouble or 'installed, but not found'})"
            for need in needs
            if not lines[need]
        ),
    )


def _line(need: Need, *, just_installed: bool) -> str:
    if found := need.found():
        return f"{found}, just installed" if just_installed else found
    return need.given()


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each thing that tests use; exit status 1 if one cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.provision", description="What tests need."
    )
    parser.add_argument(
        "--ensure", nargs="*", choices=NEEDS, required=True, metavar="NAME",
        help=f"install what is missing of {', '.join(NEEDS)}; by default all",
    )  # fmt: skip
    provision = ensure(parser.parse_args(arguments).ensure or NEEDS)
    for line in provision.there:
        print(line)
    for line in provision.missing:
        print(line, file=sys.stderr)
    return 1 if provision.missing else 0


if __name__ == "__main__":
    sys.exit(main())
