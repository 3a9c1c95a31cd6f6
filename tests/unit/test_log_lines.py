"""Formatters of the library, by the names that docs/logging.md once had for them."""

import importlib
import logging.config

import pytest

from qt_events.logs import formatters


@pytest.mark.parametrize("name", ["JsonFormatter", "TextFormatter"])
def test_a_configuration_with_the_old_name_works_and_warns(name: str) -> None:
    """The warning has the name to write instead."""
    config = logging.config.DictConfigurator({})
    new = rf"write qt_events\.logs\.formatters\.{name}$"
    with pytest.warns(DeprecationWarning, match=new):
        made = config.configure_formatter({"()": f"qt_events.log_lines.{name}"})
    assert type(made) is getattr(formatters, name)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'WithFields'"):
        importlib.import_module("qt_events.log_lines").WithFields  # noqa: B018  # the access is the test
