"""More SQL through the API, by an adversary who has read ours: catalogues, casts that quote values, clauses of newer servers, our own tables.

Beside the lists: every function that `platform` may run, asked for the other tenant by its id, its people, its slug and its sessions.
"""

from __future__ import annotations

import itertools

from tests.attacks import test_injection as first
from tests.attacks.test_injection import Crime, nothing_leaks, the_next_tenant_is_itself
from tests.conftest import People

crime = first.crime


def singles(people: People) -> list[str]:
    b, owner = str(people.globex.id), str(people.globex.owner.user_id)
    return [
        # errors that quote a value: the condition must not run before the policy
        "select body from notes where body::int > 0",
        f"select body from notes where (case when tenant_id = '{b}' then body else '0' end)::int = 0",
        "select body from notes where body::json is not null",
        "select body from notes where body::xml is not null",
        f"select body from notes order by (case when tenant_id = '{b}' then body::int else 0 end)",
        "select max(body::date)::text from notes",
        "select body from notes group by body having max(body)::int > 0",
        "select body from notes where to_tsquery(body) is not null and body::regclass is not null",
        "select body from notes where body ~ ('(' || body)",
        "select (body::regrole)::text from notes",
        "select email::inet::text from auth_identities",
        "select email::int::text from users",
        f"select body::int::text from notes where tenant_id = '{b}'",
        # the same rows by other ways of writing
        "select n::text from notes n",
        "select to_jsonb(n)::text from notes n",
        "select body from notes tablesample system (100)",
        "select body from notes tablesample bernoulli (100) repeatable (1)",
        "select body from notes for update",
        "select body from notes for key share skip locked",
        "with recursive r as (select body, 1 as n from notes union all select body, n + 1 from r where n < 3) select body from r",
        "select b.body from notes a cross join lateral (select body from notes x where x.tenant_id <> a.tenant_id) b",
        "select lag(body) over (order by tenant_id) from notes",
        "select (array_agg(body order by tenant_id desc))[1] from notes",
        "select string_agg(body, ',') filter (where true) from notes group by rollup (tenant_id)",
        "select body from notes where ctid = any (array(select format('(%s,%s)', p, i)::tid from generate_series(0, 9) p, generate_series(1, 99) i))",
        f"select body from notes where xmin::text <> '0' and tableoid = 'notes'::regclass and tenant_id = '{b}'",
        "select table_to_xml('notes', true, true, '')::text",
        "select schema_to_xml('public', true, true, '')::text",
        "select database_to_xml(true, true, '')::text",
        "select cursor_to_xml('c', 1, true, true, '')::text",
        # written, and given back
        f"update notes set body = body where tenant_id = '{b}' or true returning old.body",
        "update notes set body = body returning with (old as o, new as n) o.body",
        "delete from notes using notes o where o.tenant_id <> notes.tenant_id returning o.body",
        "update notes set body = o.body from notes o where o.tenant_id <> notes.tenant_id returning o.body",
        f"merge into notes n using notes o on true when matched and o.tenant_id = '{b}' then update set body = o.body returning o.body",
        "merge into notes n using (select gen_random_uuid() as i) s on n.id = s.i when not matched by source then delete returning body",
        f"insert into notes (tenant_id, body) values ('{b}', 'x') on conflict do nothing returning body",
        f"insert into notes (tenant_id, body) select tenant_id, body from notes union all select '{b}', 'x' returning body",
        f"insert into notes (tenant_id, body) overriding system value values ('{b}', 'x') returning body",
        # catalogues
        "select most_common_vals::text from pg_stats where most_common_vals is not null and schemaname = 'public'",
        "select stavalues1::text from pg_statistic",
        "select stxdmcv::text from pg_statistic_ext_data",
        "select most_common_vals::text from pg_stats_ext",
        "select query from pg_stat_activity where query like '%globex%'",
        "select statement from pg_cursors",
        "select parameter_types::text from pg_prepared_statements where statement like '%globex%'",
        "select setting from pg_settings where setting like '%globex%'",
        "select setconfig::text from pg_db_role_setting",
        "select subconninfo from pg_subscription",
        "select umoptions::text from pg_user_mapping",
        "select line_number::text from pg_hba_file_rules",
        "select sourcefile from pg_file_settings",
        "select gid from pg_prepared_xacts",
        "select objid::text from pg_locks where locktype = 'advisory'",
        "select description from pg_description where description like '%globex%'",
        "select label from pg_seclabels",
        "select data::text from pg_largeobject",
        "select pg_get_wal_summarizer_state()::text",
        "select pg_stat_file('PG_VERSION')::text",
        "select pg_read_binary_file('PG_VERSION')::text",
        "select pg_current_logfile()",
        "select name from pg_ls_logdir()",
        "select name from pg_ls_waldir()",
        "select name from pg_ls_tmpdir()",
        # our own tables
        "select encode(key_hash, 'hex') from auth_api_keys",
        "select row_to_json(k)::text from auth_api_keys k",
        f"select row_to_json(l)::text from audit_log l where tenant_id = '{b}'",
        "delete from audit_log returning 'x'",
        "update audit_log set action = 'x' returning 'x'",
        f"insert into audit_log (tenant_id, action) values ('{b}', 'forged') returning 'x'",
        "insert into tenantry.permission_grants select * from tenantry.permission_grants returning 'x'",
        "update tenantry.permissions set least = 'member' returning name",
        "update tenantry.fingerprints set facts = '{}' returning name",
        "delete from tenantry.fingerprints returning name",
        "delete from tenantry.migrations returning name",
        "update tenantry.migrations set sha256 = 'x' returning name",
        "insert into tenantry.allowed_definer values ('public.x()', 'x') returning function",
        "delete from tenantry.protected returning 'x'",
        "select mark from tenantry.auth_secrets",
        "delete from tenantry.auth_secrets returning mark",
        *[
            f"select t::text from {table} t where to_jsonb(t)::text like '%{b}%'"
            for table in ("tenantry.events", "tenantry.idempotency", "tenantry.idempotency_keys", "tenantry.watched_topics", "public.auth_invitations")
        ],
        # by name, path and settings
        "select pg_catalog.set_config('search_path', 'pg_temp', true)",
        "select set_config('debug_print_plan', 'on', true)",
        "select set_config('default_transaction_read_only', 'off', false)",
        "select set_config('transaction_read_only', 'off', true)",
        "select set_config('statement_timeout', '0', false)",
        "select set_config('plan_cache_mode', 'force_generic_plan', false)",
        "select set_config('log_statement', 'all', false)",
        "select set_config('session_preload_libraries', 'x', false)",
        f"select has_table_privilege('{owner}', 'notes', 'select')::text",
        "select dblink('dbname=postgres', 'select 1')::text",
        "select pg_replication_origin_create('x')::text",
        "select pg_create_physical_replication_slot('x')::text",
        "select pg_get_publication_tables('x')::text",
        "select pg_backup_start('x')::text",
        "select pg_promote()::text",
        "select pg_log_backend_memory_contexts(pid)::text from pg_stat_activity",
        "select pg_stat_reset()::text",
        "select pg_stat_reset_shared('bgwriter')::text",
        "select pg_clear_relation_stats('public', 'notes')::text",
        "select lo_import('/etc/passwd')::text",
        "select lo_put(1, 0, 'x')::text",
        "select pg_advisory_unlock_all()::text",
        "select setval('users_id_seq', 1)::text",
        "select currval('users_id_seq')::text",
        "select pg_sequence_last_value('users_id_seq')::text",
    ]  # fmt: skip


async def test_no_wider_statement_reaches_another_tenant(crime: Crime) -> None:
    crime.database.admin.execute("analyze")
    await nothing_leaks(crime, [(how, text) for text in singles(crime.people) for how in ("read", "write")])


_MAY = """
select p.oid::regproc::text, array(select format_type(t, null) from unnest(p.proargtypes::oid[]) t), p.proretset
  from pg_proc p
 where p.pronamespace = 'tenantry'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
   and has_function_privilege('platform', p.oid, 'execute')
 order by 1
"""


async def test_no_function_of_ours_answers_for_another_tenant(crime: Crime) -> None:
    """Each with every value of the other's that its parameters take; what is written must not be the other's."""
    people = crime.people
    b, person = people.globex, people.globex.owner
    session = crime.database.value("select id from auth_sessions where tenant_id = $1 limit 1", b.id)
    values = {
        "uuid": [f"'{b.id}'::uuid", f"'{person.user_id}'::uuid", f"'{session}'::uuid"],
        "text": ["'globex'", f"'{person.email}'", f"'{b.id}'", "'owner'"],
        "bytea": [f"'\\x{first.hashed(person.token)}'::bytea"],
        "interval": ["interval '1 day'"], "boolean": ["true"], "integer": ["1"], "bigint": ["1"], "jsonb": ["'{}'::jsonb"],
        "timestamp with time zone": ["now()"], "text[]": [f"array['globex', '{b.id}']"], "uuid[]": [f"array['{b.id}', '{person.user_id}']::uuid[]"],
        "regclass": ["'notes'::regclass"], "name": ["'globex'"], "inet": ["'127.0.0.1'::inet"],
    }  # fmt: skip
    tries: list[tuple[str, str | list[str]]] = []
    for name, types, _ in crime.database.admin.execute(_MAY).fetchall():
        for given in itertools.islice(itertools.product(*(values.get(one, [f"null::{one}"]) for one in types)), 12):
            tries.append(("write", f"select q::text from {name}({', '.join(given)}) q"))
    assert len(tries) > 60
    await nothing_leaks(crime, tries)


async def test_several_wider_statements_in_one_transaction_reach_no_other_tenant(crime: Crime) -> None:
    b = crime.people.globex
    token = crime.people.globex.owner.token
    entered = f"(tenantry.enter('\\x{first.hashed(token)}'::bytea)).tenant_id::text"
    chains: list[tuple[str, str | list[str]]] = [
        # a second enter by what may be known of the other's session, then the rows; the failure ends the transaction
        ("chain", [f"select {entered}", "select body from notes"]),
        (
            "chain",
            [
                "select body from notes",
                "savepoint s",
                "select body from notes",
                "rollback to s",
                "select body from notes",
            ],
        ),
        ("chain", ["select 1 / 0", "select body from notes"]),
        ("chain", [f"update notes set tenant_id = '{b.id}' returning body", "select body from notes"]),
        ("chain", ["select txid_current()::text", "select pg_current_xact_id()::text", "select body from notes"]),
        (
            "chain",
            [
                "set constraints all deferred",
                f"insert into notes (tenant_id, body) values ('{b.id}', 'x') returning body",
            ],
        ),
        ("chain", ["declare c cursor with hold for select body from notes", "commit", "fetch all from c"]),
        ("chain", ["prepare p as select body from notes", "execute p", "deallocate p"]),
    ]
    await nothing_leaks(crime, chains)
    await the_next_tenant_is_itself(crime)
