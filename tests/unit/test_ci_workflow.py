""".github/workflows/ci.yml fits its schema and covers what the project promises to run on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return loaded


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize(
    "schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"]
)
def test_it_fits_the_schema_of_github_workflows(schema: str) -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*checker, WORKFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_says_that_it_was_not_run() -> None:
    assert "has not been run" in WORKFLOW.read_text().partition("\nname:")[0]


@pytest.mark.parametrize("job", ["test", "wheel"])
def test_every_python_that_is_promised_is_tested(jobs: dict[str, Any], job: str) -> None:
    """The classifiers are the promise; the least of them is what `requires-python` asks for."""
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert jobs[job]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_the_suite_runs_on_the_rabbitmq_of_three_debians(jobs: dict[str, Any]) -> None:
    assert jobs["test"]["strategy"]["matrix"]["debian"] == ["bookworm", "trixie", "sid"]
    assert jobs["test"]["container"] == "debian:${{ matrix.debian }}"
    assert "make test RERUN=1" in commands(jobs["test"])
    assert "make check" in commands(jobs["check"])


def test_the_wheel_is_tried_without_a_checkout(jobs: dict[str, Any]) -> None:
    used = [step.get("uses", "").partition("@")[0] for step in jobs["wheel"]["steps"]]
    assert "actions/checkout" not in used
    assert "pip install dist/*.whl" in commands(jobs["wheel"])


def test_only_a_tag_is_released_and_only_after_everything_else(jobs: dict[str, Any]) -> None:
    release = jobs["release"]
    assert "refs/tags/v" in release["if"]
    assert {"check", "test", "wheel"} <= set(release["needs"])
    assert release["permissions"] == {"id-token": "write"}
    assert "password" not in str(release)


def test_make_targets_that_it_calls_are_there(jobs: dict[str, Any]) -> None:
    called = {
        name
        for job in jobs.values()
        for name in re.findall(r"^make (\w+)", commands(job), re.MULTILINE)
    }
    there = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert called == {"check", "test"}
    assert called <= there
