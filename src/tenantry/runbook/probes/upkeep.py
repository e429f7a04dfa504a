"""What wears out in a database: statistics, transaction ids, slots, sequences, indexes, checksums, collations. As `tenantry_ops`."""

from __future__ import annotations

from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place, Refusal

TENANT_INDEX_SQL = """
select c.oid::regclass::text as table_name, a.attname::text as column_name, greatest(c.reltuples, 0)::float8 as rows
  from pg_catalog.pg_class c
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
 where c.relkind in ('r', 'p') and c.relrowsecurity and not c.relispartition
   and not exists (select from pg_catalog.pg_index i
                    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indkey[0] = a.attnum)
 order by 3 desc limit 50
"""
FOREIGN_KEY_SQL = """
select k.conrelid::regclass::text as table_name, k.conname::text as name, greatest(c.reltuples, 0)::float8 as rows,
       (select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by w.n)
          from pg_catalog.unnest(k.conkey) with ordinality as w (attnum, n)
          join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = w.attnum) as columns
  from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid
 where k.contype = 'f' and k.conparentid = 0 and not exists (select from pg_catalog.pg_index i
        where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
          and (i.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1] @> k.conkey)
 order by 3 desc limit 50
"""
INVALID_SQL = """
select i.indexrelid::regclass::text as index_name, i.indrelid::regclass::text as table_name
  from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
 where not i.indisvalid and c.relkind = 'i'
   and not exists (select from pg_catalog.pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
 order by 1 limit 50
"""
"""Of CREATE INDEX CONCURRENTLY that failed; one that is being built is none."""

TABLES_SQL = """
select s.relid::regclass::text as table_name, s.n_live_tup as live, s.n_dead_tup as dead, s.n_mod_since_analyze as changed,
       extract(epoch from pg_catalog.clock_timestamp() - greatest(s.last_analyze, s.last_autoanalyze, pg_catalog.pg_postmaster_start_time()))::float8 as analyzed_ago,
       extract(epoch from pg_catalog.clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum, pg_catalog.pg_postmaster_start_time()))::float8 as vacuumed_ago,
       coalesce(c.reloptions @> array['autovacuum_enabled=false'] or c.reloptions @> array['autovacuum_enabled=off'], false)
           or pg_catalog.current_setting('autovacuum') = 'off' as is_left_alone,
       coalesce(s.seq_scan, 0) as seq_scans, case when s.seq_scan > 0 then s.seq_tup_read / s.seq_scan else 0 end as rows_a_scan
  from pg_catalog.pg_stat_user_tables s join pg_catalog.pg_class c on c.oid = s.relid
 order by s.n_mod_since_analyze desc limit 200
"""
AGES_SQL = """
select pg_catalog.age(d.datfrozenxid)::float8 / 2000000000 as xid_share, pg_catalog.mxid_age(d.datminmxid)::float8 / 2000000000 as mxid_share,
       d.datcollversion as collation_then, pg_catalog.pg_database_collation_actual_version(d.oid) as collation_now,
       (select pg_catalog.sum(s.checksum_failures) from pg_catalog.pg_stat_database s)::float8 as checksum_failures,
       (select pg_catalog.max(s.checksum_last_failure)::text from pg_catalog.pg_stat_database s) as checksum_last
  from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
"""
SLOTS_SQL = """
select s.slot_name::text as slot, s.active, s.wal_status,
       case when pg_catalog.pg_is_in_recovery() then 0 else pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn) end::float8 as behind_bytes
  from pg_catalog.pg_replication_slots s
 order by 4 desc nulls last limit 50
"""


async def _indexes(place: Place) -> Look:
    tenant = await place.ask("ops", TENANT_INDEX_SQL)
    keys = await place.ask("ops", FOREIGN_KEY_SQL)
    invalid = await place.ask("ops", INVALID_SQL)
    lines = [f"{r['table_name']}: no index begins with {r['column_name']} ({r['rows']:.0f} rows)" for r in tenant]
    lines += [f"{r['table_name']}: no index for {r['name']} ({r['columns']})" for r in keys]
    lines += [f"{r['table_name']}: {r['index_name']} is invalid" for r in invalid]
    return Look({"tenant": tenant, "keys": keys, "invalid": invalid}, "\n".join(lines) or "none is missing or invalid")


async def _tables(place: Place) -> Look:
    rows = await place.ask("ops", TABLES_SQL)
    lines = [
        f"{r['table_name']}: {r['live']} rows, {r['dead']} dead, {r['changed']} changed since ANALYZE" for r in rows[:8]
    ]
    return Look({"tables": rows}, "\n".join(lines) or "no table has statistics yet")


async def _ages(place: Place) -> Look:
    (row,) = await place.ask("ops", AGES_SQL)
    slots = await place.ask("ops", SLOTS_SQL)
    words = (
        f"{row['xid_share']:.1%} of transaction ids used, {row['mxid_share']:.1%} of multixacts; checksum failures {row['checksum_failures'] or 0:.0f}; "
        f"collation {row['collation_then'] or '-'} (library: {row['collation_now'] or '-'})"
    )
    lines = [
        f"slot {s['slot']}: {'active' if s['active'] else 'inactive'}, {(s['behind_bytes'] or 0) / 1e6:.0f} MB behind"
        for s in slots
    ]
    return Look({**row, "slots": slots}, "\n".join([words, *lines]))


async def _sequences(place: Place) -> Look:
    rows = await place.ask(
        "ops", "select sequence, used from tenantry.sequences_used() order by 2 desc nulls last limit 50"
    )
    lines = [f"{row['sequence']}: {row['used'] or 0:.1%}" for row in rows[:8]]
    return Look({"sequences": rows}, "\n".join(lines) or "no sequence is in use")


async def _amcheck(place: Place) -> Look:
    """On demand, with a superuser and the extension, as far as three seconds go: biggest indexes first."""
    if not place.is_deep:
        why = "only on demand: tenantry doctor --deep"
        raise NotApplicable(why)
    there = await place.ask("superuser", "select 1 from pg_catalog.pg_extension where extname = 'amcheck'")
    if not there:
        why = "amcheck is not installed (psql -U postgres: create extension amcheck)"
        raise NotApplicable(why)
    wanted = await place.ask(
        "superuser",
        "select c.oid::int8 as oid, c.oid::regclass::text as name from pg_catalog.pg_class c join pg_catalog.pg_index i on i.indexrelid = c.oid"
        " join pg_catalog.pg_am m on m.oid = c.relam where m.amname = 'btree' and c.relkind = 'i' and c.relpersistence = 'p'"
        " and i.indisvalid order by c.relpages desc limit 20",
    )
    broken: list[dict[str, Any]] = []
    for row in wanted:
        try:
            await place.ask("superuser", "select public.bt_index_check($1::int8::oid::regclass)", [row["oid"]])
        except Refusal as refusal:
            if refusal.sqlstate not in ("XX002", "XX001"):
                raise
            broken.append({"name": row["name"], "words": refusal.words})
    return Look({"broken": broken, "looked": len(wanted)}, f"{len(wanted)} indexes checked, {len(broken)} broken")


INDEXES = Probe("indexes", "the three queries of docs/runbook/performance-degradation.md", _indexes)
TABLES = Probe("tables", "select * from pg_stat_user_tables", _tables)
AGES = Probe(
    "ages", "select age(datfrozenxid), datcollversion from pg_database; select * from pg_replication_slots", _ages
)
SEQUENCES = Probe("sequences", "select * from tenantry.sequences_used()", _sequences)
AMCHECK = Probe("amcheck", "psql -U postgres -c \"select bt_index_check('NAME')\"", _amcheck)
