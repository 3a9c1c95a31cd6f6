"""Payload: the data of an event, a frozen pydantic model that also reads as a mapping."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, ErrorDetails

from qt_events.errors import InvalidPayloadError, UnknownValueError
from qt_events.events.attributes import ATTRIBUTES
from qt_events.events.frozen import TYPED_SCALARS, freeze_field, preview

# Wrong fields of one payload: this many are described; beyond the second number they are only
# counted.
_MOST_SHOWN, _MOST_LISTED = 50, 1_000
# Errors about what a model does not list, by pydantic's names (pydantic, Validation Errors).
_UNKNOWN = {"enum", "literal_error", "union_tag_invalid", "extra_forbidden"}
_MAPPING_METHODS = {"get", "items", "keys", "values"}


class Payload(BaseModel, Mapping[str, Any]):
    """Base of an event's payload: a frozen pydantic model that also reads as a mapping.

    `payload.price` and `payload["price"]` are the same value. Unknown fields of an event that comes
    are ignored, so that a producer may add one before its consumers know it; `create()` refuses
    them. A missing or mistyped one is an error.
    """

    model_config = ConfigDict(
        frozen=True, allow_inf_nan=False, extra="ignore", protected_namespaces=()
    )

    # Fields that may hold something mutable.
    _containers: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        hidden = _MAPPING_METHODS & cls.model_fields.keys()
        if hidden:
            raise InvalidPayloadError(
                f"{cls.__name__}: a field named {min(hidden)!r} would hide the mapping's method: "
                "give it another name"
            )
        cls._containers = cls._may_hold_mutable()

    @classmethod
    def _may_hold_mutable(cls) -> tuple[str, ...]:
        return tuple(
            name
            for name, field in cls.__pydantic_fields__.items()
            if not _is_scalar(field.annotation)
        )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        if (
            cls.__pydantic_fields__
            and not cls._may_hold_mutable()
            and cls.model_post_init is Payload.model_post_init
        ):
            # There is nothing to freeze: without the call pydantic takes half the time.
            cls.__pydantic_post_init__ = None
        return handler(source)

    def model_post_init(self, _context: Any, /) -> None:
        for name in self._containers:
            self.__dict__[name] = freeze_field(self.__dict__[name], f"payload.{name}")

    def __getitem__(self, name: str) -> Any:
        if name in type(self).model_fields:
            return getattr(self, name)
        raise KeyError(name)

    # Pydantic yields pairs; a Mapping yields keys.
    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return iter(type(self).model_fields)

    def __len__(self) -> int:
        return len(type(self).model_fields)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Payload):
            return type(self) is type(other) and self.__dict__ == other.__dict__
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # it may hold lists and dicts


def _is_scalar(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_scalar, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return all(isinstance(value, TYPED_SCALARS) for value in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, (*TYPED_SCALARS, float))


def validated(model: type[Payload], payload: Any, event_class: type) -> Payload:
    """Return `payload` as an instance of the model. InvalidPayloadError names each wrong field."""
    if isinstance(payload, model):
        return payload
    try:
        return model.model_validate(dict(payload) if isinstance(payload, Mapping) else payload)
    except ValidationError as error:
        raise wrong_fields(error, event_class) from None


def must_know(model: type[Payload], payload: Mapping[str, Any], event_class: type) -> None:
    """Raise InvalidPayloadError if the model has no such field, unless it takes any."""
    if model.model_config.get("extra") == "allow":
        return
    known = _names(model)
    if unknown := [name for name in payload if name not in known]:
        described = [
            f"payload.{name}: {_unknown_field(name)}, got {preview(payload[name])}"
            for name in unknown[:_MOST_SHOWN]
        ]
        raise InvalidPayloadError(f"{event_class.__name__}: {'; '.join(described)}")


def _names(model: type[Payload]) -> set[str]:
    """Return all names that the model may read its fields by."""
    names = set(model.__pydantic_fields__)
    for each in model.__pydantic_fields__.values():
        for alias in (each.alias, each.validation_alias):
            choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
            paths = [each.path[0] if isinstance(each, AliasPath) else each for each in choices]
            names.update(path for path in paths if isinstance(path, str))
    return names


def takes_more(model: type[Payload]) -> bool:
    """Return True if the model, or one inside it, keeps fields that it does not declare."""
    return any(
        "allow" in (each.get("extra_fields_behavior"), each.get("extra_behavior"))
        for each in _schemas(model.__pydantic_core_schema__)
    )


def _schemas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        part = [each for name, each in part.items() if name not in {"default", "metadata"}]
    if isinstance(part, list | tuple):
        for each in part:
            yield from _schemas(each)


def wrong_fields(error: ValidationError, event_class: type) -> InvalidPayloadError:
    """Return the error that names the wrong fields."""
    kind = UnknownValueError if _knows_too_little(error) else InvalidPayloadError
    return kind(f"{event_class.__name__}: {describe(error)}")


def _knows_too_little(error: ValidationError) -> bool:
    """Return True if each wrong field has a value, or a field inside it, that is unknown here."""
    if error.error_count() > _MOST_LISTED:
        return False
    is_unknown: dict[int | str, bool] = {}
    # A union tells why each of its members is none.
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field = each["loc"][0] if each["loc"] else ""
        is_unknown[field] = is_unknown.get(field, False) or each["type"] in _UNKNOWN
    return all(is_unknown.values())


def _mistake(error: ErrorDetails) -> str:
    return (
        _unknown_field(error["loc"][-1] if len(error["loc"]) == 1 else None)
        if error["type"] == "extra_forbidden"
        else error["msg"]
    )


def _unknown_field(name: object) -> str:
    if name in ATTRIBUTES:
        return f"no field, but an attribute of the event: use .create(...).replace({name}=...)"
    return "no such field"


def describe(error: ValidationError) -> str:
    """Return the wrong fields in one line: path, what is wrong, and the value, cut short."""
    count = error.error_count()
    # A hostile payload may have as many as it has bytes.
    if count > _MOST_LISTED:
        return f"{count} values are wrong"
    described = [
        f"payload{''.join(f'.{part}' for part in each['loc'])}: {_mistake(each)}, "
        f"got {preview(each['input'])}"
        for each in error.errors()
    ]
    more = [f"and {count - _MOST_SHOWN} more"] if count > _MOST_SHOWN else []
    return "; ".join([*described[:_MOST_SHOWN], *more])
