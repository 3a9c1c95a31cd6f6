#!/bin/sh
# Installs Debian packages, as root, without starting any service or making any database cluster.
# Usage: install-packages.sh POLICY_FILE CLUSTERS_FILE PACKAGE...
# POLICY_FILE is /usr/sbin/policy-rc.d: what Debian's maintainer scripts ask before they start or stop a service.
# CLUSTERS_FILE is /etc/postgresql-common/createcluster.conf: whether PostgreSQL's package makes a cluster.
set -eu
policy=$1 clusters=$2
shift 2

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

placed_policy= placed_clusters=
give_back() { # FILE PLACED
  [ -z "$2" ] || rm -f "$1"
  ! is_there "$1.found-by-qt-events" || mv -f "$1.found-by-qt-events" "$1"
}
restore() {
  give_back "$policy" "$placed_policy"
  give_back "$clusters" "$placed_clusters"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# A rename keeps owner, mode, times and a link as they are. One set aside already is from an install that was cut short:
# the file now in its place is ours.
set_aside() { # FILE
  ! is_there "$1" || is_there "$1.found-by-qt-events" || mv "$1" "$1.found-by-qt-events"
}

set_aside "$policy"
placed_policy=yes
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

case " $* " in *" postgresql "*)
  ! is_there "$clusters" || placed_clusters=yes
  set_aside "$clusters"
  mkdir -p "$(dirname "$clusters")"
  # Where there was none it stays, for the package takes it over; tests make clusters of their own.
  printf 'create_main_cluster = false\n' >"$clusters"
esac

had_epmd=; ! command -v epmd >/dev/null || had_epmd=yes
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"

# Nor at the next boot: whoever installs a package for its tests has not asked for a broker on port 5672.
case " $* " in *" rabbitmq-server "*)
  if command -v systemctl >/dev/null; then
    systemctl disable rabbitmq-server.service
    [ -n "$had_epmd" ] || systemctl disable epmd.service epmd.socket
  elif command -v update-rc.d >/dev/null; then
    update-rc.d rabbitmq-server disable
  fi
esac
