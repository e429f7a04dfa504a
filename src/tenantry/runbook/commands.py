"""Every command of the runbook that Tenantry implements: whether it is right here, and what is right where it is not. Data alone.

A test runs those of psql, curl and the shell as they stand (host, password and service manager aside) on PostgreSQL 15 and 18, and
compares what they print with `expects`; the pages of docs/runbook are written from this.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Judgement = Literal["right", "wrong", "dangerous"]
By = Literal["psql", "curl", "shell", "pm2", "system"]

HEALTH, CONNECTION, RLS = "health-check-failures", "database-connection-issues", "rls-policy-violations"
AUTH, SLOW, MEMORY = "authentication-failures", "performance-degradation", "memory-leaks"
POOL, USEFUL = "connection-pool-exhaustion", "escalation-contacts"


class Typed(Struct, frozen=True):
    """One command as it is typed. `expects` is a regular expression over what it prints; empty where nothing can be compared."""

    section: str
    text: str
    by: By
    judgement: Judgement
    says: str
    expects: str = ""


API = "https://api.platform.com/trpc"
PSQL = "psql -U platform -d platform -c"

COMMANDS: tuple[Typed, ...] = (
    Typed(HEALTH, f"curl {API}/health.check | jq", "curl", "right", "`status`, and each check with its message.", r'"status": "healthy"'),
    Typed(HEALTH, f"curl {API}/health.check | jq '.checks.database'", "curl", "right", "The check alone: fields stand at the top level too.", r'"status": "up"'),
    Typed(HEALTH, f'{PSQL} "SELECT 1;"', "psql", "right", "One row. A stopped server never answers it: `tenantry doctor` has a deadline.", r"\b1\b"),
    Typed(HEALTH, f"""{PSQL} "
  SELECT COUNT(*) as active_connections
  FROM pg_stat_activity
  WHERE datname = 'platform';
\"""", "psql", "right", "Connections of this database, idle ones too; at least psql's own.", r"active_connections[\s\S]*\b[1-9]\d*\b"),
    Typed(HEALTH, "pm2 restart platform-api", "pm2", "right", "Clients wait; none is refused."),
    Typed(HEALTH, f"""{PSQL} "
  SELECT proname FROM pg_proc WHERE proname = 'get_current_tenant_id';
\"""", "psql", "wrong", "It finds one in any schema, and does not see a lost grant. Right: `select to_regprocedure('public.get_current_tenant_id()'), "
          "has_function_privilege('platform', 'public.get_current_tenant_id()', 'execute')`, or `tenantry doctor`.", r"get_current_tenant_id"),
    Typed(HEALTH, "cd /app && pnpm db:push", "system", "right", "The same as `tenantry db push`: applies migrations, and puts back what was changed."),

    Typed(CONNECTION, "sudo systemctl status postgresql", "system", "right", "Without systemd: `pg_lsclusters`. Our own server: `tenantry db status`."),
    Typed(CONNECTION, "sudo netstat -tulpn | grep 5432", "system", "right", "Where net-tools are not installed: `ss -ltnp | grep 5432`. Listening is not answering: a stopped server listens."),
    Typed(CONNECTION, "sudo tail -f /var/log/postgresql/postgresql-16-main.log", "system", "wrong", "It never ends, and names version 16. Right: `tail -n 50 /var/log/postgresql/*.log`, "
          "or `$TENANTRY_HOME/log` of our own server."),
    Typed(CONNECTION, "sudo systemctl start postgresql", "system", "right", "Our own server: `tenantry db start`. A full disk comes first: the log says."),
    Typed(CONNECTION, "sudo cat /etc/postgresql/16/main/pg_hba.conf", "system", "wrong", "The file may be another one, and what it holds may not be loaded, or faulty. Right: `select * from pg_hba_file_rules` "
          "(with its column `error`). The lines that it should include say `md5`: that is a fallback, the right method is `scram-sha-256`."),
    Typed(CONNECTION, "sudo systemctl reload postgresql", "system", "right", "Or `select pg_reload_conf();`; then look at `pg_hba_file_rules.error`."),
    Typed(CONNECTION, 'psql -U postgres -c "SHOW max_connections;"', "psql", "right", "The limit of the server; a role may have one of its own (`\\du`).", r"max_connections[\s\S]*\d+"),
    Typed(CONNECTION, """psql -U postgres -c "
  SELECT COUNT(*) FROM pg_stat_activity;
\"""", "psql", "wrong", "It counts PostgreSQL's own processes too: add `where backend_type = 'client backend'`, and group by who holds them.", r"\b[1-9]\d*\b"),
    Typed(CONNECTION, """psql -U postgres -c "
  SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
  WHERE state = 'idle'
  AND state_change < NOW() - INTERVAL '10 minutes';
\"""", "psql", "dangerous", "It ends every idle session of every database: healthy pools, other applications. Tenantry's own pool survives it without a failed request. "
          "Right: `tenantry doctor database-connection-issues` names the application that holds most, and `tenantry.terminate_unused(application, interval)` ends its.", r"pg_terminate_backend"),

    Typed(RLS, f"""{PSQL} "
  SELECT tablename, relrowsecurity
  FROM pg_tables t
  JOIN pg_class c ON c.relname = t.tablename
  WHERE tablename = 'users';
\"""", "psql", "wrong", "It joins by bare name, so that other schemas mix in, and does not show FORCE. Right: `select relrowsecurity, relforcerowsecurity from pg_class "
          "where oid = 'public.users'::regclass`.", r"users\s*\|\s*t"),
    Typed(RLS, f'{PSQL} "\\d users" | grep -A 10 "Policies"', "psql", "right", "Four policies, one a command, and those of sign-in; `(forced row security enabled)` stands beside.", r"Policies"),
    Typed(RLS, f"""{PSQL} "
  SELECT current_setting('app.current_tenant_id', true);
\"""", "psql", "right", "Empty: psql has entered no tenant. Whatever is set there by hand opens nothing; the sealed value of `tenantry.enter` does.", r"\(1 row\)"),
    Typed(RLS, "await sql.unsafe(`SELECT set_config('app.current_tenant_id', '${authContext.tenantId}', true)`);", "system", "dangerous",
          "SQL made of text, and a tenant that the application claims. Here the database resolves the credential, in the trip of the handler's own statement; there is nothing to call, or to forget."),
    Typed(RLS, f"""{PSQL} "
  SELECT COUNT(*) FROM pg_policies WHERE schemaname = 'public';
\"""", "psql", "wrong", "It prints 30 or more, and proves nothing: the right number depends on the tables. Right: `tenantry verify`, which compares each table's policies with those declared.", r"\b[3-9]\d\b|\b\d{3,}\b"),

    Typed(AUTH, "cat .env | grep AUTH_", "shell", "dangerous", "It puts secrets on the screen and into the scrollback. Right: `tenantry settings | grep AUTH_`.", r"AUTH_SECRET="),
    Typed(AUTH, f"""{PSQL} "
  SELECT COUNT(*) FROM auth_sessions
  WHERE expires > NOW();
\"""", "psql", "right", "Live sessions: of each row platform may read when it expires, and nothing else.", r"count[\s\S]*\d+"),
    Typed(AUTH, "curl -I https://accounts.google.com/.well-known/openid-configuration", "system", "wrong", "HEAD, which a provider may refuse. Right: `curl -s …` and look at `.issuer`; the doctor also tries the credentials."),
    Typed(AUTH, "openssl rand -base64 32", "shell", "right", "32 random bytes. `tenantry secret rotate` makes one and puts it in place.", r"^[A-Za-z0-9+/]{43}=$"),
    Typed(AUTH, 'echo "AUTH_SECRET=<new-secret>" >> .env', "shell", "wrong", "A second line, of which the last counts; what is under way with the old one ends. Right: `tenantry secret rotate`. The doctor reports the double."),
    Typed(AUTH, f"""{PSQL} "
  DELETE FROM auth_sessions WHERE expires < NOW();
\"""", "psql", "right", "Live ones cannot be deleted so, whatever the condition says. In batches: `tenantry.purge_sessions(1000)`, which `--fix` runs.", r"DELETE \d+"),

    Typed(SLOW, f"curl {API}/health.metrics | jq '.metrics | to_entries[] | select(.key | contains(\"duration\"))'", "curl", "right", "Each histogram with p50, p95, p99. "
          "`api_request_duration_seconds` is in seconds.", r"duration"),
    Typed(SLOW, f"""{PSQL} "
  SELECT query, mean_exec_time, calls
  FROM pg_stat_statements
  ORDER BY mean_exec_time DESC
  LIMIT 10;
\"""", "psql", "wrong", "By mean it finds the rare report and not what costs most: order by `total_exec_time`, or `where calls >= 20`: `tenantry slow` does, and names each statement's procedure. Of other roles platform sees `<insufficient privilege>`.", r"mean_exec_time"),
    Typed(SLOW, "pm2 monit", "pm2", "right", "Of the process that PM2 started, not of the workers: `tenantry top` shows all, `tenantry profile` where their time goes."),
    Typed(SLOW, f"""{PSQL} "
  SELECT schemaname, tablename, attname
  FROM pg_stats
  WHERE schemaname = 'public'
  AND n_distinct > 100
  AND attname NOT IN (
    SELECT a.attname
    FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
  );
\"""", "psql", "wrong", "It compares column names over all tables, so that one index on any `tenant_id` hides all that are missing; as platform, pg_stats hides every table under row security. "
          "Right: `tenantry doctor performance-degradation`, and `tenantry slow --plan N --tenant SLUG` for what one statement wants.", r"\(\d+ rows?\)"),
    Typed(SLOW, f'{PSQL} "ANALYZE;"', "psql", "wrong", "Platform owns no table, so it skips all of them; as the owner it reads the whole database at its busiest hour. Right: `select tenantry.analyze('notes')`, which `--fix` runs for the table that wants it.", r"ANALYZE"),
    Typed(SLOW, "pm2 restart platform-api --max-memory-restart 500M", "pm2", "right", "Sets the limit on an app that had none; of workers see TENANTRY_MEMORY_LIMIT."),

    Typed(MEMORY, "pm2 list", "pm2", "right", "Status, restarts, and the memory of the supervisor."),
    Typed(MEMORY, 'pm2 logs platform-api --lines 100 | grep "Heap"', "pm2", "wrong", "It never ends: add `--nostream`. Each worker writes a `Heap` line a minute."),
    Typed(MEMORY, "node --heap-prof packages/api/dist/index.js", "system", "wrong", "It profiles a Node program, started anew. Right, of the worker that runs: `tenantry heap snapshot`, later once more, then `tenantry heap compare`; `tenantry heap watch` names the lines."),
    Typed(MEMORY, f"""{PSQL} "
  SELECT COUNT(*), state
  FROM pg_stat_activity
  WHERE datname = 'platform'
  GROUP BY state;
\"""", "psql", "right", "Mostly idle is well; `idle in transaction` is the leak.", r"active"),

    Typed(POOL, f"""{PSQL} "
  SELECT COUNT(*) as connections, state
  FROM pg_stat_activity
  WHERE datname = 'platform'
  GROUP BY state;
\"""", "psql", "right", "As above.", r"connections[\s\S]*active"),
    Typed(POOL, 'psql -p 6432 -U postgres pgbouncer -c "SHOW POOLS;"', "system", "right", "`cl_waiting` should be 0; the doctor asks where DATABASE_DIRECT_URL says that there is a pooler."),
    Typed(POOL, """psql -U postgres -c "
  SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
  WHERE datname = 'platform'
  AND state = 'idle'
  AND state_change < NOW() - INTERVAL '5 minutes';
\"""", "psql", "dangerous", "Idle connections are healthy, and ending them frees nothing that the pool wants; Tenantry's survive it. Right: `tenantry.terminate_idle('5 minutes')`, which ends those idle in a transaction.", r"pg_terminate_backend"),
    Typed(POOL, "sudo apt-get install pgbouncer", "system", "right", "`pool_mode = transaction`; then DATABASE_URL leads to it and DATABASE_DIRECT_URL to the server."),
    Typed(POOL, "sudo systemctl restart pgbouncer", "system", "dangerous", "It cuts off every client. Right: `psql -p 6432 pgbouncer -c RELOAD`."),

    Typed(USEFUL, f"curl {API}/health.check", "curl", "right", "200, or 503 with the reason.", r'"status":\s*"healthy"'),
    Typed(USEFUL, f"curl {API}/health.liveness", "curl", "right", "Touches nothing.", r'"alive":\s*true'),
    Typed(USEFUL, f"curl {API}/health.readiness", "curl", "right", "503 while draining, or without a database.", r'"ready":\s*true'),
    Typed(USEFUL, f"curl {API}/health.metrics", "curl", "right", "All figures as JSON.", r"api_requests_total"),
    Typed(USEFUL, "pm2 logs platform-api", "pm2", "wrong", "It never ends: `--lines 100 --nostream`."),
    Typed(USEFUL, f'{PSQL} "SELECT COUNT(*) FROM pg_stat_activity;"', "psql", "wrong", "PostgreSQL's own processes count too.", r"\b[1-9]\d*\b"),
    Typed(USEFUL, f'{PSQL} "SELECT * FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10;"', "psql", "right", "By total: what costs most. With the procedures' names: `tenantry slow`.", r"total_exec_time"),
    Typed(USEFUL, f"{PSQL} \"SELECT * FROM pg_stat_database WHERE datname = 'platform';\"", "psql", "right", "`checksum_failures` above 0 is corruption; `deadlocks`, `temp_bytes`.", r"platform"),
    Typed(USEFUL, f"{PSQL} \"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename IN (SELECT tablename FROM pg_policies);\"", "psql", "wrong",
          "By bare names, of whatever schema; that a table has a policy is no proof. Right: `tenantry verify`.", r"users"),
)  # fmt: skip
"""In the runbook's order, each once: `pm2 restart`, `pm2 list`, `pm2 monit` and `pnpm db:push` stand there several times."""
