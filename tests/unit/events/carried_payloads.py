"""Payload classes of every kind that pydantic knows, and makers of events with one field."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from functools import cached_property
from itertools import count
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    WrapValidator,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema
from typing_extensions import TypedDict

from qt_events.events.event import Event
from qt_events.events.payload import Payload

_number = count()


class Coin(Enum):
    PENNY = Decimal("0.01")
    POUND = Decimal("1.00")


class Shade(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Mixed(Enum):
    ONE = 1
    TEXT = "1"


class Steps(Enum):
    TWO = (1, 2)


class Half(Enum):
    HALF = 0.5


class Rights(Flag):
    READ = 1
    WRITE = 2


class Lenient(StrEnum):
    A = "a"

    @classmethod
    def _missing_(cls, _value: object) -> "Lenient":
        return cls.A


class Pair(NamedTuple):
    x: int
    y: float


class Loose(TypedDict):
    a: int


class Stranger(BaseModel):
    a: int


@dataclasses.dataclass
class Record:
    a: int


class Leg(Payload):
    symbol: str
    size: int = 1


class LongLeg(Leg):
    note: str = "more"


class Other(Payload):
    size: int


class Cat(Payload):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(Payload):
    kind: Literal["dog"] = "dog"
    tail: bool = True


class Aliased(Payload):
    order_id: int = Field(alias="orderId")


class Tree(Payload):
    name: str
    children: tuple["Tree", ...] = ()


T = TypeVar("T")


class Page(Payload, Generic[T]):
    first: T


def payload(config: Mapping[str, Any] | None = None, **fields: Any) -> type[Payload]:
    """Make a payload class. A field is an annotation, or an annotation and a default."""
    body: dict[str, Any] = {"__module__": __name__, "__annotations__": {}}
    for name, each in fields.items():
        annotation, *default = each if isinstance(each, list) else [each]
        body["__annotations__"][name] = annotation
        body.update(dict.fromkeys([name], *default) if default else {})
    if config:
        body["model_config"] = dict(config)
    return type("Tried", (Payload,), body)


def event_class(model: type[Payload]) -> type[Event[Any]]:
    class TriedEvent(Event[model], type=f"carried.n{next(_number)}"):  # type: ignore[valid-type]
        ...

    return TriedEvent


def shape(value: Any) -> Any:
    """Return the value with the type of everything in it."""
    if isinstance(value, BaseModel):
        return type(value), {name: shape(each) for name, each in vars(value).items()}
    if isinstance(value, dict):
        return dict, {(type(key), key): shape(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [shape(each) for each in value]
    if isinstance(value, set | frozenset):
        return frozenset, {(type(each), each) for each in value}
    if isinstance(value, datetime):
        return datetime, value.replace(tzinfo=None, fold=0), value.utcoffset()
    return type(value), value


def one(annotation: Any, value: Any, **config: Any) -> Callable[[], Event[Any]]:
    """Make an event with one field."""
    return lambda: event_class(payload(config, field=annotation)).create(field=value)


def default(annotation: Any, value: Any, **config: Any) -> Callable[[], Event[Any]]:
    """Make an event whose field has its default."""
    return lambda: event_class(payload(config, field=[annotation, value])).create()


def of(
    model: type[Payload] | Callable[[], type[Payload]], **fields: Any
) -> Callable[[], Event[Any]]:
    """Make an event of a class, which may be made only then."""
    return lambda: event_class(model if isinstance(model, type) else model()).create(**fields)


# Classes with functions of their own


class Doubled(Payload):
    price: float

    @field_validator("price")
    @classmethod
    def twice(cls, price: float) -> float:
        return price * 100


class Trimmed(Payload):
    name: str

    @field_validator("name")
    @classmethod
    def trim(cls, name: str) -> str:
        return name.strip()


class Before(Payload):
    tags: list[str]

    @field_validator("tags", mode="before")
    @classmethod
    def split(cls, tags: Any) -> Any:
        return tags.split(",") if isinstance(tags, str) else tags


class AfterAll(Payload):
    price: int

    @model_validator(mode="after")
    def raise_it(self) -> "AfterAll":
        return self.model_copy(update={"price": self.price + 1})


class AfterAllUnfrozen(Payload):
    tags: tuple[str, ...] | list[str] = ()

    @model_validator(mode="after")
    def fill(self) -> "AfterAllUnfrozen":
        return self.model_copy(update={"tags": ["a"]})


class BeforeAll(Payload):
    price: int

    @model_validator(mode="before")
    @classmethod
    def from_cents(cls, given: Any) -> Any:
        return {"price": given["cents"] // 100} if "cents" in given else given


class Inited(Payload):
    price: int

    def model_post_init(self, _context: Any, /) -> None:
        self.__dict__["price"] += 1


class WrittenShort(Payload):
    when: datetime

    @field_serializer("when")
    def short(self, when: datetime) -> str:
        return when.date().isoformat()


class WrittenWhole(Payload):
    a: int

    @model_serializer
    def whole(self) -> dict[str, Any]:
        return {"b": self.a}


class WrittenBadly(Payload):
    a: int

    @field_serializer("a")
    def fail(self, _a: int) -> str:
        message = "no way"
        raise RuntimeError(message)


class Total(Payload):
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return self.a * 2


class TotalForbid(Total):
    model_config = ConfigDict(extra="forbid")


class TotalAllow(Total):
    model_config = ConfigDict(extra="allow")


class Hidden(Payload):
    a: int
    _seen: int = PrivateAttr(default=0)


class HiddenTime(Payload):
    a: int
    _numbered: int = PrivateAttr(default_factory=lambda: next(_number))


class OwnInit(Payload):
    a: int

    def __init__(self, **given: Any) -> None:
        super().__init__(a=given["a"] + 1)  # type: ignore[call-arg]


class WrittenAround(Payload):
    a: int

    @model_serializer(mode="wrap")
    def around(self, write: Any) -> dict[str, Any]:
        return {name: value + 1 for name, value in write(self).items()}


class OwnSchema(Payload):
    a: int

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any, /) -> Any:
        return core_schema.no_info_after_validator_function(
            lambda made: made.model_copy(update={"a": made.a + 1}), handler(source)
        )


class EqualToAll(Doubled):
    a: int = 1
    price: float = 1

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Cached(Payload):
    a: int

    @cached_property
    def twice(self) -> int:
        return self.a * 2


class ModeOf(Payload):
    a: Annotated[str, WrapValidator(lambda v, call, info: call(f"{v}{info.mode}"))]


UNCHECKED_LEG = Leg.model_construct(symbol=1)  # type: ignore[arg-type]
UNCHECKED_ALIASED = Aliased.model_construct(order_id="x")  # type: ignore[arg-type]
berlin = ZoneInfo("Europe/Berlin")
cents = Annotated[int, PlainSerializer(lambda v: v / 100)]
