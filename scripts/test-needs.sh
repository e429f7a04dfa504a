#!/usr/bin/env bash
# What the tests need beside Python: Debian's PostgreSQL and PgBouncer. Installs what is missing where it may.
set -euo pipefail
missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql postgresql-contrib)
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
[ ${#missing[@]} = 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "The tests need: ${missing[*]}. Install them with this machine's package manager." >&2
  exit 2
fi
sudo=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { echo "The tests need: ${missing[*]}. Run: sudo apt-get install ${missing[*]}" >&2; exit 2; }
  sudo=(sudo)
fi
echo "Installing ${missing[*]}" >&2
"${sudo[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
