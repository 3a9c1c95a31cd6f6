"""docker-compose.yml is well formed and starts what it should; there need not be a Docker to know that."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def services_that_run(compose: dict[str, Any], program: str) -> list[dict[str, Any]]:
    return [s for s in compose["services"].values() if s.get("command", [])[:4] == ["celery", "-A", "workers", program]]


def test_it_fits_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(compose)


def test_the_broker_is_a_pinned_rabbitmq_4_with_management(compose: dict[str, Any]) -> None:
    assert re.fullmatch(r"rabbitmq:4\.\d+\.\d+-management", compose["services"]["rabbitmq"]["image"])


@pytest.mark.parametrize("program", ["worker", "flower"])
def test_celery_runs_the_app_of_workers_once_the_broker_is_healthy(compose: dict[str, Any], program: str) -> None:
    [service] = services_that_run(compose, program)
    assert service["depends_on"] == {"rabbitmq": {"condition": "service_healthy"}}
    assert "@rabbitmq:5672" in service["environment"]["CELERY_BROKER_URL"]


def test_workers_send_the_events_that_flower_shows(compose: dict[str, Any]) -> None:
    [worker] = services_that_run(compose, "worker")
    assert "-E" in worker["command"]


def test_flower_asks_the_management_api_with_a_slash_at_its_end(compose: dict[str, Any]) -> None:
    [flower] = services_that_run(compose, "flower")
    [option] = [argument for argument in flower["command"] if argument.startswith("--broker_api=")]
    assert option.endswith("@rabbitmq:15672/api/")


def test_every_service_has_a_health_check_and_comes_back(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["restart"] == "unless-stopped"


def test_the_workers_health_check_asks_the_name_that_the_worker_has(compose: dict[str, Any]) -> None:
    [worker] = services_that_run(compose, "worker")
    assert "--hostname=worker@%h" in worker["command"]
    assert "worker@$$(hostname)" in shlex.split(worker["healthcheck"]["test"][1])


def test_published_ports_are_reachable_from_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_credentials_come_from_the_environment_with_guest_as_the_only_default(compose: dict[str, Any]) -> None:
    defaults = dict(VARIABLE.findall(json.dumps(compose)))
    secret = {name: default for name, default in defaults.items() if re.search("USER|PASS|AUTH", name)}
    assert secret == {"RABBITMQ_USER": "guest", "RABBITMQ_PASSWORD": "guest", "FLOWER_BASIC_AUTH": "guest:guest"}


def test_data_lives_in_named_volumes_that_are_declared(compose: dict[str, Any]) -> None:
    mounted = {v.split(":")[0] for service in compose["services"].values() for v in service.get("volumes", [])}
    assert mounted == set(compose["volumes"])


def test_the_image_is_built_from_files_that_the_build_may_see() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    seen = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert {name for line in copied for name in line.split()} == seen
