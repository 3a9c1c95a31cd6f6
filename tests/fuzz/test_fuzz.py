"""A short run of the fuzzer; the long one is recorded in docs/hostile-messages.md."""

import pytest

from tests.fuzz.fuzz import UNWRITABLE, attempt, fuzz, smallest
from tests.fuzz.mutation import Input, valid
from tests.fuzz.targets import TARGETS

INPUTS = 4_000


@pytest.mark.parametrize("seed", [1, 2])
def test_only_named_errors_come_out_whatever_comes_in(seed: int) -> None:
    """Strange messages are events or MessageErrors, and their copies can be written."""
    report = fuzz(seed, INPUTS)
    assert report.failures == {}
    # What nobody could have sent is beside it.
    assert report.inputs == INPUTS < sum(report.kinds.values())
    reached = {(target, kind.partition(":")[0]) for target, kind in report.kinds}
    assert reached >= {
        ("codec", "decoded"), ("codec", "DecodeError"), ("codec", "TypeMismatchError"),
        ("queue", "decoded"), ("queue", "DecodeError"), ("queue", "TypeMismatchError"),
        ("dead letters", "dead letter"),
    }  # fmt: skip


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_valid_message_passes_every_target(target: str) -> None:
    """The fuzzer begins with messages that are no errors."""
    kinds = {attempt(TARGETS[target], each)[0] for each in valid() if each.exchange == "qt.events"}
    assert kinds == {"dead letter" if target == "dead letters" else "decoded"}


def test_a_failure_is_cut_down_to_what_causes_it() -> None:
    """A reader sees little else."""

    def target(given: Input) -> str:
        if b"x" in given.body and "a" in given.headers:
            raise ZeroDivisionError
        return "fine"

    failing = Input(b"abcdefghxijklmn", {"type": "t"}, {"a": 1, "b": 2}, scars=((0.5, 1),))
    kind, _ = attempt(target, failing)
    assert smallest(target, failing, kind) == Input(b"x", {}, {"a": 1})


def test_what_nobody_could_send_is_no_failure() -> None:
    """A header name of 300 letters is written neither by us nor by py-amqp."""
    assert attempt(TARGETS["queue"], Input(b"{}", {}, {"x" * 300: 1}))[0] == UNWRITABLE
