"""Only compat/ touches private names of other libraries."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("qt_events", "pytest_qt_events")
COMPAT = ROOT / "qt_events" / "rabbitmq" / "compat"
MODULES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if COMPAT not in path.parents
]
#: Public in spite of their underscore: methods of every named tuple, and os._exit.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_field_defaults", "_make", "_exit"}
ABSTRACT = {"_abc_impl"}  # Python's own, of every class with an abstract base
LOOKS = {"getattr", "setattr", "hasattr", "delattr"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def own_names() -> set[str]:
    """Names that this project defines: variables, attributes, functions, classes, modules."""
    own: set[str] = set()
    for path in MODULES:
        own.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                    own.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    own.add(name)
                case ast.ClassDef(name=name) | ast.arg(arg=name):
                    own.add(name)
    return own


OWN = own_names()


def foreign(node: ast.AST) -> Iterator[str]:
    """Private names in this part of a module that this project does not define."""
    match node:
        case ast.ImportFrom(module=str(module), names=names):
            known = module.split(".")[0] in PACKAGES
            yield from (each.name for each in names if is_private(each.name) and not known)
        case ast.Attribute(attr=name) if is_private(name):
            yield from {name} - OWN - DOCUMENTED
        case ast.Call(func=ast.Name(id=look), args=[_, ast.Constant(value=str(name)), *_]):
            if look in LOOKS and is_private(name):
                yield from {name} - OWN


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_others_is_touched(path: Path) -> None:
    found = [name for node in ast.walk(ast.parse(path.read_text())) for name in foreign(node)]
    assert found == []


# What a class inherits


def private_names_of(cls: type) -> set[str]:
    """Names of a class and of the attributes that its methods touch."""
    functions = [value for value in vars(cls).values() if isinstance(value, FunctionType)]
    used = {name for each in functions for name in names_in(each.__code__)}
    return {name for name in {*vars(cls), *used} if is_private(name)}


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def classes() -> Iterator[type]:
    """All classes of rabbitmq/ outside compat/ that extend one of py-amqp, kombu or Celery."""
    for path in MODULES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:2] == ("qt_events", "rabbitmq") and parts[-1] != "__init__":
            module: Any = importlib.import_module(".".join(parts))
            for value in filter(inspect.isclass, vars(module).values()):
                if value.__module__ == module.__name__ and any(map(is_foreign, value.__mro__)):
                    yield value


def is_foreign(cls: type) -> bool:
    return cls.__module__.split(".")[0] in ("amqp", "billiard", "celery", "kombu", "vine")


def test_no_class_overrides_or_uses_a_private_name_that_it_inherits() -> None:
    """A name of our own that a base class has, too, would be a mistake as well."""
    found = {}
    for cls in classes():
        bases = filter(is_foreign, cls.__mro__)
        inherited = {name for base in bases for name in private_names_of(base)}
        if clash := private_names_of(cls) & inherited - ABSTRACT:
            found[cls.__qualname__] = clash
    assert found == {}


def test_the_classes_that_extend_others_are_looked_at() -> None:
    assert {"EventConsumer", "AsyncioPool", "TaskEvents", "BrokerConnection"} <= {
        cls.__name__ for cls in classes()
    }


def test_the_rule_sees_what_it_is_about() -> None:
    """All of these lines were outside compat/ once."""
    for line in (
        "from celery.worker.loops import _quick_drain",
        "hub._ready_at_once",
        "self._limit_task(request)",
        "getattr(pool, '_write_to', None)",
    ):
        tree = ast.parse(line)
        assert [name for node in ast.walk(tree) for name in foreign(node)], line
