"""Carriage: how JSON carries the payloads of a class, found once, when the class is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel

from qt_events.errors import InvalidPayloadError
from qt_events.events.carriage.proof import Kind, Schema, is_simple, kind_of


@dataclass(frozen=True)
class Carriage:
    """Knowledge of a payload class before any event."""

    #: Each payload comes back as it was.
    is_proved: bool = False
    #: Fields that may hold something mutable, by how they are carried.
    containers: Mapping[str, Kind] = field(default_factory=dict)
    #: There are models inside, and none of them keeps fields that it does not declare.
    has_strangers: bool = False
    #: The model, or one inside it, keeps fields that it does not declare.
    takes_more: bool = False
    #: A validator around a model may put something mutable in after it was frozen.
    may_thaw: bool = False
    #: It must be written without computed fields, and with JSON in JSON.
    for_reading: bool = False

    @classmethod
    def of(cls, model: type[BaseModel]) -> Self:
        """Return what the schema of a complete class proves."""
        schema = model.__pydantic_core_schema__
        parts = list(parts_of(schema))
        types = [each.get("type") for each in parts]
        extra = {_extra(each) for each in parts}
        return cls(
            is_proved=kind_of(schema) is Kind.TYPED,
            containers=_containers(model, schema),
            has_strangers=types.count("model") > 1 and "allow" not in extra,
            takes_more="allow" in extra,
            may_thaw=any(map(_is_around_model, parts)),
            for_reading="json" in types
            or ("computed-field" in types and not extra.isdisjoint({"allow", "forbid"})),
        )


def _extra(part: Schema) -> object:
    return part.get("extra_behavior") or part.get("extra_fields_behavior")


def _is_around_model(part: Schema) -> bool:
    if not str(part.get("type")).startswith("function-") or "schema" not in part:
        return False
    inner = part["schema"]
    return inner["type"] in ("model", "definition-ref") or _is_around_model(inner)


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Return every dict in a schema: the schemas in it, and their configs."""
    if isinstance(schema, dict):
        yield schema
        schema = [each for name, each in schema.items() if name not in {"default", "metadata"}]
    if isinstance(schema, list | tuple):
        for each in schema:
            yield from parts_of(each)


def own_schema(model: type[BaseModel], schema: Schema) -> dict[str, Any] | None:
    """Return the part of a schema that makes instances of the model."""
    return next((each for each in parts_of(schema) if each.get("cls") is model), None)


def _containers(model: type[BaseModel], schema: Schema) -> dict[str, Kind]:
    known = {each["ref"]: each for each in schema.get("definitions", ())}
    own = own_schema(model, schema)
    fields = own["schema"].get("fields", {}) if own else {}
    kinds = {
        name: kind_of(fields[name]["schema"], known) if name in fields else Kind.UNSURE
        for name in model.__pydantic_fields__
    }
    # What is around the model, or in its place, may put anything into a field.
    flat = (Kind.NATIVE, Kind.SCALAR) if own is _bare(schema) and is_simple(own) else ()
    return {name: kind for name, kind in kinds.items() if kind not in flat}


def _bare(schema: Schema) -> Schema:
    """Return a schema without its definitions."""
    if schema["type"] != "definitions":
        return schema
    name = schema["schema"].get("schema_ref")
    return next((each for each in schema["definitions"] if each["ref"] == name), schema["schema"])


# What no class can make good


def must_carry(model: type[BaseModel]) -> None:
    """Refuse a class with a field that JSON never carries.

    Raises:
        InvalidPayloadError: the text names the field.
    """
    own = own_schema(model, model.__pydantic_core_schema__) or {}
    by_name = own.get("config", {}).get("validate_by_name")
    for name, each in own.get("schema", {}).get("fields", {}).items():
        if why := _never_carried(name, each, by_name=bool(by_name)):
            raise InvalidPayloadError(f"{model.__name__}.{name} {why}")


def _never_carried(name: str, field: Schema, *, by_name: bool) -> str | None:
    if field.get("serialization_exclude"):
        return "is left out of what is published (exclude=True): no subscriber would see it"
    written = field.get("serialization_alias", name)
    if written not in _names_read(name, field, by_name=by_name):
        return (
            f"is written as {written!r}, and not read by that name: "
            "give it one alias for both, with alias="
        )
    if any(each.get("now_op") == "future" for each in parts_of(field)):
        return "must be in the future, which it is no more when a subscriber reads it"
    return None


def _names_read(name: str, field: Schema, *, by_name: bool) -> list[object]:
    alias = field.get("validation_alias")
    if alias is None:
        return [name]
    paths = alias if isinstance(alias, list) else [[alias]]
    paths = paths if isinstance(paths[0], list) else [paths]
    own = [name] if by_name else []
    return own + [path[0] for path in paths if len(path) == 1]
