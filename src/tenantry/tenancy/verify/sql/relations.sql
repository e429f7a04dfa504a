-- Every table, partition, view, materialized view, foreign table and sequence outside the system's schemas, and what the role may do with it.
-- In psql: set verify.role = 'platform'; set verify.tenant_column = 'tenant_id'; \i relations.sql
with me as (
    select r.oid, r.rolname from pg_catalog.pg_roles as r
    where r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform')
),

things as (
    select
        c.*, n.nspname, me.oid as me, me.rolname as my_name, a.attnum as tenant_number, a.attnotnull as tenant_not_null,
        pg_catalog.format_type(a.atttypid, a.atttypmod) as tenant_type
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    cross join me
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = c.oid and not a.attisdropped
            and a.attname = coalesce(nullif(pg_catalog.current_setting('verify.tenant_column', true), ''), 'tenant_id')
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)

select
    t.oid::bigint as oid,
    t.nspname::text as schema,
    pg_catalog.format('%I.%I', t.nspname, t.relname) as name,
    t.relkind::text as kind,
    pg_catalog.pg_get_userbyid(t.relowner)::text as owner,
    t.relowner = t.me as is_own,
    t.relrowsecurity as has_rls,
    t.relforcerowsecurity as is_forced,
    (
        select pg_catalog.format('%I.%I', pn.nspname, pc.relname)
        from pg_catalog.pg_inherits as i
        inner join pg_catalog.pg_class as pc on pc.oid = i.inhparent
        inner join pg_catalog.pg_namespace as pn on pn.oid = pc.relnamespace
        where i.inhrelid = t.oid
        limit 1
    ) as parent,
    pg_catalog.has_schema_privilege(t.me, t.relnamespace, 'usage') as has_schema,
    case
        when t.relkind = 'S' then array(
            select p from pg_catalog.unnest(array['usage', 'select', 'update']) as p where pg_catalog.has_sequence_privilege(t.me, t.oid, p)
        )
        else array(
            select p
            from pg_catalog.unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as p
            where case
                when p in ('select', 'insert', 'update', 'references')
                    then pg_catalog.has_table_privilege(t.me, t.oid, p) or pg_catalog.has_any_column_privilege(t.me, t.oid, p)
                else pg_catalog.has_table_privilege(t.me, t.oid, p)
            end
        )
    end as reach,
    -- Privileges on the whole table, apart from those on some columns.
    array(
        select p
        from pg_catalog.unnest(array['select', 'insert', 'update', 'delete']) as p
        where t.relkind <> 'S' and pg_catalog.has_table_privilege(t.me, t.oid, p)
    ) as whole_reach,
    t.tenant_type,
    coalesce(t.tenant_not_null, false) as is_tenant_required,
    (
        select pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        from pg_catalog.pg_attrdef as d
        where d.adrelid = t.oid and d.adnum = t.tenant_number
    ) as tenant_default,
    coalesce(t.reloptions::text ~* 'security_invoker=(true|on|1|yes)', false) as is_invoker,
    exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = t.oid and d.deptype = 'e'
    ) as is_of_extension,
    -- What a view reads, directly.
    array(
        select distinct pg_catalog.format('%I.%I', bn.nspname, b.relname)
        from pg_catalog.pg_rewrite as r
        inner join pg_catalog.pg_depend as d on d.objid = r.oid and d.classid = 'pg_catalog.pg_rewrite'::regclass
        inner join pg_catalog.pg_class as b on b.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
        inner join pg_catalog.pg_namespace as bn on bn.oid = b.relnamespace
        where t.relkind in ('v', 'm') and r.ev_class = t.oid and b.oid <> t.oid
    ) as reads,
    array(
        select r.rulename::text from pg_catalog.pg_rewrite as r
        where r.ev_class = t.oid and r.ev_type <> '1' and t.relkind in ('r', 'p')
    ) as rules,
    -- The column that a serial's sequence feeds: table, then column.
    (
        select array[pg_catalog.format('%I.%I', sn.nspname, s.relname), pg_catalog.quote_ident(a.attname)]
        from pg_catalog.pg_depend as d
        inner join pg_catalog.pg_class as s on s.oid = d.refobjid
        inner join pg_catalog.pg_namespace as sn on sn.oid = s.relnamespace
        inner join pg_catalog.pg_attribute as a on a.attrelid = s.oid and a.attnum = d.refobjsubid
        where t.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::regclass and d.objid = t.oid and d.deptype = 'a'
        limit 1
    ) as feeds,
    exists (
        select from pg_catalog.pg_index as i
        where i.indrelid = t.oid and i.indkey[0] = t.tenant_number and i.indisvalid
    ) as has_tenant_index,
    -- Columns that the role may select without having all of them.
    array(
        select a.attname::text || ':' || p
        from pg_catalog.pg_attribute as a
        cross join pg_catalog.unnest(array['select', 'insert', 'update']) as p
        where
            t.nspname in ('public', 'tenantry') and t.relkind in ('r', 'p') and a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
            and pg_catalog.has_column_privilege(t.me, t.oid, a.attnum, p) and not pg_catalog.has_table_privilege(t.me, t.oid, p)
    ) as column_reach,
    array(
        select pg_catalog.quote_ident(a.attname)
        from pg_catalog.pg_attribute as a
        where t.relkind <> 'S' and a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    ) as columns
from things as t
order by t.nspname, t.relname;
