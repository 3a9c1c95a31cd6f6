"""What tests need beside Python; `python -m tests.support.provision --ensure` makes sure that it is there.

RabbitMQ, PostgreSQL, Chromium with its driver, and libfaketime: as installed, else installed now from Debian's
packages, as root or with a sudo that asks nothing, without starting any service. Where RabbitMQ cannot be had, the
broker that QT_EVENTS_TEST_BROKER_URL names; one that merely happens to run on the machine is never used.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from qt_events.testing.broker.given import BROKER_URL
from qt_events.testing.broker.installed import installed_rabbitmq
from qt_events.testing.broker.opened import ADVICE
from tests.support.chromium import installed_chromium
from tests.support.faketime import installed_faketime
from tests.support.packages import install
from tests.support.postgres import installed_postgres


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that tests need of the machine."""

    packages: tuple[str, ...]  #: Debian's
    find: Callable[[], Path | None]
    use: str  #: what tests do with what was found
    advice: str
    instead: str = ""  #: an environment variable that names another

    def found(self) -> str:
        """A line that says what tests will use; empty if there is none."""
        place = self.find()
        return f"{self.use} {place}" if place else ""

    def given(self) -> str:
        """The same, of what the environment names."""
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
        ("rabbitmq-server",),
        _rabbitmq,
        "tests start private nodes of",
        ADVICE,
        BROKER_URL,
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
    """What there is now: a line for each thing that tests will use, and one for each that cannot be had."""

    there: tuple[str, ...]
    missing: tuple[str, ...]


def ensure(names: Iterable[str] = NEEDS) -> Provision:
    """Make sure of what tests need, by one installation of all that is missing."""
    needs = [NEEDS[name] for name in names]
    missing = [need for need in needs if not need.found()]
    trouble = install([package for need in missing for package in need.packages]) if missing else ""
    lines = {need: _line(need, just_installed=need in missing) for need in needs}
    return Provision(
        there=tuple(line for line in lines.values() if line),
        missing=tuple(f"{need.advice} ({trouble or 'installed, but not found'})" for need in needs if not lines[need]),
    )


def _line(need: Need, *, just_installed: bool) -> str:
    if found := need.found():
        return f"{found}, just installed" if just_installed else found
    return need.given()


def main(arguments: list[str] | None = None) -> int:
    """0 and a line for each thing that says what tests use; 1 and a line on stderr for each that cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.provision", description="What tests need.")
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
