FROM python:3.11.13-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/qt-events
ENV PATH=/opt/qt-events/bin:$PATH
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pytest_qt_events ./pytest_qt_events
COPY qt_events ./qt_events
COPY workers ./workers
RUN pip install -c constraints.txt '.[flower,trader,postgresql]'

# What runs has neither the sources nor what was needed to build them.
FROM python:3.11.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 PATH=/opt/qt-events/bin:$PATH
RUN useradd --create-home --uid 10001 qt
COPY --from=build /opt/qt-events /opt/qt-events
WORKDIR /app
# Not a part of the wheel: Celery finds it in the folder that it is started in.
COPY celeryconfig.py ./

USER qt
CMD ["celery", "-A", "workers", "worker", "--loglevel=INFO", "-E", "--hostname=worker@%h"]
