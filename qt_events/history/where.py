"""Conditions on the fields of a payload, such as `size > 100 and symbol = AAPL`.

    conditions = condition {"and" condition}
    condition  = path operator value
    path       = name {"." name}         a number is a place in a list: `legs.0.size`
    operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"         `~` is: contains
    value      = JSON's string, number, true, false or null, or any other text

A name, or a text, in JSON's quotes may hold any character. A field that is not there fulfils no
condition. A number without quotes also fits a text that reads as one, for a Decimal travels as
text: `price > 187.2` fits "187.20"; `zip = "007"` fits that text alone. A value that begins with an
operator or ', or has the word `and` or `or` in it, needs quotes.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Any, NoReturn, Self

from pydantic_core import from_json

from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.raw import RawEvent
from qt_events.history.errors import InvalidWhereError
from qt_events.texts import printable

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NAME = re.compile(r'[^\s.=!<>~"]+')
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|[=<>~])\s*")
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_END = re.compile(r"\s*\Z")
# Bare values end where `and` begins.
_BARE = re.compile(r"\S(?:(?!\s+and\s).)*?(?=\s+and\s|\s*\Z)", re.DOTALL | re.IGNORECASE)
# An operator or a quote of another language, or an `or`: it would be searched for in silence.
_MISTAKEN = re.compile(r"[=<>!~'].*|(.*\s)?(and|or)\s.*|.*\s(and|or)", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
_SHOWN = 40  #: characters before and behind the place of an error
_MISSING = object()
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": eq, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """One field, and what its value must be."""

    path: tuple[str, ...]
    operator: str
    #: As it was written; of a quoted one, the text in it.
    text: str
    quoted: bool = False

    def fits(self, payload: object) -> bool:
        """Tell whether a payload fulfils the condition."""
        value = _at(payload, self.path)
        if value is _MISSING:
            return False
        if self.operator == "~":
            return self._is_in(value)
        if self.operator == "!=":
            return not self._compares(value, "=")
        return self._compares(value, self.operator)

    def _is_in(self, value: object) -> bool:
        if isinstance(value, list):
            return any(self._compares(each, "=") for each in value)
        return isinstance(value, str) and self.text in value

    def _compares(self, value: object, operator: str) -> bool:
        compare = _ORDERS[operator]
        if not self.quoted:
            if self.text in _CONSTANTS and operator == "=" and value is _CONSTANTS[self.text]:
                return True
            mine, its = _number(self.text), _number(value)
            if mine is not None and its is not None:
                return compare(its, mine)
            if mine is not None and operator != "=":
                return False
        return isinstance(value, str) and compare(value, self.text)


_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions that all must hold."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, *texts: str) -> Self:
        """Return the conditions of all texts together.

        Raises:
            InvalidWhereError: a text has another form; its notes show the place.
        """
        return cls(tuple(each for text in texts for each in _Parser(text).conditions()))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def fits(self, event: RawEvent) -> bool:
        """Tell whether the payload of an event fulfils all conditions."""
        if not self.conditions:
            return True
        payload = payload_of(event)
        return all(each.fits(payload) for each in self.conditions)


EVERYWHERE = Where()


def payload_of(event: RawEvent) -> object:
    """Return the payload of an event; None for what is not JSON (any more), or has none."""
    try:
        document = from_json(event.body)
    except ValueError:
        return None
    if event.content_type != CONTENT_TYPE:
        return document
    return document.get("data") if isinstance(document, dict) else None


def _at(value: Any, path: tuple[str, ...]) -> object:
    for name in path:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and re.fullmatch(r"\d{1,9}", name, re.ASCII):
            value = value[int(name)] if int(name) < len(value) else _MISSING
        else:
            return _MISSING
    return value


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    return Decimal(value) if isinstance(value, int) else None


class _Parser:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, len(text) - len(text.lstrip())

    def conditions(self) -> list[Condition]:
        found = [self._condition()]
        while not self._take(_END):
            if not self._take(_AND):
                self._fail("here an `and` is missing, or quotes around the value")
            found.append(self._condition())
        return found

    def _condition(self) -> Condition:
        path = [self._name()]
        while self._text.startswith(".", self._place):
            self._place += 1
            path.append(self._name())
        if (found := self._take(_OPERATOR)) is None:
            self._fail("here an operator is missing: = != < <= > >= or ~")
        operator = "=" if found.group(1) == "==" else found.group(1)
        if self._text.startswith('"', self._place):
            return Condition(tuple(path), operator, self._string(), quoted=True)
        if (found := self._take(_BARE)) is None:
            self._fail('here a value is missing; an empty text is ""')
        if _MISTAKEN.fullmatch(found.group()):
            self._place = found.start()
            self._fail('a value such as this one is written in quotes: "..."')
        return Condition(tuple(path), operator, found.group())

    def _name(self) -> str:
        if self._text.startswith('"', self._place):
            return self._string()
        if (found := self._take(_NAME)) is None:
            self._fail("here the name of a field is missing")
        return found.group()

    def _string(self) -> str:
        begin = self._place
        if (found := self._take(_STRING)) is None:
            self._fail('here a text begins whose closing " is missing')
        try:
            return str(json.loads(found.group(), strict=False))
        except ValueError:
            self._place = begin
            self._fail("here is no JSON string: a \\ is written \\\\")

    def _take(self, form: re.Pattern[str]) -> re.Match[str] | None:
        found = form.match(self._text, self._place)
        if found is not None:
            self._place = found.end()
        return found

    def _fail(self, wrong: str) -> NoReturn:
        place = self._place
        before = printable(self._text[max(0, place - _SHOWN) : place])
        error = InvalidWhereError(
            f"--where: {wrong} (character {place + 1}); write FIELD OPERATOR VALUE, such as "
            "symbol=AAPL or 'order.size > 100'"
        )
        error.add_note(before + printable(self._text[place : place + _SHOWN]))
        error.add_note(" " * len(before) + "^")
        raise error
