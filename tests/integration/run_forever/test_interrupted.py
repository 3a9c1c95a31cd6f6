"""run_forever() on a loop that something ends: the program ends, and nothing is held."""

import pytest

from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until_told


@pytest.mark.parametrize(
    ("ends_by", "error"),
    [
        ("interrupt", "KeyboardInterrupt"),
        ("in_thread", "KeyboardInterrupt"),
        ("task", ""),
    ],
)
async def test_what_ends_the_loop_ends_the_program(
    ends_by: str, error: str, fleet: Fleet, amqp_url: str
) -> None:
    """`asyncio.run` raises it, once run_forever() has given back what it held."""
    program = await fleet.start(program=("-m", "interrupted_program"), ready=False, ENDS_BY=ends_by)
    status = await program.ended(30)
    assert status == 3 if ends_by == "task" else status != 0
    assert error in program.output
    # Whoever cancels all tasks, as `asyncio.run` does, is not told from a handler that cancels its
    # own: its event may be begun once more.
    assert len(fleet.calls("ends")) == 1 or ends_by == "task"
    await until_told(lambda: depth(amqp_url, "qt.sub.handler") == 1)


async def test_a_handler_that_swallows_its_cancellation_does_not_outlive_the_program(
    fleet: Fleet, amqp_url: str
) -> None:
    """`asyncio.run` would wait for its task for ever, so that ends with run_forever()."""
    program = await fleet.start(
        program=("-m", "interrupted_program"), ready=False, ENDS_BY="stop", FLEET_GRACE="0.5"
    )
    assert await program.ended(30) == 0, program.output
    assert fleet.calls("swallowed")
    assert "handler: 1 of its handlers went on" in program.output
    await until_told(lambda: depth(amqp_url, "qt.sub.handler") == 1)
