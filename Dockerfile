FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# A named volume takes the owner of the folder that it covers.
RUN useradd --create-home --uid 10001 qt && install -d -o qt -g qt /var/lib/flower
WORKDIR /app

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY qt_events ./qt_events
COPY workers ./workers
RUN pip install -c constraints.txt '.[flower]'
# Not a part of the wheel: Celery finds it in the folder that it is started in.
COPY celeryconfig.py ./

USER qt
CMD ["celery", "-A", "workers", "worker", "--loglevel=INFO", "-E"]
