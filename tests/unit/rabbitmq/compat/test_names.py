"""Table of private names: all are there in the versions in use, and a missing one is a warning."""

import re
from importlib.metadata import version

import pytest

from qt_events.rabbitmq.compat.names import TABLE, Internals, are_there, missing

GONE = "amqp.transport:_AbstractTransport._is_gone"


def lacking(*found: str, without: str = "it is slower") -> Internals:
    return Internals("amqp", found, without)


@pytest.mark.parametrize("internals", TABLE, ids=lambda internals: internals.names[0])
def test_every_name_is_there(internals: Internals) -> None:
    assert missing(internals) == []
    assert are_there(internals)


@pytest.mark.parametrize("internals", TABLE, ids=lambda internals: internals.names[0])
def test_the_version_in_use_is_one_that_was_checked(internals: Internals) -> None:
    """Check each name again for a new minor version, then change the table."""
    assert version(internals.library).startswith(f"{internals.checked}.")


@pytest.mark.parametrize(
    "name",
    [
        "amqp.serialization:dumps",
        "amqp.spec:Basic.Ack",
        "kombu.connection:Connection._close",
        "kombu.connection:Connection._initial_params",
        "kombu.asynchronous.hub:Hub._ready",
    ],
    ids=["function", "constant", "method", "set in __init__", "set in __init__, too"],
)
def test_a_name_is_found_wherever_it_is_set(name: str) -> None:
    assert missing(lacking(name)) == []


@pytest.mark.parametrize(
    "name",
    [
        "amqp.gone:dumps",
        "amqp.serialization:gone",
        "amqp.spec:Gone.Ack",
        "amqp.spec:Basic.Gone",
        "kombu.asynchronous.hub:Hub._gone",
    ],
)
def test_a_name_is_missed_whatever_part_of_it_is_gone(name: str) -> None:
    assert missing(lacking("amqp.serialization:dumps", name)) == [name]


def test_a_missing_name_is_one_warning_with_library_version_and_loss() -> None:
    internals = lacking(GONE)
    text = f"amqp {version('amqp')} has no {GONE}, as 5.4 has: it is slower"
    with pytest.warns(RuntimeWarning, match=re.escape(text)) as caught:
        assert not any(are_there(each) for each in (internals, internals))
    assert len(caught) == 1


def test_without_some_names_the_import_fails_and_says_what_is_supported() -> None:
    with pytest.raises(ImportError, match=rf"{re.escape(GONE)}.*: qt_events needs amqp 5\.4"):
        are_there(lacking(GONE, without=""))
