#!/bin/sh
# Entrypoint of a stand-in for the image rabbitmq:*-management. The server itself reads
# RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
export HOME=/var/lib/rabbitmq RABBITMQ_LOGS=-
exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$@"
