"""What a fleet's processes are started with."""

from workers import fleet_commands


def test_a_worker_is_celerys_own_with_a_name_of_its_own() -> None:
    """And tells monitors what happens."""
    assert fleet_commands.worker("worker-2") == [
        *("celery", "-A", "workers", "worker"),
        *("--loglevel=INFO", "-E", "--hostname=worker-2@%h"),
    ]


def test_a_worker_may_have_a_pool_and_a_part() -> None:
    """As Celery spells them."""
    assert fleet_commands.worker(pool="threads", subscriptions="executor,risk_*")[-2:] == [
        "--pool=threads",
        "--subscriptions=executor,risk_*",
    ]


def test_the_feed_may_be_shortened() -> None:
    """By days."""
    assert fleet_commands.feed() == ["qt-events", "feed"]
    assert fleet_commands.feed(30) == ["qt-events", "feed", "--days=30"]


def test_no_command_holds_an_address_that_may_hold_a_password() -> None:
    """Other users of a machine see command lines."""
    environment = fleet_commands.environment("amqp://u:secret@host//", "postgresql://u:secret@host/qt")
    commands = [fleet_commands.worker(), fleet_commands.feed(), fleet_commands.flower()]
    assert not any("://" in argument for command in commands for argument in command)
    assert environment["CELERY_BROKER_URL"] == "amqp://u:secret@host//"
    assert environment["QT_DATABASE_URL"] == "postgresql://u:secret@host/qt"
