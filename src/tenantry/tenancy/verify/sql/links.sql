-- Every foreign key: from which columns to which.
-- In psql: \i links.sql
select
    f.conname::text as name,
    f.conrelid::bigint as child,
    f.confrelid::bigint as parent,
    array(
        select a.attname::text from pg_catalog.unnest(f.conkey) with ordinality as k (number, place)
        inner join pg_catalog.pg_attribute as a on a.attrelid = f.conrelid and a.attnum = k.number order by k.place
    ) as columns,
    array(
        select a.attname::text from pg_catalog.unnest(f.confkey) with ordinality as k (number, place)
        inner join pg_catalog.pg_attribute as a on a.attrelid = f.confrelid and a.attnum = k.number order by k.place
    ) as parent_columns
from pg_catalog.pg_constraint as f
inner join pg_catalog.pg_class as c on c.oid = f.conrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where f.contype = 'f' and f.conparentid = 0 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 2, 1;
