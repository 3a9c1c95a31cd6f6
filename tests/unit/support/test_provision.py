"""Programs that tests need: their order, and an installation that leaves the machine as it was."""

import os
import subprocess
from pathlib import Path

import pytest

from qt_events.errors import BrokerError, InvalidUrlError, NotSupportedError
from qt_events.testing.broker import broker as brokers
from qt_events.testing.broker import open_broker
from qt_events.testing.broker.broker import BROKER_URL, GivenBroker
from tests.support import packages, provision
from tests.support.chromium import Chromium

INSTALL = packages.SCRIPT


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has nothing, where nothing can be installed and no broker is given."""
    monkeypatch.setattr(provision, "installed_rabbitmq", lambda: None)
    monkeypatch.setattr(brokers, "installed_rabbitmq", lambda: None)
    monkeypatch.setattr(provision, "installed_postgres", lambda: None)
    monkeypatch.setattr(provision, "installed_chromium", lambda: None)
    monkeypatch.setattr(provision, "installed_faketime", lambda: None)
    monkeypatch.setattr(provision, "install", lambda packages: "no way")
    monkeypatch.delenv(BROKER_URL, raising=False)
    return monkeypatch


def installs(machine: pytest.MonkeyPatch) -> list[list[str]]:
    """Let apt work on that machine from now on; return what it was asked for."""
    runs: list[list[str]] = []

    def install(packages: list[str]) -> str:
        runs.append(packages)
        if "rabbitmq-server" in packages:
            machine.setattr(provision, "installed_rabbitmq", lambda: Path("/new"))
        if "postgresql" in packages:
            machine.setattr(provision, "installed_postgres", lambda: Path("/pg"))
        if "chromium" in packages:
            machine.setattr(
                provision,
                "installed_chromium",
                lambda: Chromium(Path("/chromium"), Path("/driver")),
            )
        if "faketime" in packages:
            machine.setattr(provision, "installed_faketime", lambda: Path("/faketime"))
        return ""

    machine.setattr(provision, "install", install)
    return runs


def test_an_installed_one_is_taken_even_where_another_is_given(bare: pytest.MonkeyPatch) -> None:
    """Tests may kill a private broker, not a given one."""
    bare.setattr(provision, "installed_rabbitmq", lambda: Path("/somewhere"))
    bare.setenv(BROKER_URL, "amqp://given")
    (line,) = provision.ensure(["rabbitmq"]).there
    assert "private nodes of /somewhere/rabbitmq-server" in line
    assert "just installed" not in line


def test_an_installation_comes_before_the_given_broker(bare: pytest.MonkeyPatch) -> None:
    """Tests may kill a private broker, not a given one."""
    bare.setenv(BROKER_URL, "amqp://given")
    installs(bare)
    (line,) = provision.ensure(["rabbitmq"]).there
    assert "just installed" in line


def test_the_given_broker_is_used_where_nothing_can_be_installed(bare: pytest.MonkeyPatch) -> None:
    """A line says so, and tests open that one."""
    bare.setenv(BROKER_URL, "amqp://me:mine@given:5673//")
    (line,) = provision.ensure(["rabbitmq"]).there
    assert BROKER_URL in line
    with open_broker() as broker:
        assert (broker.url, broker.management_url) == (
            "amqp://me:mine@given:5673//",
            "http://me:mine@given:15672",
        )


def test_all_that_is_missing_is_installed_at_once(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run of apt, and a line for each thing that says what tests will use."""
    runs = installs(bare)
    assert provision.main(["--ensure"]) == 0
    assert runs == [["rabbitmq-server", "postgresql", "chromium", "chromium-driver", "faketime"]]
    lines = capsys.readouterr().out.splitlines()
    places = ["/new", "/pg", "/chromium", "/faketime"]
    assert [place in line for line, place in zip(lines, places, strict=True)] == [True] * 4
    assert all(line.endswith("just installed") for line in lines)


def test_what_is_there_is_not_installed_again(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run asks nothing of apt and says the same."""
    runs = installs(bare)
    provision.main(["--ensure"])
    assert provision.main(["--ensure"]) == 0
    assert len(runs) == 1
    assert "just installed" not in capsys.readouterr().out.splitlines()[-1]


def test_one_thing_can_be_asked_for_by_its_name(bare: pytest.MonkeyPatch) -> None:
    """A developer who only wants a broker gets no browser."""
    runs = installs(bare)
    assert provision.main(["--ensure", "rabbitmq"]) == 0
    assert runs == [["rabbitmq-server"]]


def test_what_cannot_be_had_is_a_line_each_that_says_what_to_do(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The programs that are there are told all the same."""
    bare.setattr(provision, "installed_postgres", lambda: Path("/pg"))
    assert provision.main(["--ensure"]) == 1
    told = capsys.readouterr()
    (there,) = told.out.splitlines()
    assert "/pg" in there
    broker, browser, faketime = told.err.splitlines()
    assert "install rabbitmq-server" in broker
    assert BROKER_URL in broker
    assert "install chromium and the chromedriver" in browser
    assert browser.endswith("(no way)")
    assert "install faketime" in faketime


def test_a_test_that_needs_a_broker_fails_without_one(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerError, match="install rabbitmq-server"), open_broker():
        pytest.fail("there is no broker")


@pytest.mark.parametrize("action", ["kill", "restart", "suspend", "resume", "block", "unblock"])
def test_a_given_broker_is_not_harmed(action: str) -> None:
    """The error names the call that is forbidden."""
    with pytest.raises(NotSupportedError, match=f"tests may not {action} the broker that"):
        getattr(GivenBroker("amqp://given"), action)()


def test_a_given_broker_is_not_configured() -> None:
    """The error has the command with its arguments."""
    with pytest.raises(NotSupportedError, match="may not run rabbitmqctl eval ok on the broker"):
        GivenBroker("amqp://given").rabbitmqctl("eval", "ok")


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


def install(tmp_path: Path, apt_get: str, *wanted: str) -> int:
    """Run the script with an apt-get of ours, which sees the files that the real one would see."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in {
        "apt-get": apt_get,
        "systemctl": f'echo "$@" >>{tmp_path}/systemctl.log',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    command: list[str | Path] = [
        "/bin/sh",
        INSTALL,
        tmp_path / "policy-rc.d",
        tmp_path / "etc" / "createcluster.conf",
        *wanted,
    ]
    return subprocess.run(command, env={"PATH": path}, check=False).returncode


def test_no_service_may_start_during_the_installation_and_no_policy_stays(tmp_path: Path) -> None:
    """101 is a policy's way of saying no."""
    policy = tmp_path / "policy-rc.d"
    assert install(tmp_path, f"{policy}; [ $? = 101 ] || exit 9", "rabbitmq-server") == 0
    assert not policy.exists()


def test_all_packages_are_one_installation(tmp_path: Path) -> None:
    """An update, then one install, without what is merely recommended."""
    log = tmp_path / "apt.log"
    assert install(tmp_path, f'echo "$@" >>{log}', "postgresql", "chromium") == 0
    update, installation = log.read_text().splitlines()
    assert update.endswith("update")
    assert installation.endswith("install -y --no-install-recommends postgresql chromium")


@pytest.mark.parametrize(("package", "disabled"), [("rabbitmq-server", True), ("chromium", False)])
def test_a_broker_does_not_start_at_the_next_boot_either(
    package: str, *, disabled: bool, tmp_path: Path
) -> None:
    """The service is disabled only if the broker was installed by this run."""
    assert install(tmp_path, "true", package) == 0
    log = tmp_path / "systemctl.log"
    assert (
        "disable rabbitmq-server.service" in (log.read_text() if log.exists() else "")
    ) is disabled


@pytest.mark.parametrize(("apt_get", "status"), [("true", 0), ("exit 7", 7)])
def test_a_policy_that_was_there_is_there_again(tmp_path: Path, apt_get: str, status: int) -> None:
    """The very file, whether the installation worked or not."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o741)
    before = policy.stat()
    assert install(tmp_path, apt_get, "chromium") == status
    after = policy.stat()
    assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (
        after.st_ino,
        after.st_mode,
        after.st_mtime_ns,
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bin", "policy-rc.d"]


def test_a_policy_set_aside_by_an_install_that_was_cut_short_comes_back(tmp_path: Path) -> None:
    """The file in its place is ours."""
    policy, aside = tmp_path / "policy-rc.d", tmp_path / "policy-rc.d.found-by-qt-events"
    policy.write_text("left by the one that was cut short")
    aside.write_text("the machine's own")
    assert install(tmp_path, "true", "chromium") == 0
    assert policy.read_text() == "the machine's own"
    assert not aside.exists()


def test_postgresqls_package_is_told_to_make_no_cluster(tmp_path: Path) -> None:
    """Tests make servers of their own; the note stays, because the package takes the file over."""
    clusters = tmp_path / "etc" / "createcluster.conf"
    assert (
        install(tmp_path, f"grep -qx 'create_main_cluster = false' {clusters}", "postgresql") == 0
    )
    assert clusters.exists()


@pytest.mark.parametrize(("apt_get", "status"), [("true", 0), ("exit 7", 7)])
def test_what_the_machine_says_of_clusters_is_there_again(
    tmp_path: Path, apt_get: str, status: int
) -> None:
    """PostgreSQL's common files, where they were set up before, are restored."""
    clusters = tmp_path / "etc" / "createcluster.conf"
    clusters.parent.mkdir()
    clusters.write_text("start_conf = 'manual'\n")
    assert install(tmp_path, apt_get, "postgresql") == status
    assert clusters.read_text() == "start_conf = 'manual'\n"
    assert [entry.name for entry in clusters.parent.iterdir()] == [clusters.name]
