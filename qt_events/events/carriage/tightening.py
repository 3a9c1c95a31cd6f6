"""Tightening: what pydantic lets through and JSON does not is refused by pydantic itself.

This costs nothing in Python for an event.
"""

from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from qt_events.events.carriage.carriage import own_schema, parts_of
from qt_events.events.carriage.proof import Kind, kind_of
from qt_events.events.frozen import INT_BOUNDS

_BOUND_NAMES = {"ge": "minimum", "le": "maximum"}


def tighten(schema: Any, model: type) -> None:
    """Change a model's schema before pydantic builds its validator.

    Ints get the bounds that JSON readers have. Defaults that may be of another type are checked.
    Instances are checked again when they are given: `model_copy()` and `model_construct()` check
    nothing.
    """
    parts = list(parts_of(schema))
    for part in parts:
        if part.get("type") == "int":
            _bound(part)
        if part.get("type") == "default":
            _check_default(part)
    own = own_schema(model, schema)
    if own is not None and not any(_is_peculiar(part, own) for part in parts):
        own["config"]["revalidate_instances"] = "always"


def _is_peculiar(part: dict[str, Any], own: dict[str, Any]) -> bool:
    """Return True if an instance cannot be checked again, by its own dict and at little cost."""
    return (
        "validation_alias" in part
        or str(part.get("type")).startswith("function-")
        or part.get("schema_ref") == own["ref"]
    )


def _check_default(part: dict[str, Any]) -> None:
    """Let pydantic check a default, which it does not by itself: 0 becomes 0.0 for a float."""
    if kind_of({**part, "validate_default": True}) is not Kind.UNSURE and (
        kind_of(part) is Kind.UNSURE
    ):
        part["validate_default"] = True


def _bound(part: dict[str, Any]) -> None:
    metadata = part.setdefault("metadata", {})
    functions = metadata.setdefault("pydantic_js_functions", [])
    if _without_bounds not in functions:
        functions.append(_without_bounds)
        part.update({name: bound for name, bound in INT_BOUNDS.items() if name not in part})


def _without_bounds(schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Leave bounds of 4,000 digits out of a JSON schema."""
    described = handler(schema)
    for name, bound in INT_BOUNDS.items():
        if described.get(_BOUND_NAMES[name]) == bound:
            del described[_BOUND_NAMES[name]]
    return described
