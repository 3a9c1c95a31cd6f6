"""docker-compose.yml is valid and starts the right programs. Docker is not needed to check that."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from qt_events.events.cloudevents import MAX_BODY
from workers.fleet import commands

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_it_fits_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads(
        (files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text()
    )
    jsonschema.validators.validator_for(schema)(schema).validate(compose)


def test_the_broker_is_a_pinned_rabbitmq_4_with_management(compose: dict[str, Any]) -> None:
    assert re.fullmatch(
        r"rabbitmq:4\.\d+\.\d+-management", compose["services"]["rabbitmq"]["image"]
    )


@pytest.mark.parametrize("image", ["rabbitmq", "postgres"])
def test_images_are_pinned_to_a_patch_release(compose: dict[str, Any], image: str) -> None:
    assert re.fullmatch(rf"{image}:\d+\.\d+(\.\d+)?-\w+", compose["services"][image]["image"])


def test_the_commands_are_those_of_the_fleet(compose: dict[str, Any]) -> None:
    """`python -m workers fleet` and the containers run the same."""
    started = {
        name: service["command"]
        for name, service in compose["services"].items()
        if "command" in service
    }
    assert started == {
        "worker": commands.worker(),
        "feed": commands.feed(resume=True),
        "flower": commands.flower(),
    }


@pytest.mark.parametrize("program", ["worker", "feed", "flower"])
def test_programs_read_what_the_fleets_read_and_wait_for_their_servers(
    compose: dict[str, Any], program: str
) -> None:
    """The same variables, and RabbitMQ and PostgreSQL healthy before the first of them starts."""
    service = compose["services"][program]
    assert commands.environment("", "").keys() <= service["environment"].keys()
    assert "@rabbitmq:5672" in service["environment"]["CELERY_BROKER_URL"]
    assert service["environment"]["QT_DATABASE_URL"].startswith("postgresql://")
    for server in ("rabbitmq", "postgres"):
        assert service["depends_on"][server] == {"condition": "service_healthy"}


def test_the_feed_starts_the_workers_and_waits_for_none_of_them(compose: dict[str, Any]) -> None:
    """It waits for what they declare: Compose waits for each worker, and one may be held back."""
    assert compose["services"]["feed"]["depends_on"]["worker"] == {"condition": "service_started"}


def test_workers_can_be_scaled(compose: dict[str, Any]) -> None:
    """The service has nothing that exists only once, and its container's name makes the node's name
    unique."""
    worker = compose["services"]["worker"]
    assert worker.keys().isdisjoint({"container_name", "hostname", "ports", "volumes"})
    assert "--hostname=worker@%h" in worker["command"]


def test_flower_asks_the_management_api_with_a_slash_at_its_end(compose: dict[str, Any]) -> None:
    assert compose["services"]["flower"]["environment"]["FLOWER_BROKER_API"].endswith(
        "@rabbitmq:15672/api/"
    )


def test_every_service_that_goes_on_has_a_health_check_and_comes_back(
    compose: dict[str, Any],
) -> None:
    """The feed ends: started again, it would find its own data in the database."""
    lasting = {name: service for name, service in compose["services"].items() if name != "feed"}
    for service in lasting.values():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["restart"] == "unless-stopped"
    assert compose["services"]["feed"]["restart"] == "no"


def test_the_workers_health_check_looks_at_the_file_that_the_worker_keeps(
    compose: dict[str, Any],
) -> None:
    """It starts no Python; tests/integration/test_health_file.py runs it."""
    worker = compose["services"]["worker"]
    command = worker["healthcheck"]["test"][1]
    assert shlex.split(command)[:2] == ["find", worker["environment"]["QT_HEALTH_FILE"]]
    assert any(worker["environment"]["QT_HEALTH_FILE"].startswith(at) for at in worker["tmpfs"])


def test_one_service_builds_the_image_that_all_programs_share(compose: dict[str, Any]) -> None:
    """Several builds would race for its name; and no registry is asked for it."""
    programs = [compose["services"][name] for name in ("worker", "feed", "flower")]
    assert [("build" in each) for each in programs] == [True, False, False]
    assert {(each["image"], each["pull_policy"]) for each in programs} == {
        ("${QT_IMAGE:-qt-events:latest}", "never")
    }


def test_logs_of_every_service_are_rotated(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


@pytest.mark.parametrize("program", ["worker", "feed", "flower"])
def test_programs_can_write_nothing_but_temporary_files(
    compose: dict[str, Any], program: str
) -> None:
    service = compose["services"][program]
    assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])


def test_every_published_port_is_in_the_example(compose: dict[str, Any]) -> None:
    """A taken port stops `up`, so a reader must find the variable that changes it."""
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert VARIABLE.findall(port)[0][0] in EXAMPLE


def test_published_ports_are_reachable_from_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_nothing_secret_has_a_default(compose: dict[str, Any]) -> None:
    """Compose stops without a password and names the file that explains it."""
    given = VARIABLE.findall(json.dumps(compose))
    secret = {(name, kind) for name, kind, _ in given if re.search("USER|PASS|AUTH", name)}
    assert secret == {
        ("RABBITMQ_USER", ":-"),
        ("RABBITMQ_PASSWORD", ":?"),
        ("POSTGRES_PASSWORD", ":?"),
        ("FLOWER_BASIC_AUTH", ":?"),
    }
    assert all(".env.example" in text for _, kind, text in given if kind == ":?")


def test_the_example_gives_all_that_is_needed_on_ones_own_machine(compose: dict[str, Any]) -> None:
    """No other variables are there, no value that a URL could not hold, and not the user guest."""
    given = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if line and line[0] != "#")
    found = VARIABLE.findall(json.dumps(compose))
    assert (
        {name for name, kind, _ in found if kind == ":?"}
        <= given.keys()
        <= {name for name, _, _ in found}
    )
    assert all(re.fullmatch(r"[\w.~:-]*", value) for value in given.values())
    assert given["RABBITMQ_USER"] != "guest"


def test_the_command_for_ones_own_machine_is_the_documented_one() -> None:
    """The file itself and the page about Docker have it."""
    command = "docker compose --env-file .env.example up --build"
    for place in ("docker-compose.yml", ".env.example", "docs/docker.md"):
        assert command in (ROOT / place).read_text(), place


def test_a_file_with_passwords_of_ones_own_is_never_committed_nor_in_the_image() -> None:
    """`.env` is ignored, by git and by the build, which sees only what it lists."""
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"


def test_the_broker_takes_no_message_that_a_bus_would_not_read(compose: dict[str, Any]) -> None:
    """Both have the same limit."""
    targets = {
        each["target"]: each["source"] for each in compose["services"]["rabbitmq"]["configs"]
    }
    content = compose["configs"][targets["/etc/rabbitmq/conf.d/20-qt-events.conf"]]["content"]
    assert f"max_message_size = {MAX_BODY}\n" in content


@pytest.mark.parametrize("program", ["worker", "feed", "flower"])
def test_programs_can_get_no_privileges(compose: dict[str, Any], program: str) -> None:
    service = compose["services"][program]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_data_lives_in_named_volumes_that_are_declared(compose: dict[str, Any]) -> None:
    mounted = {
        v.split(":")[0]
        for service in compose["services"].values()
        for v in service.get("volumes", [])
    }
    assert mounted == set(compose["volumes"])


DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_is_built_from_files_that_the_build_may_see() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    seen = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    assert {name for line in copied for name in line.split()} == seen


def test_the_image_runs_a_worker_as_an_unprivileged_user_on_a_pinned_python() -> None:
    """Both stages on one base; the last USER before CMD is none that may do everything."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    user, command = re.findall(r"^(?:USER|CMD) (.+)$", DOCKERFILE, flags=re.MULTILINE)
    assert (user, json.loads(command)) == ("qt", commands.worker())


def test_the_image_has_what_flower_quantum_trader_and_postgresql_need() -> None:
    assert "'.[flower,trader,postgresql]'" in DOCKERFILE
