"""docker-compose.yml and the Dockerfile, run by a real Docker engine: `make compose-test`.

engine.py          the engine and Docker Compose, new enough
base_images.py     stand-ins, made from Debian, for images that the engine does not have
stand_ins/         their entrypoints
wheels.py          what the image's build installs, downloaded by this machine's pip
project.py         Docker Compose on a project of the test's own
in_docker.py       the tests; only a path that names this file collects them
"""
