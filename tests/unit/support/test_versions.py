"""Ends of the ranges in pyproject.toml, and what `make test-versions` makes of them."""

import sys
from importlib.metadata import version
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from packaging.requirements import Requirement

from qt_events.rabbitmq.compat.names import TABLE
from tests.support import versions
from tests.support.versions import LIBRARIES, End, check, constraints, lowest, main, ranges

NOWHERE = End("lowest", ("celery==0",))


def test_each_library_has_a_lowest_version_and_an_upper_bound() -> None:
    assert set(ranges()) == set(LIBRARIES)
    assert len(lowest(ranges().values())) == len(LIBRARIES)
    for each in ranges().values():
        assert [bound.operator for bound in each.specifier].count("<") == 1


def test_the_lowest_version_is_that_of_the_range() -> None:
    asked = [Requirement("celery>=5.7,<5.8"), Requirement("amqp<5.5,>=5.4.2")]
    assert lowest(asked) == ("celery==5.7", "amqp==5.4.2")


def test_no_range_reaches_past_what_the_table_of_private_names_was_checked_for() -> None:
    """Names are checked at import, what they mean is not: docs/adr/020."""
    for internals in TABLE:
        specifier = ranges()[internals.library].specifier
        major, minor = map(int, internals.checked.split("."))
        assert f"{internals.checked}.99" in specifier
        assert f"{major}.{minor + 1}" not in specifier
        assert f"{major}.{minor - 1}.99" not in specifier


def test_what_the_libraries_need_is_free_and_everything_else_is_as_in_constraints() -> None:
    left = {line.partition("==")[0] for line in constraints(LIBRARIES)}
    assert not left & {*LIBRARIES, "pydantic_core", "vine", "billiard"}
    assert {"pytest", "rich", "hypothesis"} <= left


def test_an_end_that_cannot_be_installed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(end: End) -> Path:
        raise CalledProcessError(1, "pip")

    monkeypatch.setattr(versions, "prepare", failing)
    assert check(NOWHERE, ())[0] is False
    assert main([]) == 1


def test_versions_that_constraints_has_already_are_not_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "prepare", lambda end: Path(sys.executable))
    passed, line = check(End("newest", ()), ("no such test",))
    assert passed
    assert f"celery {version('celery')}" in line
    assert "not run: constraints.txt has these" in line


def test_a_failed_test_is_the_end_s_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary has pytest's last line."""
    monkeypatch.setattr(versions, "prepare", lambda end: Path(sys.executable))
    found = iter([dict.fromkeys(LIBRARIES, "1"), {}])
    monkeypatch.setattr(versions, "versions", lambda python: next(found))
    passed, line = check(End("newest", ()), ("-p", "no:cacheprovider", "no/such/test.py"))
    assert not passed
    assert "FAILED" in line
