-- The columns of tables, as needed to make a row: type, default, identity, the values that constraints name.
-- In psql: \i columns.sql
select
    c.oid::bigint as relation,
    a.attname::text as name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
    pg_catalog.format_type(case when t.typtype = 'd' then t.typbasetype else t.oid end, null) as base_type,
    case when a.atttypmod > 4 and t.typname in ('varchar', 'bpchar') then a.atttypmod - 4 else 0 end as longest,
    t.typtype::text as type_kind,
    t.typcategory::text as category,
    a.attnotnull as is_required,
    d.adbin is not null as has_default,
    a.attidentity <> '' or coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ 'nextval\(', false) as is_counted,
    a.attgenerated <> '' as is_generated,
    coalesce(a.attnum = any(pk.conkey), false) as is_key,
    (
        select e.enumlabel::text from pg_catalog.pg_enum as e
        where e.enumtypid = case when t.typtype = 'd' then t.typbasetype else t.oid end
        order by e.enumsortorder limit 1
    ) as first_label,
    array(
        select pg_catalog.pg_get_constraintdef(k.oid) from pg_catalog.pg_constraint as k
        where k.contype = 'c' and ((k.conrelid = c.oid and a.attnum = any(k.conkey)) or k.contypid = t.oid)
    ) as checks,
    (
        select pg_catalog.pg_get_expr(b.relpartbound, b.oid)
        from pg_catalog.pg_partitioned_table as g
        inner join pg_catalog.pg_inherits as i on i.inhparent = g.partrelid
        inner join pg_catalog.pg_class as b on b.oid = i.inhrelid
        where g.partrelid = c.oid and g.partattrs[0] = a.attnum and pg_catalog.pg_get_expr(b.relpartbound, b.oid) <> 'DEFAULT'
        order by b.oid limit 1
    ) as partition_bound
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
inner join pg_catalog.pg_type as t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
left join pg_catalog.pg_constraint as pk on pk.conrelid = c.oid and pk.contype = 'p'
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by c.oid, a.attnum;
