#!/usr/bin/env bash
# Tenantry as a peer of run.py, with all that is built switched on.
#   init    a database of its own (tenantry_bench) on the kit's server: Tenantry's migrations, and the kit's tenants and people
#   serve   the API on it, in the foreground
# From the environment: DATABASE_URL, ADMIN_DATABASE_URL; for serve also HOST, PORT, WORKERS, POOL_SIZE (run.py sets them).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
in_bench() { printf '%s/tenantry_bench' "${1%/*}"; }
export DATABASE_URL_OF_KIT=$DATABASE_URL
DATABASE_URL=$(in_bench "$DATABASE_URL")
export DATABASE_URL
cd "$root/examples/notes"
case ${1:-} in
  init)
    DATABASE_ADMIN_URL=$(in_bench "$ADMIN_DATABASE_URL")
    export DATABASE_ADMIN_URL
    psql -qX -v ON_ERROR_STOP=1 "$ADMIN_DATABASE_URL" -c 'drop database if exists tenantry_bench' -c 'create database tenantry_bench' 2>/dev/null
    "$root/.venv/bin/tenantry" db push
    psql -qX -v ON_ERROR_STOP=1 "$DATABASE_ADMIN_URL" -v people="$(wc -l <"$TOKENS_FILE")" -f "$here/target.sql"
    ;;
  serve)
    export TENANTRY_ENV=production TENANTRY_POOL_SIZE=${POOL_SIZE:-10}
    exec "$root/.venv/bin/tenantry" serve notes:app --host "${HOST:-127.0.0.1}" --port "$PORT" --workers "${WORKERS:-1}"
    ;;
  *)
    sed -n '2,5p' "$0" >&2
    exit 2
    ;;
esac
