"""Summary of the ledgers of a test run, a line a test, for the end of pytest's output."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest

from qt_events.testing.ledger import Line

_COLUMNS = [each.name for each in fields(Line)]
_WIDTH = 11


def ledgers(reports: Iterable[pytest.TestReport]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield test and ledger, of those that have kept one."""
    for report in reports:
        for name, value in report.user_properties:
            if name == "ledger" and report.when == "teardown":
                yield report.nodeid.rpartition("/")[2], value  # type: ignore[misc]


def lines(found: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield a head, and a line a test."""
    yield "".join(each.rjust(_WIDTH) for each in _COLUMNS) + "  test"
    for test, ledger in sorted(found, key=lambda each: each[0]):
        yield "".join(str(ledger["total"][each]).rjust(_WIDTH) for each in _COLUMNS) + f"  {test}"
        if ledger["figures"]:
            shown = ", ".join(f"{name} {value}" for name, value in ledger["figures"].items())
            yield " " * (_WIDTH * len(_COLUMNS)) + f"    {shown}"
