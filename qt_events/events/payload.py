"""Payload: the data of an event, a frozen pydantic model that also reads as a mapping."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from qt_events.errors import InvalidPayloadError
from qt_events.events.carriage.carriage import Carriage, must_carry
from qt_events.events.carriage.proof import Kind
from qt_events.events.carriage.tightening import tighten
from qt_events.events.frozen import TYPED_SCALARS, freeze, freeze_field


def _may_hold_more(model: type[BaseModel]) -> bool:
    """Return True if annotations do not say all that a model holds."""
    own = model.__pydantic_decorators__
    return (
        not model.__pydantic_fields__
        or model.model_config.get("extra") == "allow"
        or bool(own.field_validators or own.validators or own.model_validators)
    )


def _is_flat(field: FieldInfo) -> bool:
    # A function among the annotations may return anything.
    functions = any(hasattr(each, "__get_pydantic_core_schema__") for each in field.metadata)
    return not functions and _is_scalar(field.annotation)


def _is_scalar(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return all(map(_is_scalar, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return all(isinstance(value, TYPED_SCALARS) for value in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, (*TYPED_SCALARS, float))


class Payload(BaseModel, Mapping[str, Any]):
    """Base of an event's payload: a frozen pydantic model that also reads as a mapping.

    `payload.price` and `payload["price"]` are the same value. Unknown fields of an event that comes
    are ignored, so that a producer may add one before its consumers know it; `create()` refuses
    them. A missing or mistyped one is an error.
    """

    model_config = ConfigDict(
        frozen=True,
        allow_inf_nan=False,
        extra="ignore",
        protected_namespaces=(),
        # A lone surrogate, which UTF-8 cannot write, is found where there is a limit to look at.
        str_min_length=0,
    )

    # Found when the class is complete.
    __carriage__: ClassVar[Carriage] = Carriage()
    #: How `encode` writes it.
    __for_reading__: ClassVar[bool] = False
    #: Fields that may hold something mutable, and what freezes them.
    __freezers__: ClassVar[tuple[tuple[str, Callable[[Any, str, int], Any]], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "keys" in cls.model_fields:
            raise InvalidPayloadError(
                f"{cls.__name__}: a field named 'keys' would hide what dict(payload) asks for: "
                'give it another name, and alias="keys"'
            )
        if not cls.model_config.get("frozen"):
            raise InvalidPayloadError(
                f"{cls.__name__}: a payload is frozen: leave out frozen=False"
            )

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        must_carry(cls)
        cls.__carriage__ = Carriage.of(cls)
        cls.__for_reading__ = cls.__carriage__.for_reading
        cls.__freezers__ = tuple(
            (name, freeze if kind is Kind.JSON else freeze_field)
            for name, kind in cls.__carriage__.containers.items()
        )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        has_own_end = cls.model_post_init is not BaseModel.model_post_init
        is_flat = not _may_hold_more(cls) and all(map(_is_flat, cls.__pydantic_fields__.values()))
        # Where there is nothing to freeze pydantic takes half the time without the call.
        last_step = "__end__" if has_own_end else None if is_flat else "__freeze__"
        cls.__pydantic_post_init__ = last_step  # type: ignore[assignment]
        schema = handler(source)
        tighten(handler.resolve_ref_schema(schema), cls)
        return schema

    def __end__(self, context: Any, /) -> None:
        self.model_post_init(context)
        self.__freeze__()

    def __freeze__(self, _context: Any = None, /) -> None:
        fields = self.__dict__
        for name, frozen in self.__freezers__:
            if name in fields:
                fields[name] = frozen(fields[name], f"payload.{name}", 1)
        further = self.__pydantic_extra__ or {}
        for name, value in further.items():
            further[name] = freeze(value, f"payload.{name}", 1)

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
            return (
                type(self) is type(other)
                and self.__dict__ == other.__dict__
                and self.__pydantic_extra__ == other.__pydantic_extra__
            )
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # it may hold lists and dicts


class _OfInstances:
    """Method that a field of its name replaces: pydantic does not find it on the class."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            raise AttributeError(f"{owner.__name__}.{self._method.__name__}: call it on a payload")
        return partial(self._method, instance)


for _name in ("get", "items", "keys", "values"):
    setattr(Payload, _name, _OfInstances(getattr(Mapping, _name)))
