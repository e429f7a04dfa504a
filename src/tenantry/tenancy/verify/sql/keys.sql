-- Unique keys, exclusion constraints and other indexes of the tables that have the tenant's column.
-- In psql: set verify.tenant_column = 'tenant_id'; \i keys.sql
select
    i.indrelid::bigint as relation,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as relation_name,
    pg_catalog.format('%I.%I', n.nspname, x.relname) as name,
    k.conname::text as constraint_name,
    i.indisunique as is_unique,
    i.indisprimary as is_primary,
    coalesce(k.contype = 'x', false) as is_exclusion,
    a.attnum = any(i.indkey::smallint[]) as has_tenant,
    coalesce(i.indkey[0] = a.attnum, false) as is_led_by_tenant,
    exists (
        select from pg_catalog.pg_attribute as b
        where b.attrelid = c.oid and b.attnum = any(i.indkey::smallint[]) and b.atttypid = 'uuid'::regtype
    ) as has_uuid,
    exists (
        select from pg_catalog.pg_constraint as f
        where f.contype = 'f' and f.conrelid = c.oid and f.conkey[1] = i.indkey[0]
    ) as serves_reference,
    array(
        select f.conname::text from pg_catalog.pg_constraint as f where f.contype = 'f' and f.conindid = i.indexrelid
    ) as referenced_by,
    pg_catalog.pg_get_indexdef(i.indexrelid) as definition,
    coalesce(pg_catalog.pg_get_constraintdef(k.oid), '') as constraint_definition,
    array(
        select pg_catalog.quote_ident(b.attname)
        from pg_catalog.unnest(i.indkey::smallint[]) with ordinality as u (number, place)
        inner join pg_catalog.pg_attribute as b on b.attrelid = c.oid and b.attnum = u.number
        where u.place <= i.indnkeyatts
        order by u.place
    ) as columns
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
inner join pg_catalog.pg_class as c on c.oid = i.indrelid and c.relkind in ('r', 'p') and not c.relispartition
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
inner join pg_catalog.pg_attribute as a
    on
        a.attrelid = c.oid and not a.attisdropped
        and a.attname = coalesce(nullif(pg_catalog.current_setting('verify.tenant_column', true), ''), 'tenant_id')
left join pg_catalog.pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u', 'x')
order by n.nspname, c.relname, x.relname;
