"""Where tests get their broker from: in which order, and an installation that leaves the machine's policy as it was."""

import os
import subprocess
from pathlib import Path

import pytest

from qt_events.errors import BrokerError, InvalidUrlError, NotSupportedError
from qt_events.testing import provision
from qt_events.testing.provision import BROKER_URL, GivenBroker

INSTALL = Path(provision.__file__).with_name("install-rabbitmq.sh")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without RabbitMQ, on which nothing can be installed and where no broker is given."""
    monkeypatch.setattr(provision, "installed_rabbitmq", lambda: None)
    monkeypatch.setattr(provision, "_install", lambda: "no way")
    monkeypatch.delenv(BROKER_URL, raising=False)
    return monkeypatch


def test_an_installed_one_is_taken_even_where_another_is_given(bare: pytest.MonkeyPatch) -> None:
    bare.setattr(provision, "installed_rabbitmq", lambda: Path("/somewhere"))
    bare.setenv(BROKER_URL, "amqp://given")
    assert "private nodes of /somewhere/rabbitmq-server" in provision.ensure()


def test_an_installation_comes_before_the_given_broker(bare: pytest.MonkeyPatch) -> None:
    bare.setenv(BROKER_URL, "amqp://given")
    found = iter([None, Path("/new")])
    bare.setattr(provision, "installed_rabbitmq", lambda: next(found))
    assert "just installed" in provision.ensure()


def test_the_given_broker_is_used_where_nothing_can_be_installed(bare: pytest.MonkeyPatch) -> None:
    bare.setenv(BROKER_URL, "amqp://me:mine@given:5673//")
    assert BROKER_URL in provision.ensure()
    with provision.open_broker() as broker:
        assert (broker.url, broker.management_url) == ("amqp://me:mine@given:5673//", "http://me:mine@given:15672")


def test_without_any_it_stops_with_one_line_that_says_what_to_do(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert provision.main(["--ensure"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "install rabbitmq-server" in line
    assert BROKER_URL in line


def test_a_test_that_needs_a_broker_fails_without_one(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerError, match="install rabbitmq-server"), provision.open_broker():
        pytest.fail("there is no broker")


def test_a_given_broker_is_not_harmed() -> None:
    with pytest.raises(NotSupportedError, match="may not kill"):
        GivenBroker("amqp://given").kill()


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidUrlError, match="amqp://"):
        GivenBroker("redis://given")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@given:6379/secret?secret#secret", "not redis://given"),
        ("amqp://me:secret@", "not amqp://"),
        ("amqp://me:secret@given:port//", "not amqp://given"),
        ("amqp://me:secret@[given//", "not that"),
        ("me:secret@given", "not that"),
        ("secret", "not that"),
    ],
)
def test_a_refused_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """Scheme and host are enough to find the mistake."""
    with pytest.raises(InvalidUrlError) as caught:
        GivenBroker(url)
    assert str(caught.value).endswith(shown)
    assert "secret" not in str(caught.value)


def install(tmp_path: Path, policy: Path, apt_get: str) -> int:
    """Run the script with an apt-get of ours, which sees the policy file that the real one would see."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in {"apt-get": apt_get, "systemctl": "true"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(["/bin/sh", INSTALL, policy], env={"PATH": path}, check=False).returncode


def test_no_service_may_start_during_the_installation_and_no_policy_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    assert install(tmp_path, policy, f"{policy}; [ $? = 101 ] || exit 9") == 0
    assert not policy.exists()


@pytest.mark.parametrize(("apt_get", "status"), [("true", 0), ("exit 7", 7)])
def test_a_policy_that_was_there_is_there_again(tmp_path: Path, apt_get: str, status: int) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o741)
    before = policy.stat()
    assert install(tmp_path, policy, apt_get) == status
    after = policy.stat()
    assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (after.st_ino, after.st_mode, after.st_mtime_ns)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bin", "policy-rc.d"]


def test_a_policy_set_aside_by_an_install_that_was_cut_short_comes_back(tmp_path: Path) -> None:
    policy, aside = tmp_path / "policy-rc.d", tmp_path / "policy-rc.d.found-by-qt-events"
    policy.write_text("left by the one that was cut short")
    aside.write_text("the machine's own")
    assert install(tmp_path, policy, "true") == 0
    assert policy.read_text() == "the machine's own"
    assert not aside.exists()
