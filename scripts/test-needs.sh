#!/usr/bin/env bash
# What the tests need beside Python: Debian's PostgreSQL and PgBouncer, Node, and the stock clients. Installs what is missing where it may.
set -euo pipefail
cd "$(dirname "$0")/.."
packages() { # of one folder, unless they are there and as new as its lock
  local stamp=$1/node_modules/.package-lock.json
  [ "$stamp" -nt "$1/package-lock.json" ] || (cd "$1" && npm ci "${@:2}" --no-audit --no-fund --silent && touch node_modules/.package-lock.json)
}
new_front_end() { # the packages of `tenantry new --web`, by the very files that it writes
  local from=src/tenantry/cli/templates/web/web to=tests/cli/web name
  mkdir -p "$to"
  for name in package.json package-lock.json; do
    sed 's/NAME/desk/' "$from/$name.txt" | cmp -s - "$to/$name" || sed 's/NAME/desk/' "$from/$name.txt" >"$to/$name"
  done
  packages "$to"
}
clients() {
  packages tests/clients
  packages tests/clients/trpc
  packages tests/typescript
  packages tests/pm2
  packages examples/saas/web --legacy-peer-deps
  new_front_end
  packages tests/auth/kit --legacy-peer-deps # next-auth asks for a React that it does not need here
}
missing=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql postgresql-contrib)
command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
command -v psql >/dev/null || missing+=(postgresql-client)
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=(chromium)
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime) # the drill of the clock
command -v promtool >/dev/null || missing+=(prometheus)
if [ ${#missing[@]} = 0 ]; then
  clients
  exit 0
fi
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
clients
