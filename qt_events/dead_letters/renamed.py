"""renamed_option(): a keyword argument that had another name."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from warnings import warn

from qt_events.errors import InvalidOptionError

P = ParamSpec("P")
T = TypeVar("T")


def renamed_option(old: str, new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator: the old name still works, with a DeprecationWarning.

    Raises (in the decorated function):
        InvalidOptionError: both names are given.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if old in kwargs:
                warn(f"{old}= is deprecated: write {new}=", DeprecationWarning, stacklevel=2)
                if new in kwargs:
                    raise InvalidOptionError(f"{old}= is the old name of {new}=: give one of them")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
