"""Base images for an engine that reaches no registry: stand-ins made from Debian.

An image that the engine has is used as it is. For others a stand-in is made, once, under a name of
its own; it has the name of the real image only while the test runs, so that nobody takes it for
that later. Its Debian is the one that has the nearest version of the program.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.compose.engine import DockerError, docker
from tests.compose.wheels import download
from tests.support.packages import install

ROOT = Path(__file__).parents[2]
_ENTRYPOINTS = Path(__file__).with_name("stand_ins")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class StandIn:
    """Recipe of one stand-in."""

    suite: str
    packages: str  #: names with commas between them
    dockerfile: str  #: on top of Debian with these packages


RECIPES = {
    "python": StandIn(
        "bookworm",
        "python3,python3-venv,ca-certificates",
        """
        RUN ln -s python3 /usr/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \\
         && cd /usr/share/python-wheels \\
         && python3 "$(echo pip-*.whl)/pip" install --no-index --find-links . pip
        # Without an index: a build on this image needs no network.
        RUN printf '[global]\\nno-index = true\\nfind-links = /opt/wheels\\n' >/etc/pip.conf
        COPY wheels /opt/wheels
        """,
    ),
    "rabbitmq": StandIn(
        "trixie",
        "rabbitmq-server",
        f"""
        ENV HOME=/var/lib/rabbitmq PATH=/usr/lib/rabbitmq/bin:{_PATH}
        # Every container would have the same cookie.
        RUN rm -f /var/lib/rabbitmq/.erlang.cookie \\
         && echo '[rabbitmq_management].' >/etc/rabbitmq/enabled_plugins
        COPY rabbitmq.sh /entrypoint.sh
        ENTRYPOINT ["sh", "/entrypoint.sh"]
        CMD ["rabbitmq-server"]
        """,
    ),
    "postgres": StandIn(
        "trixie",
        "postgresql",
        f"""
        ENV PATH=/usr/lib/postgresql/17/bin:{_PATH}
        COPY postgres.sh /entrypoint.sh
        # A fast shutdown, which does not wait for clients.
        STOPSIGNAL SIGINT
        ENTRYPOINT ["sh", "/entrypoint.sh"]
        CMD ["postgres"]
        """,
    ),
}


def named_images() -> list[str]:
    """Return the images that the Dockerfile and docker-compose.yml name."""
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    images = [each["image"] for each in services if "$" not in each["image"]]
    return sorted({*bases, *images})


@contextmanager
def base_images(work: Path) -> Iterator[list[str]]:
    """Give every named image to the engine for a while, and return a line for each.

    Args:
        work: folder for what is downloaded; it may stay for another run.
    """
    there = {name for name in named_images() if is_there(name)}
    lent = [name for name in named_images() if name not in there]
    try:
        for name in lent:
            docker("tag", stand_in_for(name, work), name)
        yield [
            f"{name}: {'the real one' if name in there else 'a stand-in'}"
            for name in [*there, *lent]
        ]
    finally:
        for name in lent:
            subprocess.run(["docker", "rmi", name], capture_output=True, check=False)


def is_there(image: str) -> bool:
    """Return True if the engine has the image."""
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def stand_in_for(image: str, work: Path) -> str:
    """Make a stand-in, as far as it is not there, and return its name."""
    program, _, tag = image.partition(":")
    recipe, name = RECIPES[program], f"qt-events-stand-in/{image}"
    debian = f"qt-events-stand-in/debian-{recipe.suite}:{program}"
    if not is_there(debian):
        make_debian(recipe, debian)
    context = work / program
    shutil.copytree(_ENTRYPOINTS, context, dirs_exist_ok=True)
    if program == "python":
        download(context / "wheels", ".".join(tag.split(".")[:2]))
    dockerfile = f"FROM {debian}\n{recipe.dockerfile}"
    docker(
        "build", "--quiet", "--tag", name, "--file", "-", str(context), given=dockerfile.encode()
    )
    return name


def make_debian(recipe: StandIn, name: str) -> None:
    """Import a minimal Debian with a recipe's packages."""
    if shutil.which("mmdebstrap") is None and (trouble := install(["mmdebstrap"])):
        message = f"stand-ins for images are made by mmdebstrap: {trouble}"
        raise DockerError(message)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={recipe.packages}"]
    made = subprocess.Popen(
        [*command, recipe.suite, "-", *mirrors()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with made:
        done = subprocess.run(
            ["docker", "import", "-", name], stdin=made.stdout, capture_output=True, check=False
        )
        said = made.stderr.read().decode(errors="replace") if made.stderr else ""
    if made.returncode or done.returncode:
        message = f"mmdebstrap {recipe.suite} {recipe.packages}: {said[-1500:]}{done.stderr!r}"
        raise DockerError(message)


def mirrors() -> list[str]:
    """Return this machine's own mirror of Debian; without one mmdebstrap takes its default."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(place.read_text() for place in places if place.is_file())
    found = re.findall(r"^(?:deb|URIs:)\s.*?(https?://\S*/debian/?)(?=\s|$)", text, re.MULTILINE)
    return found[:1]
