#!/bin/sh
# Entrypoint of a stand-in for the image postgres. It makes a cluster in an empty volume, by
# POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB.
set -eu
data=/var/lib/postgresql/data
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }

mkdir -p "$data" /run/postgresql
chown postgres:postgres "$data" /run/postgresql
chmod 700 "$data"
if [ ! -s "$data/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" >/run/postgresql/password
  chown postgres:postgres /run/postgresql/password
  as_postgres initdb --username="$POSTGRES_USER" --pwfile=/run/postgresql/password \
    --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 "$data"
  rm /run/postgresql/password
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  # Reached by a socket alone until the database is there.
  as_postgres pg_ctl --pgdata="$data" --options="-c listen_addresses=''" --wait start
  [ "$POSTGRES_DB" = postgres ] || as_postgres createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  as_postgres pg_ctl --pgdata="$data" --mode=fast --wait stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
  "$@" -D "$data" -c listen_addresses='*'
