"""A retry policy decides by attempt and error alone, and never lets an event come back early."""

import asyncio
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failure, Retry
from qt_events.delivery.retry import (
    MAX_DELAY,
    MAX_FACTOR,
    NO_RETRY,
    Reject,
    RetryLater,
    RetryPolicy,
)
from qt_events.errors import InvalidPolicyError

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 10**9),
    initial=st.floats(0, MAX_DELAY),
    factor=st.floats(1, MAX_FACTOR),
    max_delay=st.floats(0, MAX_DELAY),
    jitter=st.floats(0, 1),
)
attempts = st.integers(1, 50) | st.integers(1, 10**6) | st.just(10**400)
chances = st.floats(0, 1, exclude_max=True)

FAILURE = Failure.of(OSError())


def decided(policy: RetryPolicy, attempt: int, error: BaseException) -> float | str:
    """Return the delay of the retry, or the reason of the dead letter."""
    outcome = policy.decide(attempt, error)
    assert outcome.failure == Failure.of(error)
    return outcome.delay if isinstance(outcome, Retry) else outcome.reason


class TestDelay:
    def test_by_default_it_doubles_from_a_second(self) -> None:
        """A subscription that names no policy waits 1, 2, 4, 8 s, plus at most a tenth."""
        assert [RetryPolicy().delay(attempt, lambda: 0.0) for attempt in range(1, 5)] == [
            1,
            2,
            4,
            8,
        ]
        assert [
            RetryPolicy().delay(attempt, lambda: 1.0) for attempt in range(1, 5)
        ] == pytest.approx([1.1, 2.2, 4.4, 8.8])

    def test_the_example_of_the_design(self) -> None:
        """0.5 s, doubling, capped at a minute."""
        policy = RetryPolicy(
            max_attempts=5,
            initial=0.5,
            factor=2,
            max_delay=60,
            jitter=0.1,
            retry_on=(OSError,),
            give_up_on=(ValueError,),
        )
        assert [policy.delay(attempt, lambda: 0.0) for attempt in (1, 2, 7, 8, 9)] == [
            0.5,
            1,
            32,
            60,
            60,
        ]

    @given(policies, attempts, chances)
    def test_it_is_between_the_backoff_and_the_backoff_with_jitter(
        self, policy: RetryPolicy, attempt: int, chance: float
    ) -> None:
        """Never early; late by at most the jitter; never more than a delay level holds."""
        backoff = policy.delay(attempt, lambda: 0.0)
        delay = policy.delay(attempt, lambda: chance)
        assert backoff <= policy.max_delay
        assert backoff <= delay <= min(backoff * (1 + policy.jitter), MAX_DELAY)

    @given(policies, attempts, st.integers(0, 100))
    def test_the_backoff_never_shrinks(self, policy: RetryPolicy, attempt: int, later: int) -> None:
        """A later attempt waits at least as long."""
        assert policy.delay(attempt, lambda: 0.0) <= policy.delay(attempt + later, lambda: 0.0)

    def test_retries_spread_out_at_the_cap_too(self) -> None:
        """A thousand events that failed together do not all come back together."""
        policy = RetryPolicy(initial=1, max_delay=60, jitter=0.5)
        delays = {policy.delay(100) for _ in range(1000)}
        assert len(delays) > 900
        assert 60 <= min(delays) < max(delays) <= 90

    @pytest.mark.parametrize("attempt", [1000, 10**6, 10**400])
    def test_a_huge_attempt_does_not_overflow(self, attempt: int) -> None:
        """Growth ends at the cap, and where there is none it stays where it is."""
        assert RetryPolicy(jitter=0).delay(attempt) == 300
        assert RetryPolicy(jitter=0, initial=0).delay(attempt) == 0
        assert RetryPolicy(jitter=0, factor=1).delay(attempt) == 1

    @pytest.mark.parametrize("attempt", [0, -1, 1.0, True, None])
    def test_attempts_are_counted_from_one(self, attempt: Any) -> None:
        """There is no attempt before the first one."""
        with pytest.raises(InvalidPolicyError, match="attempt="):
            RetryPolicy().delay(attempt)
        with pytest.raises(InvalidPolicyError, match="attempt="):
            RetryPolicy().decide(attempt, OSError())


class TestDecide:
    @given(policies, attempts, chances)
    def test_as_many_attempts_as_it_says(
        self, policy: RetryPolicy, attempt: int, chance: float
    ) -> None:
        """Before the last attempt it waits for its delay, from the last one on it gives up."""
        outcome = policy.decide(attempt, OSError(), lambda: chance)
        if attempt < policy.max_attempts:
            assert outcome == Retry(policy.delay(attempt, lambda: chance), FAILURE)
        else:
            assert outcome == DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE)

    def test_no_retry_gives_up_at_once(self) -> None:
        """NO_RETRY is one attempt."""
        assert decided(NO_RETRY, 1, OSError()) == "exhausted"

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ConnectionError(), 1.0),
            (ValueError(), "gave_up"),
            (FileNotFoundError(), "gave_up"),
            (ExceptionGroup("", [ConnectionError()]), "gave_up"),
        ],
    )
    def test_errors_are_told_apart_by_class(self, error: Exception, expected: object) -> None:
        """Subclasses count; give_up_on wins over retry_on; a group is judged as itself."""
        policy = RetryPolicy(retry_on=(OSError,), give_up_on=(FileNotFoundError,), jitter=0)
        assert expected == decided(policy, 1, error)

    def test_an_error_that_would_not_be_retried_is_no_exhaustion(self) -> None:
        """At the last attempt too, the reason is the error and not the count."""
        assert decided(RetryPolicy(give_up_on=ValueError), 5, ValueError()) == "gave_up"

    @pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()])
    def test_what_is_no_exception_is_not_retried(self, error: BaseException) -> None:
        """Ends of programs and cancellations are no failures that pass."""
        assert decided(RetryPolicy(), 1, error) == "gave_up"


class TestHandlersDecision:
    @given(policies, attempts, st.floats(0, MAX_DELAY))
    def test_retry_later_is_obeyed_to_the_second(
        self, policy: RetryPolicy, attempt: int, delay: float
    ) -> None:
        """Its delay replaces backoff, cap and jitter, but not the number of attempts."""
        left = attempt < policy.max_attempts
        assert decided(policy, attempt, RetryLater(delay)) == (delay if left else "exhausted")

    def test_retry_later_asks_no_class_rules(self) -> None:
        """A handler that asks for another attempt gets it, whatever errors the policy retries."""
        policy = RetryPolicy(retry_on=(), give_up_on=Exception)
        assert decided(policy, 1, RetryLater(7)) == 7.0

    def test_reject_ends_it_at_once(self) -> None:
        """A handler that rejects an event sees it no more, with attempts left or not."""
        for attempt in (1, 5):
            assert decided(RetryPolicy(), attempt, Reject("bad price")) == "rejected"

    @pytest.mark.parametrize(
        "delay", [-0.001, MAX_DELAY + 1, math.nan, math.inf, True, "5", None, 10**400]
    )
    def test_a_delay_out_of_range_is_refused(self, delay: Any) -> None:
        """RetryLater takes 0 to seven days."""
        with pytest.raises(
            InvalidPolicyError, match=r"RetryLater\.delay=.* must be a number from 0 to 604,800"
        ):
            RetryLater(delay)

    def test_their_text_is_their_reason(self) -> None:
        """An operator reads why, in logs and dead letters."""
        assert str(RetryLater(2.5, "rate limit")) == "rate limit (again after 2.5 s)"
        assert str(RetryLater(2.5)) == "again after 2.5 s"
        assert str(Reject("bad price")) == "bad price"

    @pytest.mark.parametrize("error", [RetryLater(2.5, "rate limit"), Reject("bad price")])
    def test_they_travel_between_processes(self, error: RetryLater | Reject) -> None:
        """Pickled, as a pool of processes does, they stay what they are."""
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert vars(copy) == vars(error)
        assert str(copy) == str(error)


class TestValidation:
    @pytest.mark.parametrize(
        "field",
        [
            *({"max_attempts": value} for value in (0, -1, 2.0, True, "5", None, math.inf)),
            *(
                {"initial": value}
                for value in (-1, MAX_DELAY + 1, math.nan, math.inf, False, "1", None, 10**400)
            ),
            *(
                {"factor": value}
                for value in (0.99, 0, MAX_FACTOR + 1, math.nan, math.inf, True, "2", None, 10**400)
            ),
            *(
                {"max_delay": value}
                for value in (-1, MAX_DELAY + 1, math.nan, math.inf, True, "60", None)
            ),
            *({"jitter": value} for value in (-0.1, 1.1, math.nan, math.inf, True, "0", None)),
            *(
                {name: value}
                for name in ("retry_on", "give_up_on")
                for value in (
                    None,
                    OSError(),
                    "OSError",
                    int,
                    [OSError],
                    (OSError, int),
                    BaseException,
                    (SystemExit,),
                )
            ),
        ],
        ids=lambda field: str(field)[:60],
    )
    def test_a_field_out_of_range_is_named(self, field: dict[str, Any]) -> None:
        """The error names the field, shows what it was given, and says what is allowed."""
        ((name, value),) = field.items()
        with pytest.raises(InvalidPolicyError) as caught:
            RetryPolicy(**field)
        assert str(caught.value).startswith(f"{name}={value!r} must be ")

    def test_the_limits_themselves_are_allowed(self) -> None:
        """Every range includes both its ends."""
        RetryPolicy(
            max_attempts=1, initial=0, factor=1, max_delay=0, jitter=0, retry_on=(), give_up_on=()
        )
        RetryPolicy(
            max_attempts=10**400,
            initial=MAX_DELAY,
            factor=MAX_FACTOR,
            max_delay=MAX_DELAY,
            jitter=1,
        )

    def test_numbers_become_floats_and_a_class_a_tuple(self) -> None:
        """Policies that mean the same are equal and hash alike, however they were written."""
        plain = RetryPolicy(
            initial=1, factor=2, max_delay=60, jitter=0, retry_on=OSError, give_up_on=ValueError
        )
        full = RetryPolicy(
            initial=1.0,
            factor=2.0,
            max_delay=60.0,
            jitter=0.0,
            retry_on=(OSError,),
            give_up_on=(ValueError,),
        )
        assert plain == full
        assert hash(plain) == hash(full)
        assert (type(plain.initial), plain.retry_on, plain.give_up_on) == (
            float,
            (OSError,),
            (ValueError,),
        )
