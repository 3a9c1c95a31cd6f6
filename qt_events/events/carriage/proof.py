"""Proof: what pydantic's schema of a field says of how JSON carries its values."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator

from qt_events.events.carriage.difference import difference
from qt_events.events.frozen import INT_BOUNDS


class Kind(StrEnum):
    """Ways in which JSON carries the values of a field."""

    #: As they are: JSON has these types.
    NATIVE = "native"
    #: As they are: the field names their type.
    SCALAR = "scalar"
    #: As they are; and they hold lists, dicts or payloads.
    TYPED = "typed"
    #: As they are, if JSON has all types that are in them.
    JSON = "json"
    #: Perhaps: it is tried with each event.
    UNSURE = "unsure"


Schema = Mapping[str, Any]
#: Definitions by name. One that is being read is not among them: a model in itself is unsure.
Known = Mapping[str, Schema]

_NATIVE = ("str", "int", "float", "bool", "none")
_NAMED = ("datetime", "date", "timedelta", "decimal", "uuid")
# JSON writes them as text, and they are read from it.
_KEYS = ("str", "int", "bool", *_NAMED)
_WHOLE = (Kind.NATIVE, Kind.SCALAR, Kind.TYPED)
_OF_JSON = (Kind.NATIVE, Kind.JSON)
_BUILTIN_FACTORIES = (dict, list, set, frozenset, tuple)
_ANY: Schema = {"type": "any"}
# A model with these in its config still reads what it has written.
_HARMLESS = {
    "title",
    "extra_fields_behavior",
    "revalidate_instances",
    "from_attributes",
    "validate_default",
    "str_min_length",
    "str_max_length",
    "str_strip_whitespace",
}


def kind_of(schema: Schema, known: Known | None = None) -> Kind:
    """Return how JSON carries what this schema validates."""
    prove = _PROOFS.get(schema["type"])
    if prove is None or "serialization" in schema or schema.get("strict"):
        return Kind.UNSURE
    return prove(schema, known or {})


def kind_of_field(field: Schema, known: Known) -> Kind:
    """Return how JSON carries a field of a model, under its name."""
    if field.keys() - {"type", "schema", "metadata", "frozen"}:
        # It has an alias, or is left out of what is written.
        return Kind.UNSURE
    return kind_of(field["schema"], known)


def is_simple(model: Schema) -> bool:
    """Return True if nothing but its fields decides what a model holds."""
    config = model.get("config", {})
    return (
        model["type"] == "model"
        and issubclass(model["cls"], Mapping)
        and not model["custom_init"]
        and not model["root_model"]
        and model.get("post_init") in (None, "__freeze__")
        and model["schema"]["type"] == "model-fields"
        and not model["schema"].get("computed_fields")
        and "allow" not in (config.get("extra_fields_behavior"), model.get("extra_behavior"))
        and config.get("allow_inf_nan") is False
        and not config.keys() - _HARMLESS - {"allow_inf_nan"}
        and "serialization" not in model
        and not model.get("strict")
    )


def _model(schema: Schema, known: Known) -> Kind:
    # Else an instance that was made without a check would be taken as it is.
    is_checked = schema.get("config", {}).get("revalidate_instances") == "always"
    if not is_checked or not is_simple(schema):
        return Kind.UNSURE
    fields = schema["schema"]["fields"].values()
    unsure = any(kind_of_field(each, known) is Kind.UNSURE for each in fields)
    return Kind.UNSURE if unsure else Kind.TYPED


def _scalar(schema: Schema, _known: Known) -> Kind:
    # NaN differs from itself. A text may not fit its pattern any more in upper case.
    if any(map(schema.get, ("allow_inf_nan", "to_lower", "to_upper"))):
        return Kind.UNSURE
    return Kind.NATIVE if schema["type"] in _NATIVE else Kind.SCALAR


def _any(_schema: Schema, _known: Known) -> Kind:
    return Kind.JSON


def _enum(schema: Schema, _known: Known) -> Kind:
    return _choice([member.value for member in schema["members"]])


def _literal(schema: Schema, _known: Known) -> Kind:
    return _choice(schema["expected"])


def _choice(values: list[Any]) -> Kind:
    types = set(map(type, values))
    return Kind.SCALAR if types in ({str}, {int}) else Kind.UNSURE


def _nullable(schema: Schema, known: Known) -> Kind:
    return kind_of(schema["schema"], known)


def _default(schema: Schema, known: Known) -> Kind:
    inner = schema["schema"]
    kind = kind_of(inner, known)
    if kind is Kind.UNSURE or schema.get("on_error", "raise") != "raise":
        return Kind.UNSURE
    if schema.get("validate_default"):
        return kind
    if "default" not in schema and schema["default_factory"] not in _BUILTIN_FACTORIES:
        return Kind.UNSURE
    default = schema["default"] if "default" in schema else schema["default_factory"]()
    return kind if _is_its_own(default, inner) else Kind.UNSURE


def _is_its_own(default: object, schema: Schema) -> bool:
    """Return True if JSON carries a default, which pydantic does not check."""
    if default is None and schema["type"] == "nullable":
        return True
    # Of most defaults it can be said without building a validator: 0, "", {}.
    if not default and type(default).__name__ == schema["type"] and not _is_bounded(schema):
        return True
    try:
        body = SchemaSerializer(schema).to_json(default, warnings="error")
        again = SchemaValidator(schema).validate_json(body)
    except Exception:  # noqa: BLE001  # a definition that is not here, or whatever a type raises
        return False
    return difference(default, again, "default") is None


def _list(schema: Schema, known: Known) -> Kind:
    kind = kind_of(schema.get("items_schema", _ANY), known)
    return Kind.TYPED if kind in _WHOLE else kind


def _set(schema: Schema, known: Known) -> Kind:
    return _whole([kind_of(schema.get("items_schema", _ANY), known)])


def _tuple(schema: Schema, known: Known) -> Kind:
    return _whole([kind_of(each, known) for each in schema["items_schema"]])


def _whole(kinds: list[Kind]) -> Kind:
    return Kind.TYPED if all(kind in _WHOLE for kind in kinds) else Kind.UNSURE


def _dict(schema: Schema, known: Known) -> Kind:
    keys = schema.get("keys_schema", _ANY)
    values = kind_of(schema.get("values_schema", _ANY), known)
    if keys["type"] in ("any", "str") and values is Kind.JSON:
        return Kind.JSON
    is_text = keys["type"] == "enum" and isinstance(keys["members"][0].value, str)
    if values not in _WHOLE or not (is_text or keys["type"] in _KEYS):
        return Kind.UNSURE
    return Kind.UNSURE if kind_of(keys, known) is Kind.UNSURE else Kind.TYPED


def _union(schema: Schema, known: Known) -> Kind:
    """Look whether JSON keeps apart what the union does."""
    choices = [each[0] if isinstance(each, tuple) else each for each in schema["choices"]]
    types = [each["type"] for each in choices]
    told_apart = (*_NATIVE, "any", "list", "dict")
    if (
        schema.get("mode", "smart") != "smart"
        or len(set(types)) != len(types)
        or any(each not in told_apart for each in types)
        or any(_is_bounded(each) for each in choices)
    ):
        return Kind.UNSURE
    kinds = [kind_of(each, known) for each in choices]
    if Kind.JSON in kinds:
        return Kind.JSON if all(kind in _OF_JSON for kind in kinds) else Kind.UNSURE
    if all(kind is Kind.NATIVE for kind in kinds):
        return Kind.NATIVE
    return _whole(kinds)


def _is_bounded(schema: Schema) -> bool:
    """Return True if not all values of the type are taken: one may then pass for another type."""
    own = {"type", "metadata", "items_schema", "keys_schema", "values_schema"}
    return any(INT_BOUNDS.get(name) != schema[name] for name in schema.keys() - own)


def _tagged(schema: Schema, known: Known) -> Kind:
    if not isinstance(schema["discriminator"], str):
        return Kind.UNSURE
    return _whole([kind_of(each, known) for each in schema["choices"].values()])


def _definitions(schema: Schema, _known: Known) -> Kind:
    return kind_of(schema["schema"], {each["ref"]: each for each in schema["definitions"]})


def _reference(schema: Schema, known: Known) -> Kind:
    name = schema["schema_ref"]
    if name not in known:
        return Kind.UNSURE
    others = {each: known[each] for each in known if each != name}
    return kind_of(known[name], others)


_PROOFS: dict[str, Callable[[Schema, Known], Kind]] = {
    **dict.fromkeys((*_NATIVE, *_NAMED), _scalar),
    "any": _any,
    "enum": _enum,
    "literal": _literal,
    "nullable": _nullable,
    "default": _default,
    "list": _list,
    "set": _set,
    "frozenset": _set,
    "tuple": _tuple,
    "dict": _dict,
    "union": _union,
    "tagged-union": _tagged,
    "model": _model,
    "definitions": _definitions,
    "definition-ref": _reference,
}
