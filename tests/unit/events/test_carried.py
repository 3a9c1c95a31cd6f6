"""What is made arrives as it is, or is refused: every feature of pydantic that may change it."""

import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    FutureDate,
    FutureDatetime,
    Json,
    OnErrorOmit,
    PastDate,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    Strict,
    StringConstraints,
    Tag,
    WrapValidator,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema
from typing_extensions import TypedDict

from qt_events.errors import InvalidPayloadError
from qt_events.events.cloudevents import decode, encode
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

ARRIVES: dict[str, Callable[[], Event[Any]]] = {
    "str": one(str, "ä€😀\x00"),
    "int": one(int, -(2**70)),
    "largest int": one(int, 10**4000),
    "float": one(float, 5e-324),
    "minus zero": one(float, -0.0),
    "bool": one(bool, "yes"),
    "none": one(None, None),
    "decimal": one(Decimal, Decimal("1.10")),
    "datetime": one(datetime, datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
    "naive datetime": one(datetime, datetime(2026, 1, 2)),
    "datetime of a zone": one(datetime, datetime(2026, 7, 2, tzinfo=berlin)),
    "datetime of the hour put back": one(
        datetime, datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=berlin)
    ),
    "date": one(date, date(1, 1, 1)),
    "timedelta": one(timedelta, timedelta.min),
    "uuid": one(uuid.UUID, uuid.UUID(int=1)),
    "str enum": one(Shade, "red"),
    "int enum": one(Level, 1),
    "enum of two types": one(Mixed, "1"),
    "enum's value": one(Shade, "red", use_enum_values=True),
    "literal": one(Literal["a", 1], 1),
    "optional": one(int | None, None),
    "int or str": one(int | str, "5"),
    "float or int": one(float | int, 3),
    "int or float": one(int | float, 3.0),
    "bool or int": one(bool | int, 1),
    "str or list": one(str | list[str], ["a"]),
    "str or decimal, a str": one(str | Decimal, "1.5"),
    "list": one(list[float], [1]),
    "tuple": one(tuple[int, str], (1, "a")),
    "set": one(set[int], {1, 2}),
    "frozenset": one(frozenset[str], {"a"}),
    "set of dates": one(set[date], {date(2026, 1, 1)}),
    "dict": one(dict[str, list[int]], {"a": [1]}),
    "dict by int": one(dict[int, str], {1: "a"}),
    "dict by date": one(dict[date, int], {date(2026, 1, 1): 1}),
    "dict by enum": one(dict[Shade, int], {Shade.RED: 1}),
    "dict by uuid": one(dict[uuid.UUID, int], {uuid.UUID(int=1): 1}),
    "any of JSON": one(Any, {"a": [1, None, 2.5, "x", True]}),
    "any, a tuple": one(Any, (1, 2)),
    "any, an enum": one(Any, Shade.RED),
    "any, a payload": one(Any, Leg(symbol="A")),
    "dict of any": one(dict[str, Any], {"a": {"b": [1]}}),
    "bare dict": one(dict, {"a": [1]}),
    "bare list": one(list, [1, "a"]),
    "object": one(object, "a"),
    "named tuple": one(Pair, Pair(1, 2.0)),
    "typed dict": one(Loose, {"a": 1}),
    "nested": one(Leg, {"symbol": "A"}),
    "nested, an instance": one(Leg, Leg(symbol="A")),
    "nested in lists": one(list[Leg], [Leg(symbol="A")]),
    "nested by alias": one(Aliased, Aliased(orderId=1)),
    "recursive": of(Tree, name="a", children=[Tree(name="b")]),
    "told apart by a field": one(Annotated[Cat | Dog, Field(discriminator="kind")], Dog()),
    "one of two payloads": one(Leg | Other, Other(size=1)),
    "generic": of(Page[int], first=1),
    "generic of a payload": of(Page[Leg], first=Leg(symbol="A")),
    "generic, open": of(Page, first=[1]),
    "constraints": one(Annotated[int, Field(gt=1, lt=5)], 3),
    "pattern": one(Annotated[str, StringConstraints(pattern="A+", to_upper=True)], "AA"),
    "past": one(PastDate, date(2020, 1, 1)),
    "strict": of(
        lambda: payload(
            {"strict": True}, when=datetime, many=tuple[int, ...], amount=Decimal, id=uuid.UUID
        ),
        when=datetime(2026, 1, 1),
        many=(1,),
        amount=Decimal(1),
        id=uuid.UUID(int=1),
    ),
    "strict field": one(Annotated[date, Strict()], date(2026, 1, 1)),
    "strict enum": one(Shade, Shade.RED, strict=True),
    "alias": of(Aliased, orderId=1),
    "alias by name": of(
        lambda: payload({"validate_by_name": True}, a=[int, Field(alias="b")]), a=1
    ),
    "aliases made": of(lambda: payload({"alias_generator": to_camel}, order_id=int), orderId=1),
    "aliases both ways": of(
        lambda: payload(
            a=[int, Field(validation_alias=AliasChoices("x", "y"), serialization_alias="y")]
        ),
        x=1,
    ),
    "validator that may run twice": of(Trimmed, name=" a "),
    "before": of(Before, tags="a,b"),
    "before all": of(BeforeAll, cents=500),
    "annotated before": one(Annotated[int, BeforeValidator(int)], "5"),
    "annotated after": one(Annotated[str, AfterValidator(str.upper)], "a"),
    "filled in afterwards": of(AfterAllUnfrozen),
    "upper case": one(str, "a", str_to_upper=True),
    "json in a str": one(Json[list[int]], "[1]"),
    "computed": of(Total, a=1),
    "computed, nothing else allowed": of(TotalForbid, a=1),
    "computed, all allowed": of(TotalAllow, a=1),
    "private, the same each time": of(Hidden, a=1),
    "more fields": of(lambda: payload({"extra": "allow"}, a=int), a=1, b=[1, {"c": None}]),
    "default": default(list[str], []),
    "default of an enum": default(Shade, Shade.RED),
    "default of a payload": default(Leg, Leg(symbol="A")),
    "default that is made": default(uuid.UUID, Field(default_factory=uuid.uuid4)),
    "time that is made": default(datetime, Field(default_factory=lambda: datetime.now(UTC))),
    "default of another type": default(float, 0),
    "default that a str says": default(int, "5"),
    "default that is checked": default(int, "5", validate_default=True),
    "infinite, as text": one(float, float("inf"), allow_inf_nan=True, ser_json_inf_nan="strings"),
    "flags": one(Rights, Rights.READ | Rights.WRITE),
    "enum of floats": one(Half, 0.5),
    "enum that finds a member": one(Lenient, "anything"),
    "cached property": of(Cached, a=1),
    "numbers become text": one(str, 5, coerce_numbers_to_str=True),
    "spaces are cut": one(str, " a ", str_strip_whitespace=True),
    "bytes by a number": one(ByteSize, "1KB"),
    "default dict": one(defaultdict[str, list[int]], {"a": [1]}),
    "sequence": one(Sequence[int], [1]),
    "mapping": one(Mapping[str, int], {"a": 1}),
    "literal of two types": one(Literal[True, 1], 1),
    "left out on error": one(list[OnErrorOmit[int]], [1, "a"]),
    "aware": one(AwareDatetime, datetime(2026, 1, 1, tzinfo=UTC)),
    "date or datetime": one(date | datetime, datetime(2026, 1, 1)),
    "datetime or date": one(datetime | date, date(2026, 1, 1)),
    "list or dict": one(list[int] | dict[str, int], {"a": 1}),
    "one of two lists": one(list[int] | list[str], ["1"]),
    "payload or dict": one(Leg | dict[str, Any], {"symbol": "A"}),
    "dict by decimal": one(dict[Decimal, int], {Decimal("1.10"): 1}),
    "dict by float": one(dict[float, int], {1e22: 1}),
    "dict by int enum": one(dict[Level, int], {Level.LOW: 1}),
    "dict by datetime": one(dict[datetime, int], {datetime(2026, 1, 1, tzinfo=berlin): 1}),
    "any by int": one(dict[int, Any], {1: {"a": 1}}),
    "any in a tuple": one(tuple[Any, ...], (1, [2])),
    "bare set": one(set, {1, "a"}),
    "told apart by a function": one(
        Annotated[
            Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")],
            Discriminator(lambda v: v["kind"] if isinstance(v, Mapping) else v.kind),
        ],
        Dog(),
    ),
    "any json in a str": one(Json, '{"a": 1}'),
    "from left to right": one(Annotated[int | str, Field(union_mode="left_to_right")], "5"),
    "names of the event": of(
        lambda: payload(id=int, type=str, source=str), id=1, type="a", source="s"
    ),
    "int or str keys": one(dict[int | str, int], {"a": 1}),
    "decimal or str": one(Decimal | str, Decimal("1.5")),
    "datetime or str": one(datetime | str, datetime(2026, 1, 1)),
    "uuid or str": one(uuid.UUID | str, uuid.UUID(int=1)),
}

REFUSED: dict[str, Callable[[], Event[Any]]] = {
    "lone surrogate": one(str, "\ud800"),
    "lone surrogate in a key": one(dict[str, int], {"\ud800": 1}),
    "lone surrogate in any": one(Any, ["\ud800"]),
    "int too large": one(int, 10**5000),
    "int too large in a list": one(list[int], [10**5000]),
    "int too large or a str": one(int | str, -(10**5000)),
    "int too large in any": one(Any, 10**5000),
    "NaN": one(float, float("nan")),
    "infinite": one(float, float("inf"), allow_inf_nan=True),
    "NaN in a decimal": one(Decimal, Decimal("NaN"), allow_inf_nan=True),
    "validator that multiplies": of(Doubled, price=5),
    "nested validator that multiplies": one(Doubled, {"price": 5}),
    "validator of the whole": of(AfterAll, price=1),
    "work after init": of(Inited, price=1),
    "own init": of(OwnInit, a=1),
    "validator that asks from where": of(ModeOf, a="x"),
    "annotated after, twice": one(Annotated[int, AfterValidator(lambda v: v + 1)], 1),
    "written otherwise": one(cents, 150),
    "field written otherwise": of(WrittenShort, when=datetime(2026, 1, 1, 12)),
    "whole written otherwise": of(WrittenWhole, a=1),
    "writing fails": of(WrittenBadly, a=1),
    "tuple keys": one(dict[tuple[int, int], str], {(1, 2): "a"}),
    "int or str keys": one(dict[int | str, int], {1: 1}),
    "none keys": one(dict[str | None, int], {None: 1}),
    "payload or str, by int": one(dict[Any, Any], {1: 2}),
    "any, a decimal": one(Any, Decimal(1)),
    "any, a datetime": one(dict[str, Any], {"a": datetime(2026, 1, 1)}),
    "any, bytes": one(Any, b"a"),
    "any, a set": one(Any, {1}),
    "any, a model": one(Any, Stranger(a=1)),
    "str like a decimal": one(Decimal | str, "1.5"),
    "str like a datetime": one(datetime | str, "2026-01-01T00:00:00"),
    "decimal after str": one(str | Decimal, Decimal(1)),
    "enum of tuples": one(Steps, Steps.TWO),
    "sequence, a tuple": one(Sequence[int], (1,)),
    "what is read once": one(Iterable[int], [1]),
    "any in a list, a decimal": one(list[Any], [Decimal(1)]),
    "any in a set, a date": one(set[Any], {date(2026, 1, 1)}),
    "generic, open, a decimal": of(Page, first=Decimal(1)),
    "typed dict with more": one(Loose, {"a": 1, "b": 2}),
    "in place of a validator": one(Annotated[int, PlainValidator(lambda v: int(v) + 1)], 1),
    "whole written around": of(WrittenAround, a=1),
    "schema of its own": of(OwnSchema, a=1),
    "equal to everything": of(EqualToAll, price=2),
    "future in a list": one(list[FutureDate], [date(2999, 1, 1)]),
    "read by another name than written": of(
        lambda: payload(
            {"validate_by_name": True, "validate_by_alias": False}, a=[int, Field(alias="b")]
        ),
        a=1,
    ),
    "pattern before upper case": one(
        Annotated[str, StringConstraints(pattern="a+", to_upper=True)], "a"
    ),
    "length before upper case": one(Annotated[str, Field(max_length=1)], "ß", str_to_upper=True),
    "enum or str": one(Shade | str, Shade.RED),
    "tuple or list": one(tuple[int, ...] | list[int], (1,)),
    "set or list": one(set[int] | list[int], {1}),
    "enum of decimals": one(Coin, Coin.PENNY),
    "subclass with a field more": one(Leg, LongLeg(symbol="A")),
    "subclass in a list": one(list[Leg], [LongLeg(symbol="A")]),
    "copy with a wrong field": one(Leg, Leg(symbol="A").model_copy(update={"size": "many"})),
    "made without a check": one(Leg, UNCHECKED_LEG),
    "aliased, made without a check": one(Aliased, UNCHECKED_ALIASED),
    "payload like another": one(
        Leg | LongLeg, LongLeg(symbol="A").model_copy(update={"size": 1.5})
    ),
    "secret": one(SecretStr, "a"),
    "bytes": one(bytes, b"\xff"),
    "path": one(Path, Path("a")),
    "time": one(time, time(1)),
    "stranger": one(Stranger, Stranger(a=1)),
    "dataclass": one(Record, Record(1)),
    "private, another each time": of(HiddenTime, a=1),
    "default against a limit": default(Annotated[int, Field(gt=5)], 1),
    "default of none": default(int, None),
    "default that is made wrong": default(int, Field(default_factory=lambda: "five")),
    "more fields, of no JSON": of(lambda: payload({"extra": "allow"}, a=int), a=1, b=Decimal(1)),
    "excluded": one(Annotated[int, Field(exclude=True)], 1),
    "excluded, with a default": default(Annotated[int, Field(exclude=True)], 1),
    "excluded at times": one(Annotated[int, Field(exclude_if=lambda v: v > 0)], 1),
    "alias only for reading": of(lambda: payload(a=[int, Field(validation_alias="b")]), b=1),
    "alias only for writing": of(lambda: payload(a=[int, Field(serialization_alias="b")]), a=1),
    "optional alias only for writing": of(
        lambda: payload(a=[int, Field(0, serialization_alias="b")]), a=1
    ),
    "alias of a path": of(
        lambda: payload(a=[int, Field(validation_alias=AliasPath("b", 0))]), b=[1]
    ),
    "aliases made for writing": of(
        lambda: payload(
            {"alias_generator": AliasGenerator(serialization_alias=to_camel)}, order_id=int
        ),
        order_id=1,
    ),
    "future": one(FutureDatetime, datetime(2999, 1, 1)),
    "not frozen": of(lambda: payload({"frozen": False}, a=int), a=1),
    "timedelta as a float": one(timedelta, timedelta.max, ser_json_timedelta="float"),
    "field named keys": of(lambda: payload(keys=int), keys=1),
}


@pytest.mark.parametrize("make", ARRIVES.values(), ids=ARRIVES.keys())
def test_a_payload_arrives_as_it_was_made(make: Callable[[], Event[Any]]) -> None:
    """Equal, and with the same types, after it was written and read."""
    event = make()
    back = decode(encode(event), event.type)
    assert shape(back.payload) == shape(event.payload)


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_payload_that_would_arrive_otherwise_is_refused(make: Callable[[], Event[Any]]) -> None:
    """When the class or the event is made, by one error, whatever the bus."""
    with pytest.raises(InvalidPayloadError):
        make()


class Thawed(Payload):
    tags: list[str]
    more: dict[str, Any] = Field(default_factory=dict)

    def model_post_init(self, _context: Any, /) -> None:
        """Leave out super(), as pydantic's own documentation does."""


class ThawedPrivate(Payload):
    tags: list[str]
    _seen: int = 0


class ThawedSubclass(ThawedPrivate):
    other: int = 0


class ThawedNested(Payload):
    inner: AfterAllUnfrozen


def thawed_by_more() -> Any:
    model = payload({"extra": "allow"}, a=int)
    return event_class(model).create(a=1, tags=["a"]).payload.tags


@pytest.mark.parametrize(
    "tags",
    [
        lambda: Thawed(tags=["a"]).tags,
        lambda: ThawedPrivate(tags=["a"]).tags,
        lambda: ThawedSubclass(tags=["a"]).tags,
        lambda: of(AfterAllUnfrozen)().payload.tags,
        lambda: of(ThawedNested, inner={})().payload.inner.tags,
        thawed_by_more,
    ],
)
def test_nothing_of_a_class_thaws_its_payloads(tags: Callable[[], Any]) -> None:
    """Work after init, private attributes, validators and further fields leave it frozen."""
    with pytest.raises(TypeError, match="immutable"):
        tags().append("b")
