"""Conditions on payloads: their form, and what fits."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.history.errors import InvalidWhereError
from qt_events.history.where import Condition, Where, payload_of
from tests.support.stored import raw

PAYLOAD = {
    "symbol": "AAPL",
    "size": 100,
    "price": "187.20",
    "ratio": 0.1,
    "code": "007",
    "ok": True,
    "note": None,
    "tags": ["fast", 3],
    "order": {"size": 5, "legs": [{"size": 1}, {"size": 2}]},
    "a.b": {"x y": 'say "no"'},
    "text": "this and that\nthere",
}


def fits(where: str, payload: object = PAYLOAD) -> bool:
    body = json.dumps(payload).encode()
    return Where.parse(where).fits(raw(content_type="application/json", body=body))


@pytest.mark.parametrize(
    "where",
    [
        "symbol=AAPL", "symbol = AAPL", ' symbol="AAPL" ', "symbol!=MSFT", "symbol~APL",
        "size=100", "size=100.0", "size=1e2", "size>99.9", "size<=100", "size!=5",
        "price>187", "price=187.2", "price<1000", 'price="187.20"', "ratio=0.1", "ratio<.11",
        "code=7", 'code="007"', "ok=true", "ok!=false", "note=null", "note!=1",
        "tags~fast", "tags~3", "tags.1=3", "order.size=5", "order.legs.1.size>=2",
        '"a.b"."x y"~"\\"no\\""', 'text~"and that"', 'text~"\\n"', "text~this AND size=100",
        "symbol=AAPL and size>1 and price<200", "symbol>=AAPL", "symbol<B",
    ],
)  # fmt: skip
def test_what_fits(where: str) -> None:
    assert fits(where)


@pytest.mark.parametrize(
    "where",
    [
        "symbol=aapl", "symbol!=AAPL", "symbol~MSFT", "size=10", 'size="100"', "size>100", "size~1",
        'price="187.2"', 'code="7"', "ok=1", "ok=True", "size=true", "note=0", 'note="null"',
        "tags=fast", "tags~slow", "tags.2=3", "tags.-1=3", "order=5", "order.size.x=5",
        "missing=1", "missing!=1", "missing=null", "symbol>100", "size>AAPL", "symbol.0=A",
        "symbol=AAPL and size>100",
    ],
)  # fmt: skip
def test_what_does_not_fit(where: str) -> None:
    assert not fits(where)


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("", 0), ("  ", 2), ("symbol", 6), ("symbol AAPL", 6), ("=AAPL", 0), ("size>", 5),
        ("size> ", 6), ("a..b=1", 2), ("a.=1", 2), ('a="b', 2), ('a="\\x"', 2), ('a="b" c', 5),
        ("a=1 and ", 8), ("a=1 and b", 9), ("text~this and that", 18), ("a=1 and =1", 8),
        ("size=>10", 5), ("a<>1", 2), ("a===b", 3), ("a=~b", 2), ("a=!b", 2), ("a='b'", 2),
        ("a=1 or b=2", 2), ("a=1 and b=2 OR c=3", 10), ("a=1 and", 2), ("a=1 or", 2), ("a=or b", 2),
        ("\x1b\u202e", 2), ("x" * 5000, 5000),
    ],
)  # fmt: skip
def test_an_error_shows_the_place(where: str, place: int) -> None:
    with pytest.raises(InvalidWhereError) as error:
        Where.parse(where)
    assert f"(character {place + 1})" in str(error.value)
    text, mark = error.value.__notes__
    assert mark == " " * (len(mark) - 1) + "^"
    assert text.isprintable()
    assert len(text) < 200


TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
NAMES = TEXTS.filter(bool)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(NAMES, min_size=1, max_size=4), TEXTS)
def test_any_name_and_any_text_can_be_asked_for(path: list[str], text: str) -> None:
    payload: Any = text
    for each in reversed(path):
        payload = {each: payload}
    written = f"{'.'.join(map(json.dumps, path))} = {json.dumps(text)}"
    (condition,) = Where.parse(written).conditions
    assert condition == Condition(tuple(path), "=", text, quoted=True)
    assert condition.fits(payload)


@given(NUMBERS, NUMBERS)
def test_numbers_are_compared_as_numbers(mine: float, its: float) -> None:
    for payload in ({"x": its}, {"x": json.dumps(its)}):
        for operator, expected in (("<", its < mine), (">=", its >= mine), ("=", its == mine)):
            (condition,) = Where.parse(f"x {operator} {json.dumps(mine)}").conditions
            assert condition.fits(payload) == expected


@given(TEXTS)
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    with suppress(InvalidWhereError):
        Where.parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(JSON, st.sampled_from(["=", "==", "!=", "<", "<=", ">", ">=", "~"]), TEXTS.filter(str.strip))
def test_no_payload_is_a_stumbling_block(payload: object, operator: str, value: str) -> None:
    for written in (json.dumps(value), "1", "null", "x"):
        (condition,) = Where.parse(f"a.0 {operator} {written}").conditions
        assert condition.fits({"a": [payload]}) in {True, False}


def test_all_conditions_of_all_texts_must_hold() -> None:
    event = raw(body=b'{"a": 1, "b": 2}', content_type="application/json")
    assert Where.parse("a=1", "b=2").fits(event)
    assert not Where.parse("a=1 and b=2", "b=3").fits(event)
    assert Where.parse().fits(event)


def test_the_payload_is_the_data_of_a_cloud_event_or_the_whole_of_plain_json() -> None:
    assert payload_of(raw()) == {"size": 10}
    assert payload_of(raw(content_type="application/json", body=b'{"data": 1}')) == {"data": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"1", b'{"data_base64": "eA=="}'])
def test_a_body_without_a_payload_fits_nothing(body: bytes) -> None:
    """Somebody may have changed the row."""
    assert not Where.parse("size!=1").fits(raw(body=body))


@pytest.mark.parametrize("value", ["OR", "and", "brand", "O'Brien", "oregano", "a=b", "x>y"])
def test_a_text_that_only_looks_like_a_mistake_is_a_value(value: str) -> None:
    (condition,) = Where.parse(f"state={value}").conditions
    assert condition.text == value
