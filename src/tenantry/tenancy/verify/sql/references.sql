-- Foreign keys between tables that both have the tenant's column.
-- In psql: set verify.tenant_column = 'tenant_id'; \i references.sql
with tenants as (
    select a.attrelid, a.attnum, pg_catalog.quote_ident(a.attname) as name
    from pg_catalog.pg_attribute as a
    where not a.attisdropped and a.attname = coalesce(nullif(pg_catalog.current_setting('verify.tenant_column', true), ''), 'tenant_id')
)

select
    f.oid::bigint as oid,
    f.conname::text as name,
    f.conrelid::bigint as child,
    pg_catalog.format('%I.%I', cn.nspname, c.relname) as child_name,
    f.confrelid::bigint as parent,
    pg_catalog.format('%I.%I', pn.nspname, p.relname) as parent_name,
    ct.attnum = any(f.conkey) and pt.attnum = any(f.confkey) as has_tenant,
    -- Is there a unique key of (tenant, referenced columns) that a composite key could point at?
    exists (
        select from pg_catalog.pg_index as i
        where
            i.indrelid = p.oid and i.indisunique and i.indpred is null and i.indexprs is null
            and (i.indkey::smallint[])[0 : i.indnkeyatts - 1] @> (array[pt.attnum] || f.confkey)
            and (array[pt.attnum] || f.confkey) @> (i.indkey::smallint[])[0 : i.indnkeyatts - 1]
    ) as has_target,
    array(
        select pg_catalog.quote_ident(a.attname) from pg_catalog.unnest(f.conkey) with ordinality as k (number, place)
        inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum = k.number order by k.place
    ) as columns,
    array(
        select pg_catalog.quote_ident(a.attname) from pg_catalog.unnest(f.confkey) with ordinality as k (number, place)
        inner join pg_catalog.pg_attribute as a on a.attrelid = p.oid and a.attnum = k.number order by k.place
    ) as parent_columns,
    ct.name as tenant,
    f.confdeltype::text as on_delete,
    f.confupdtype::text as on_update,
    f.convalidated as is_validated
from pg_catalog.pg_constraint as f
inner join pg_catalog.pg_class as c on c.oid = f.conrelid
inner join pg_catalog.pg_namespace as cn on cn.oid = c.relnamespace
inner join pg_catalog.pg_class as p on p.oid = f.confrelid
inner join pg_catalog.pg_namespace as pn on pn.oid = p.relnamespace
inner join tenants as ct on ct.attrelid = c.oid
inner join tenants as pt on pt.attrelid = p.oid
where f.contype = 'f' and f.conparentid = 0
order by 4, 2;
