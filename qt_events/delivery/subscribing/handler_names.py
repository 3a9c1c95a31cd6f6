"""Names of handlers: the default name of a subscription, and who a handler is."""

import inspect
import re
import sys
from typing import Any

from qt_events.delivery.subscribing.subscription import NAME, EventHandler, is_mock, unwrapped
from qt_events.errors import InvalidHandlerError, InvalidOptionError

# Modules that a program runs as: every script has one of these names.
_MAIN = ("__main__", "__mp_main__")
_LOCAL = ".<locals>"
_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")


class _Alone(str):
    __slots__ = ()


#: Service of a bus beside which no other has names, such as one of a test; an empty text alone may
#: be a setting that is missing.
ALONE = _Alone()


def checked_service(service: object) -> str | None:
    """Return the name of a service if it is one; InvalidOptionError otherwise."""
    if service is ALONE:
        return ALONE
    if service is None or (isinstance(service, str) and _SERVICE.fullmatch(service)):
        return service
    raise InvalidOptionError(
        f"service={service!r} must be 1 to 100 letters, digits, '_', '.' or '-'"
    )


def service_of(service: object, program: str | None) -> str | None:
    """Return the service, by default the name of its program; None if neither is its own."""
    given = checked_service(service)
    return (None if program in _MAIN else program) if given is None else given


def name_of(handler: EventHandler, service: str | None = None) -> str | None:
    """Return the name that a handler has of its own, None for lambdas and local functions.

    A method is called `service.module.class_name.method`, a function `service.module.function`.
    The service is left out where there is none, or where the module's path begins with it.
    """
    target = unwrapped(handler)
    if is_mock(target) or (path := _path_of(target)) is None:
        # Two mocks are two handlers.
        return None
    module = _module_of(target)
    known = not service or f"{module}.".startswith(f"{service}.")
    return f"{module}.{path}" if known else f"{service}.{module}.{path}"


def lasting_name_of(handler: EventHandler, service: str | None) -> str:
    """Return the handler's own name, for its queue.

    Raises:
        InvalidHandlerError: the handler has none that lasts, or that no other service has.
    """
    name = name_of(handler, service)
    if name is None:
        raise InvalidHandlerError(
            f"{handler!r} has no name of its own, and its queue needs one that lasts: give name=..."
        )
    if _module_of(unwrapped(handler)) in _MAIN:
        raise InvalidHandlerError(
            f"{handler!r} is of the script that runs, and every script is called __main__: give "
            "name=..., or run it as a module, `python -m package.module`"
        )
    if service is None:
        raise InvalidHandlerError(
            f"{handler!r} has no name that is its own on the broker, for another service may have "
            f"{name!r} too: give name=..., or the bus service=... (or its Celery app a name)"
        )
    if not NAME.fullmatch(name):
        raise InvalidHandlerError(
            f"the name of {handler!r} would be {name!r}, which is too long for a queue or has "
            "letters that no queue takes: give name=..."
        )
    return name


def former_name_of(handler: EventHandler) -> str | None:
    """Return the default name of releases whose names had neither service nor class's module."""
    target = unwrapped(handler)
    owner = _owner_of(target)
    if owner is not None:
        return f"{_snake_case(owner.__name__)}.{target.__name__}"
    if is_mock(target):
        return None
    qualname = getattr(target, "__qualname__", None)
    if not isinstance(qualname, str):
        return _snake_case(type(target).__name__)
    return None if "<" in qualname else f"{target.__module__}.{qualname}"


def identity_of(handler: EventHandler) -> str:
    """Return who a handler is, `module:Class.method`, the same in every process."""
    target = unwrapped(handler)
    owner = _owner_of(target)
    if owner is not None:
        path = f"{owner.__qualname__}.{target.__name__}"
    else:
        path = getattr(target, "__qualname__", None) or type(target).__qualname__
    return f"{_module_of(target)}:{path}"


def _path_of(target: Any) -> str | None:
    """Return the path within the module, None if it is no path that lasts."""
    owner = _owner_of(target)
    if owner is not None:
        return f"{_path_of_class(owner)}.{target.__name__}"
    qualname = getattr(target, "__qualname__", None)
    # An object with __call__ has no qualname.
    if not isinstance(qualname, str):
        return _path_of_class(type(target))
    return None if "<" in qualname else qualname


def _path_of_class(found: type) -> str:
    """Return its path, with the classes and functions around it: they may have others like it."""
    return ".".join(map(_snake_case, found.__qualname__.replace(_LOCAL, "").split(".")))


def _owner_of(target: Any) -> type | None:
    """Return the class that a method is bound to, or the class of its object."""
    owner = getattr(target, "__self__", None)
    if owner is None or inspect.ismodule(owner):
        return None
    return owner if isinstance(owner, type) else type(owner)


def _module_of(target: Any) -> str:
    """Return the module's name; of one that `python -m` runs, the name that it was given."""
    of = _owner_of(target) or (target if hasattr(target, "__qualname__") else type(target))
    module = str(getattr(of, "__module__", None) or type(target).__module__)
    if module not in _MAIN:
        return module
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return module if spec is None else str(spec.name)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().lstrip("_")
