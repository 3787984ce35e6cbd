#!/bin/sh
# Installs those of PostgreSQL, Redis and RabbitMQ that this machine lacks, as
# Debian packages. What it installs is not started: the tests start their own.
set -eu

missing=
lacks() { # package, programs: any of them will do
	package=$1
	shift
	for program in "$@"; do
		if command -v "$program" >/dev/null 2>&1; then return; fi
	done
	missing="$missing $package"
}
lacks postgresql postgres /usr/lib/postgresql/*/bin/postgres
lacks redis-server redis-server
lacks rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
[ -n "$missing" ] || exit 0

how="install them, or: docker compose up -d"
if ! command -v apt-get >/dev/null 2>&1; then
	echo "not installed:$missing; $how" >&2
	exit 1
fi
root=
if [ "$(id -u)" != 0 ]; then
	root="sudo -n"
	if ! $root true 2>/dev/null; then
		echo "not installed:$missing; $how, or: sudo apt-get install$missing" >&2
		exit 1
	fi
fi

# This file asks Debian to start no service while packages are installed. One
# that is there already is somebody else's decision, and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$root rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 755 "$policy"
fi
echo "install$missing"
$root apt-get update -q -q
$root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	apt-get install -q -q -y --no-install-recommends $missing >/dev/null

# Nor shall they start with the machine.
if [ -d /run/systemd/system ]; then
	for package in $missing; do $root systemctl disable --quiet "$package" || true; done
fi
