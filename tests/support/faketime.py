"""The installed libfaketime, which tests load into processes to have their wall clock jump."""

from collections.abc import Iterator
from pathlib import Path

_LIBRARY = "libfaketimeMT.so.1"  # for programs of several threads
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")


def installed_faketime() -> Path | None:
    """Return the library to preload; None if it is not installed."""
    return next(_found(), None)


def _found() -> Iterator[Path]:
    for place in _PLACES:
        yield from sorted(Path("/").glob(f"{place[1:]}/{_LIBRARY}"))
