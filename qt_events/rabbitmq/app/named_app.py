"""Celery apps with a bus, found by the name of their module as `celery -A` finds them."""

import importlib
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

import celery
from celery.app.utils import find_app
from celery.utils.imports import cwd_in_path

from qt_events.errors import InvalidOptionError, NotSupportedError, UsageError

_MOST_PLACES = 5  # lines that are shown of a module that cannot be imported
_IMPORTLIB = str(Path(importlib.__file__).parent)
# Folders of code that is not the app's own, as beginnings of file names.
_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in {
        str(Path(str(sys.modules["qt_events"].__file__)).parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)


def app_with_bus(name: str) -> celery.Celery:
    """Find the Celery app that `celery -A name` finds, and make sure that it has a bus.

    Raises:
        InvalidOptionError: there is no such module, or no app in it.
        NotSupportedError: the app has no bus.
        UsageError: the module cannot be imported; the notes say in which file and line.
    """
    try:
        app = _found(name)
    except ModuleNotFoundError as error:
        if not _is_part(error.name, of=name):
            raise _not_imported(name, error) from error
        raise InvalidOptionError(
            f"there is no module {error.name!r} here: name the one whose attribute `app` is the "
            "Celery app"
        ) from error
    except _NoAppError as error:
        raise InvalidOptionError(
            f"there is no Celery app in {name!r}: it has to be an attribute `app` of the module "
            f"({error})"
        ) from error
    except Exception as error:
        raise _not_imported(name, error) from error
    if getattr(app, "qt_events_bus", None) is None:
        raise NotSupportedError(
            f"the Celery app of {name!r} has no bus: make one beside it, CeleryEventBus(app=app)"
        )
    return app


def module_of(name: str) -> ModuleType:
    """Return the module of an app that was found: `desk` of `desk`, `desk:app` and `desk.app`."""
    module = name.partition(":")[0]
    with cwd_in_path():
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError:
            return importlib.import_module(module.rpartition(".")[0])


def import_modules(app: celery.Celery, name: str) -> None:
    """Import the modules that the app's `include` and `imports` name: they subscribe too.

    Raises:
        UsageError: one of them cannot be imported; the notes say in which file and line.
    """
    try:
        with cwd_in_path():
            app.loader.import_default_modules()
    except Exception as error:
        raise _not_imported(name, error) from error


class _NoAppError(Exception):
    """Lack of an app in a module that exists."""


def _found(name: str) -> celery.Celery:
    with cwd_in_path():
        # First by itself: find_app takes an AttributeError in the module for a missing app.
        _import(name.partition(":")[0])
        try:
            return find_app(name)
        except ModuleNotFoundError as error:
            # Celery's last attempt with module:attribute is a module of the whole name.
            if error.name != name or ":" not in name:
                raise
            raise _NoAppError(error.__context__) from error
        except AttributeError as error:
            # Celery looks there too, and hides an ImportError.
            _import(f"{name}.celery")
            raise _NoAppError(error) from error


def _import(module: str) -> None:
    """Import a module if there is one of this name."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not _is_part(error.name, of=module):
            raise


def _is_part(module: str | None, *, of: str) -> bool:
    return module is not None and f"{of.partition(':')[0]}.".startswith(f"{module}.")


def _not_imported(name: str, error: Exception) -> UsageError:
    """Return an error with the file and line where the app's module is broken.

    No line of its source is shown, because there may be a password in it.
    """
    failed = UsageError(f"the app {name!r} cannot be imported: {type(error).__name__}: {error}")
    for place in _places(error)[-_MOST_PLACES:]:
        failed.add_note(place)
    return failed


def _places(error: Exception) -> list[str]:
    """Return files and lines that were being executed, in order, without those of libraries."""
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", _IMPORTLIB))
    ]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    own = [(file, line) for file, line in frames if not file.startswith(_LIBRARIES)] or frames[-1:]
    return [f"{file}, line {line}" for file, line in own]
