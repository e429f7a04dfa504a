"""Between two tests: every row that a test committed goes, every row that migrations made is as it was; in one statement.

Quicker than a new database, and safer than a transaction that is rolled back: commits are real, so that constraints at commit, events,
locks and several connections behave as they do in production. Where the schema itself was changed, the database is made anew instead.
"""

from __future__ import annotations

from typing import Any

_KEPT = "'migrations', 'protected', 'policies', 'grants', 'allowed_definer', 'allowed_replication', 'seal_key', 'event_ring'"
"""Of schema tenantry: what describes the schema, and what the running application goes by."""
TABLES = f"""
select c.oid::regclass::text
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not (n.nspname = 'tenantry' and c.relname in ({_KEPT}))
   and not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1
"""
_SHAPE = """
select sum(s.made)::text || ' ' || sum(s.n)::text
  from (
      select sum(c.xmin::text::bigint) as made, count(*) as n from pg_catalog.pg_class c
       where c.oid >= 16384 and c.relnamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname !~ '^pg_')
      union all select sum(a.xmin::text::bigint), count(*) from pg_catalog.pg_attribute a
                  join pg_catalog.pg_class c on c.oid = a.attrelid
                 where c.oid >= 16384 and c.relnamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname !~ '^pg_')
      union all select sum(p.xmin::text::bigint), count(*) from pg_catalog.pg_proc p where p.oid >= 16384
      union all select sum(p.xmin::text::bigint), count(*) from pg_catalog.pg_policy p
      union all select sum(k.xmin::text::bigint), count(*) from pg_catalog.pg_constraint k where k.oid >= 16384
      union all select sum(t.xmin::text::bigint), count(*) from pg_catalog.pg_trigger t where t.oid >= 16384
      union all select sum(n.xmin::text::bigint), count(*) from pg_catalog.pg_namespace n
  ) s
"""
_CLEAN = """
create function pg_temp.tenantry_clean() returns void language plpgsql
    set session_replication_role = replica   -- no trigger, no foreign key: the order does not matter
    set lock_timeout = '5s'
as $tenantry$
begin
    {steps}
end
$tenantry$
"""


class Cleaner:
    """Of one database, over a superuser's connection (autocommit) that stays open: what was there at first stands in temporary tables."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin
        admin.execute("set search_path = ''")
        steps: list[str] = []
        for number, (table,) in enumerate(admin.execute(TABLES).fetchall()):
            if admin.execute(f"select exists (select from {table})").fetchone()[0]:
                admin.execute(f"create temp table seed_{number} as table {table}")
                columns = self._columns(table)
                steps.append(
                    f"if exists (select from {table} t where not exists (select from pg_temp.seed_{number} s where s::text = t::text))"
                    f" or (select count(*) from {table}) <> (select count(*) from pg_temp.seed_{number}) then"
                    f" delete from {table};"
                    f" insert into {table} ({columns}) overriding system value select {columns} from pg_temp.seed_{number};"
                    " end if;"
                )
            else:
                steps.append(f"if exists (select from {table}) then delete from {table}; end if;")
        admin.execute("reset search_path")
        admin.execute(_CLEAN.replace("{steps}", "\n    ".join(steps)))
        self._shape = self._look()

    def _columns(self, table: str) -> str:
        row = self._admin.execute(
            "select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a"
            " where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''",
            (table,),
        ).fetchone()
        return str(row[0])

    def _look(self) -> str:
        return str(self._admin.execute(_SHAPE).fetchone()[0])

    def clean(self) -> bool:
        """Whether it is as it was at first; False where the schema was changed, or a row would not go: make a new database."""
        import psycopg

        try:
            if self._look() != self._shape:
                return False
            self._admin.execute("select pg_temp.tenantry_clean()")
        except psycopg.Error:
            return False
        return True
