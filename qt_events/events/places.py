"""Places: where a class is declared, and what to say if one event has two classes."""

import sys
from pathlib import Path


def place_of(cls: type) -> tuple[str, str]:
    """Return the full name of a class and its file; a notebook or a prompt has none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return f"{cls.__module__}.{cls.__qualname__}", str(Path(file).resolve()) if file else "no file"


def declared_twice(key: tuple[str, int], places: list[tuple[str, str]]) -> str:
    """Return the error text of two classes for one event; their order makes no difference."""
    (event_type, version), ((one, file), (other, other_file)) = key, places
    advice = "keep one of them, or give one another type or version"
    if file == other_file and one.partition(".")[0] != other.partition(".")[0]:
        advice = "if it is one class, its file is imported by two names: import it by one"
    both = f"{one} in {file} and {other} in {other_file}"
    return f"two classes declare the event {event_type!r}, version {version}: {both}; {advice}"
