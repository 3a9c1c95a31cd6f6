"""Public names of qt_events.testing that have another name now."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("qt_events.testing.contract", "Stage", "ScenarioRun"),
        ("qt_events.testing.ledger", "Tally", "Totals"),
    ],
)
def test_an_old_name_warns_and_means_the_new_one(module: str, old: str, new: str) -> None:
    place = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated: it is called {new} now"):
        assert getattr(place, old) is getattr(place, new)


@pytest.mark.parametrize("module", ["qt_events.testing.contract", "qt_events.testing.ledger"])
def test_a_name_that_never_was_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Theatre'"):
        importlib.import_module(module).Theatre  # noqa: B018  # the access is the test
