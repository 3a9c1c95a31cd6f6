FROM python:3.11.13-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The base image's pip installs into it, so it has none of its own.
RUN python -m venv --without-pip /opt/qt-events
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pytest_qt_events ./pytest_qt_events
COPY qt_events ./qt_events
RUN pip --python /opt/qt-events/bin/python install -c constraints.txt '.[flower,trader,postgresql]'

# The image that runs holds the installed library, without its sources, and no pip.
FROM python:3.11.13-slim-bookworm

# Nothing can write it while it runs: the modules of workers/ are compiled here.
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/app PATH=/opt/qt-events/bin:$PATH
RUN pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
 && useradd --create-home --uid 10001 qt
COPY --from=build /opt/qt-events /opt/qt-events
WORKDIR /app
# No part of the wheel. Python and Celery import both from the folder in which they are started.
COPY celeryconfig.py ./
COPY workers ./workers
RUN python -m compileall -q .

USER qt
CMD ["celery", "-A", "workers", "worker", "--loglevel=INFO", "-E", "--hostname=worker@%h"]
