"""Wheels that the image's build installs, downloaded by this machine's pip and its settings.

A build on an engine without a network can use them, and no address of an index or password of one
gets into an image.
"""

import hashlib
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.compose.engine import DockerError

ROOT = Path(__file__).parents[2]
#: Extras that the Dockerfile names.
EXTRAS = ("flower", "trader", "postgresql")
_TAGS = ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_28", "manylinux_2_34")


def download(folder: Path, python: str) -> None:
    """Download into a folder all wheels for `python`, such as 3.11; once for one set of pins."""
    stamp = folder / ".pins"
    pins = hashlib.sha256(
        b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
        + python.encode()
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == pins:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    machine = platform.machine()
    platforms = [f"--platform={tag}_{machine}" for tag in _TAGS]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"),
        *(f"--python-version={python}", *platforms, f"--dest={folder}"),
        *("-c", str(ROOT / "constraints.txt"), *requirements()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"the wheels of the image cannot be downloaded: {done.stderr[-2000:]}"
        raise DockerError(message)
    stamp.write_text(pins)


def requirements() -> list[str]:
    """Return what the library, its extras in the image, and its build need."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    extras = [each for name in EXTRAS for each in project["optional-dependencies"][name]]
    return [*project["dependencies"], *extras, *described["build-system"]["requires"]]
