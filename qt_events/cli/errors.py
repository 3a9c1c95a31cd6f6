"""Errors of a command: one line on standard error, and the exit code."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from qt_events.cli.terminal import complain, leave, standard_output
from qt_events.errors import (
    InvalidOptionError,
    InvalidUrlError,
    NotSupportedError,
    QtEventsError,
)

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

#: Errors of ours that mean a wrong option, whoever finds it out.
_OF_USAGE = (InvalidOptionError, InvalidUrlError, NotSupportedError)

#: Root of typer's own errors. They are click's, or those of a copy of click that typer brings along
#: in its newer versions: BadParameter is in public in both cases.
_TYPERS: Any = typer.BadParameter.__mro__[2]


def exit_code(run: Callable[[], int | None]) -> int:
    """Run a command, tell its error on standard error in one line, and return the exit code.

    That the reader of standard output has enough is no error.
    """
    with standard_output() as is_unread:
        code = _code_of(run, is_unread)
        try:
            sys.stdout.flush()
        except OSError as error:
            code = code or _of_system(error, is_unread)
            leave(sys.stdout)
    return code


def _code_of(run: Callable[[], int | None], is_unread: Callable[[], bool]) -> int:
    try:
        return run() or 0
    except _TYPERS as error:
        # Without arguments the help was shown, and there is nothing to add.
        if text := _of_typer(error):
            complain(text)
        return int(error.exit_code)
    except typer.Abort:
        complain("aborted")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except QtEventsError as error:
        complain(str(error), *getattr(error, "__notes__", ()))
        return WRONG_USAGE if isinstance(error, _OF_USAGE) else FAILED
    except (OSError, SystemExit) as error:
        # By a SystemExit typer and rich end over any closed pipe, without a word.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        return _of_system(cause, is_unread)


def _of_system(error: OSError, is_unread: Callable[[], bool]) -> int:
    # A broker's socket may be closed, too.
    if isinstance(error, BrokenPipeError) and is_unread():
        leave(sys.stdout)
        return 0
    # Brokers and databases have errors of their own: this is a file, or standard output.
    where = f"{error.filename}: " if error.filename else ""
    complain(f"{where}{error.strerror or error}: nothing more was read or written")
    return FAILED


def _of_typer(error: Any) -> str:
    text = str(error.format_message()).strip().rstrip(".")
    if not text:
        return ""
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context else ""
    return f"{text[0].lower()}{text[1:]}{hint}"
