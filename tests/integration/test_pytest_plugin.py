"""pytest plugin as another project uses it: pytest in its own process."""

import subprocess
import sys
from pathlib import Path

import pytest

from qt_events.testing.broker import Broker

pytest_plugins = ["pytester"]

# Plugins that happen to be installed here, and take most of the time that pytest takes to start.
OTHERS = ("anyio", "cacheprovider", "hypothesispytest", "timeout", "xdist", "xdist.looponfail")
LEAN_FLEET = [part for name in OTHERS for part in ("-p", f"no:{name}")]
LEAN = [*LEAN_FLEET, "-p", "no:celery", "-p", "no:docker_tools"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "07_testing"
ASYNCIO = "asyncio_default_fixture_loop_scope = function"
TOP = """
import pytest
from qt_events import Event, Reject, RetryPolicy

async def refusing(event):
    raise Reject("not with me")

async def failing(event):
    raise ConnectionError("gateway closed")
"""


@pytest.fixture(autouse=True)
def strict_project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make warnings errors in the project, and hide the options of this test run from it."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    configured(pytester, "asyncio_mode = auto")


def configured(pytester: pytest.Pytester, *lines: str) -> None:
    head = [
        "[pytest]",
        "filterwarnings = error",
        "addopts = --strict-markers --strict-config",
        ASYNCIO,
    ]
    pytester.makefile(".ini", pytest="\n".join([*head, *lines]))


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(TOP + tests)
    return pytester.runpytest_subprocess(*LEAN, *options, timeout=100)


HANDLED = """
@pytest.mark.asyncio
async def test_handled(event_bus):
    seen = []
    async def handle(event):
        seen.append(event)
        if len(seen) < 3:
            raise ConnectionError
    quickly = RetryPolicy(max_attempts=3, initial=0.1, jitter=0)
    event_bus.subscribe("a.*", handle, name="handle", retry=quickly)
    event = Event("a.b")
    await event_bus.publish(event)
    await event_bus.join()
    event_bus.assert_retried("handle", event, times=2, exception=ConnectionError)
    event_bus.assert_delivered("handle", event, attempts=3)
    assert event_bus.published("a.b") == [event]
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_bus_is_there_and_runs_in_both_modes_of_pytest_asyncio(
    pytester: pytest.Pytester, mode: str
) -> None:
    """A test starts and stops nothing."""
    configured(pytester, f"asyncio_mode = {mode}")
    run(pytester, HANDLED).assert_outcomes(passed=1)


def test_the_examples_of_the_page_need_no_configuration(pytester: pytest.Pytester) -> None:
    """Pasted into a project whose pytest-asyncio has its default mode, they run."""
    configured(pytester, "asyncio_mode = strict")
    for name in ("risk_desk.py", "test_first.py", "test_policy.py"):
        pytester.path.joinpath(name).write_text((EXAMPLE / name).read_text())
    pytester.runpytest_subprocess(*LEAN, timeout=100).assert_outcomes(passed=5)


def test_what_asks_for_no_bus_is_left_to_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """In strict mode other coroutines stay unmarked; those of a class are looked at too."""
    configured(pytester, "asyncio_mode = strict")
    tests = """
async def test_not_ours():
    pass

@pytest.fixture
def desk(event_bus):
    return event_bus

class TestDesk:
    @pytest.mark.parametrize("number", [1, 2])
    async def test_of_a_class(self, desk, number):
        await desk.publish(Event("a.b"))
        await desk.join()
"""
    result = run(pytester, tests)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_the_same_test_runs_on_a_given_rabbitmq(
    pytester: pytest.Pytester, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test gets its own vhost; the configuration file can select RabbitMQ too."""
    monkeypatch.setenv("QT_EVENTS_TEST_MANAGEMENT_URL", broker.management_url)
    configured(pytester, "asyncio_mode = auto", f"event_bus = {broker.url}")
    known = """
    async def test_real_time(event_bus, rabbitmq_url):
        assert event_bus.bus.app.conf.broker_url == rabbitmq_url
        with pytest.raises(Exception, match="time is real"):
            event_bus.clock
    async def test_another_bus(event_bus, event_bus_factory):
        other = await event_bus_factory(prefix="other")
        event_bus.subscribe("a", refusing)
        await other.publish(Event("a"))
        assert event_bus.published() == []
    """
    result = run(pytester, HANDLED + known.replace("\n    ", "\n"))
    result.assert_outcomes(passed=3)


def test_one_option_selects_eager_mode_and_the_test_wins_over_it(
    pytester: pytest.Pytester,
) -> None:
    """The same test runs, and the header says so.

    A test that moves the clock runs in memory, whatever the option says.
    """
    tests = """
@pytest.mark.event_bus(backend="memory", max_queue_size=7)
async def test_hours(event_bus):
    assert event_bus.bus.max_queue_size == 7
    hourly = RetryPolicy(max_attempts=2, initial=3600, max_delay=3600, jitter=0)
    event_bus.subscribe("a", failing, retry=hourly)
    await event_bus.publish(Event("a"))
    await event_bus.clock.advance(3599)
    event_bus.assert_retried(failing)
    await event_bus.clock.advance(1)
    event_bus.assert_dead_lettered(failing, reason="exhausted", exception=OSError)
"""
    result = run(pytester, HANDLED + tests, "--event-bus=eager")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["event bus: eager"])


# The end of a test


def test_what_a_test_leaves_behind_fails_it_at_its_end_unless_it_is_marked(
    pytester: pytest.Pytester,
) -> None:
    """An unexpected dead letter and a waiting retry, whose outcome is unknown, are leftovers.

    The failure shows the handler's traceback, with or without a join.
    """
    tests = """
async def test_forgets(event_bus):
    event_bus.subscribe("a", refusing)
    await event_bus.publish(Event("a"))
async def test_waits(event_bus):
    event_bus.subscribe("a", failing, retry=RetryPolicy(initial=60, jitter=0))
    await event_bus.publish(Event("a"))
@pytest.mark.event_bus(allow_leftovers=True)
async def test_may_forget(event_bus):
    event_bus.subscribe("a", refusing)
    await event_bus.publish(Event("a"))
"""
    result = run(pytester, tests)
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines([
        "*ERROR at teardown of test_forgets*",
        "the test left behind:",
        "1 dead letter that the test does not expect (bus.assert_dead_lettered):",
        ("*refusing, a: attempt 1 made a dead letter, rejected "
         "(qt_events.Reject: not with me)"),
        "*in refusing",
        "*raise Reject(*",
        "*ERROR at teardown of test_waits*",
        "1 failed delivery waiting for a retry*",
        "*again after 60 s*gateway closed)",
    ])  # fmt: skip


def test_leftovers_are_allowed_by_configuration_unless_the_marker_says_no(
    pytester: pytest.Pytester,
) -> None:
    """The nearest marker counts."""
    configured(pytester, "asyncio_mode = auto", "event_bus_allow_leftovers = true")
    tests = """
@pytest.mark.event_bus(allow_leftovers=False)
async def test_may_not(event_bus):
    event_bus.subscribe("a", refusing)
    await event_bus.publish(Event("a"))
@pytest.mark.event_bus()
async def test_may(event_bus):
    event_bus.subscribe("a", refusing)
    await event_bus.publish(Event("a"))
"""
    result = run(pytester, tests)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_may_not*"])


def test_a_test_that_fails_tells_what_happened_and_is_not_blamed_twice(
    pytester: pytest.Pytester,
) -> None:
    """The report has the bus's story once, in the assertion itself or beside it."""
    tests = """
async def test_other(event_bus):
    event_bus.subscribe("a", refusing)
    await event_bus.publish(Event("a", payload={"x": 1}))
    await event_bus.join()
    assert 1 == 2
async def test_ours(event_bus):
    await event_bus.publish(Event("a"))
    event_bus.assert_published("b", times=3)
"""
    result = run(pytester, tests)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([
        "*- event bus -*",
        "what happened:",
        "  a (Event, id ...*) {'x': 1}",
        ("    *refusing: attempt 1 made a dead letter, rejected "
         "(qt_events.Reject: not with me)"),
        ">       event_bus.assert_published(*",
        "E       AssertionError: 'b' published: 0 times, expected 3 times",
        "E         a (Event, id *) {}",
        "E           nobody is subscribed to a",
    ])  # fmt: skip
    assert str(result.stdout).count("- event bus -") == 1


# Mistakes


MISTAKES = {
    "def test(event_bus): ...": (
        "test uses event_bus, whose event loop stands still*async def*to_thread*"
    ),
    "@pytest.mark.event_bus(max_queue=1)\nasync def test(event_bus): ...": (
        "*has no option 'max_queue'; it has *"
    ),
    "@pytest.mark.event_bus(clock=None)\nasync def test(event_bus): ...": (
        "*of its own already: event_bus.clock"
    ),
    "@pytest.mark.event_bus(backend='kafka')\nasync def test(event_bus): ...": (
        "*there are memory, eager and rab*"
    ),
    "@pytest.mark.event_bus('eager')\nasync def test(event_bus): ...": (
        "*takes keywords only*backend='eager'"
    ),
}


def test_a_mistake_is_named(pytester: pytest.Pytester) -> None:
    """The test's error says what to write instead."""
    tests = [
        text.replace("def test(", f"def test_{number}(") for number, text in enumerate(MISTAKES)
    ]
    result = run(pytester, "\n".join(tests))
    result.assert_outcomes(errors=len(tests))
    for number, said in enumerate(MISTAKES.values()):
        shown = said.replace("test uses", f"test_{number} uses")
        result.stdout.fnmatch_lines([f"*ERROR at setup of test_{number} *", shown])


def test_a_mistaken_option_ends_the_run_at_once(pytester: pytest.Pytester) -> None:
    """The error shows no password."""
    result = run(pytester, HANDLED, "--event-bus=kafka://u:secret@host")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: event bus kafka://...: there are memory, eager, rabbitmq and amqp://*"]
    )
    assert "secret" not in str(result.stderr)


def test_without_pytest_asyncio_the_fixture_says_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that do not use the fixture are not affected."""
    (pytester.mkdir("absent") / "pytest_asyncio.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path / "absent"))
    pytester.makefile(".ini", pytest="[pytest]\nfilterwarnings = error")
    result = run(pytester, "def test(event_bus): ...\ndef test_other(): ...", "-p", "no:asyncio")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ["event_bus needs an event loop: pip install 'qt-events?testing?'*"]
    )


def test_the_plugin_imports_nothing_that_a_test_has_not_asked_for(
    pytester: pytest.Pytester,
) -> None:
    """A test that wants a bus imports qt_events, and only one on RabbitMQ imports celery."""
    pytester.makeconftest(
        "import sys\nassert 'pytest_qt_events' in sys.modules and 'qt_events' not in sys.modules"
    )
    tests = """
    import sys
    def test_nothing(): assert "qt_events" not in sys.modules
    async def test_memory(event_bus): assert "celery" not in sys.modules
    """
    pytester.makepyfile(tests)
    result = pytester.runpytest_subprocess(*LEAN)
    result.assert_outcomes(passed=2)


# The example


@pytest.mark.parametrize("bus", ["memory", "rabbitmq"])
def test_the_example_passes(bus: str) -> None:
    """The example passes, with its fleet of workers, on a RabbitMQ that pytest starts itself."""
    only = [] if bus == "rabbitmq" else ["test_policy.py"]
    command = [sys.executable, "-m", "pytest", *LEAN_FLEET, f"--event-bus={bus}", *only]
    finished = subprocess.run(
        command, cwd=EXAMPLE, capture_output=True, text=True, timeout=110, check=False
    )
    assert f"{6 if bus == 'rabbitmq' else 4} passed" in finished.stdout, (
        finished.stdout + finished.stderr
    )
