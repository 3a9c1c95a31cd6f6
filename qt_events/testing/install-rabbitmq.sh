#!/bin/sh
# Installs Debian's rabbitmq-server, as root, without starting any service. Usage: install-rabbitmq.sh POLICY_FILE
# POLICY_FILE is /usr/sbin/policy-rc.d: what Debian's maintainer scripts ask before they start or stop a service.
set -eu
policy=$1
found=$policy.found-by-qt-events

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

placed=
restore() {
  [ -z "$placed" ] || rm -f "$policy"
  ! is_there "$found" || mv -f "$found" "$policy"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# A rename keeps owner, mode, times and a link as they are. One set aside already is from an install that was cut short:
# the file now in its place is ours.
if is_there "$policy" && ! is_there "$found"; then mv "$policy" "$found"; fi
placed=yes
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

had_epmd=; ! command -v epmd >/dev/null || had_epmd=yes
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends rabbitmq-server

# Nor at the next boot: whoever installs a package for its tests has not asked for a broker on port 5672.
if command -v systemctl >/dev/null; then
  systemctl disable rabbitmq-server.service
  [ -n "$had_epmd" ] || systemctl disable epmd.service epmd.socket
elif command -v update-rc.d >/dev/null; then
  update-rc.d rabbitmq-server disable
fi
