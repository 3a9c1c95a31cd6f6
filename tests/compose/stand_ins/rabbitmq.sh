#!/bin/sh
# Entrypoint of a stand-in for the image rabbitmq:*-management. The server itself reads
# RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.
set -eu
cookie=$HOME/.erlang.cookie
# Made here, so that no health check of root's makes it first.
[ -s "$cookie" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$cookie")
chmod 400 "$cookie"
chown -R rabbitmq:rabbitmq "$HOME"
export RABBITMQ_LOGS=-
exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$@"
