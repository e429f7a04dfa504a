-- How far a table is on its way to being protected: one row of JSON. In psql: \set t '\'public.notes\'' and \i state.sql
select pg_catalog.jsonb_build_object(
    'name', pg_catalog.format('%I.%I', n.nspname, c.relname),
    'bare', c.relname,
    'kind', c.relkind,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'rows', greatest(c.reltuples, 0)::bigint,
    'pages', pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint,
    'registered', (select p.kind from tenantry.protected as p where p.relation = c.oid),
    'tenant_type', pg_catalog.format_type(a.atttypid, null),
    'is_required', coalesce(a.attnotnull, false),
    'has_trigger', exists (select from pg_catalog.pg_trigger as g where g.tgrelid = c.oid and g.tgname = 'tenantry_fill'),
    'present_check', (
        select case when k.convalidated then 'valid' else 'not valid' end from pg_catalog.pg_constraint as k
        where k.conrelid = c.oid and k.conname = 'tenantry_present'
    ),
    'tenant_reference', (
        select case when k.convalidated then 'valid' else 'not valid' end from pg_catalog.pg_constraint as k
        where k.conrelid = c.oid and k.contype = 'f' and k.confrelid = 'tenantry.tenants'::regclass and k.conkey = array[a.attnum]
    ),
    'has_tenant_index', exists (
        select from pg_catalog.pg_index as i
        where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indisvalid and i.indpred is null
    ),
    'progress', (
        select pg_catalog.jsonb_build_object(
            'expression', l.expression, 'owner_column', l.owner_column, 'next_page', l.next_page, 'rows_filled', l.rows_filled,
            'is_filled', l.is_filled
        ) from tenantry.live_protections as l where l.relation = c.oid
    ),
    'keys', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', coalesce(k.conname, x.relname), 'is_constraint', k.oid is not null, 'is_primary', i.indisprimary,
            'is_random', i.indisprimary and not exists (
                select from pg_catalog.pg_attribute as b
                where b.attrelid = c.oid and b.attnum = any(i.indkey::smallint[]) and b.atttypid <> 'uuid'::regtype
            ),
            'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
            'pointed_at_by', coalesce((
                select pg_catalog.jsonb_agg(f.conrelid::regclass::text) from pg_catalog.pg_constraint as f
                where f.contype = 'f' and f.conindid = i.indexrelid and f.conrelid <> c.oid
                and not exists (select from tenantry.protected as p where p.relation = f.conrelid and p.kind = 'protected')
            ), '[]'),
            -- The key with the tenant in front, if it is there already.
            'twin', (
                select pg_catalog.jsonb_build_object('name', tx.relname, 'is_valid', ti.indisvalid, 'is_constraint', exists (
                    select from pg_catalog.pg_constraint as tc where tc.conindid = ti.indexrelid and tc.conrelid = c.oid
                ))
                from pg_catalog.pg_index as ti inner join pg_catalog.pg_class as tx on tx.oid = ti.indexrelid
                where
                    ti.indrelid = c.oid and ti.indisunique and ti.indkey[0] = a.attnum and ti.indnkeyatts = i.indnkeyatts + 1
                    and (ti.indkey::smallint[])[1 : i.indnkeyatts] = (i.indkey::smallint[])[0 : i.indnkeyatts - 1]
                    and pg_catalog.pg_get_expr(ti.indexprs, c.oid) is not distinct from pg_catalog.pg_get_expr(i.indexprs, c.oid)
                    and pg_catalog.pg_get_expr(ti.indpred, c.oid) is not distinct from pg_catalog.pg_get_expr(i.indpred, c.oid)
                order by ti.indisvalid desc limit 1
            )
        ) order by x.relname)
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
        left join pg_catalog.pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = c.oid and k.contype in ('p', 'u')
        where i.indrelid = c.oid and i.indisunique and (a.attnum is null or not a.attnum = any(i.indkey::smallint[]))
    ), '[]'),
    'references', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'oid', f.oid::bigint, 'name', f.conname, 'child', f.conrelid::regclass::text, 'parent', f.confrelid::regclass::text,
            'columns', tenantry.columns_of(f.conrelid, f.conkey),
            'twin', (
                select case when g.convalidated then 'valid' else 'not valid' end from pg_catalog.pg_constraint as g
                where g.conrelid = f.conrelid and g.contype = 'f' and g.conname = pg_catalog."left"(f.conname, 54) || '_tenant'
            ),
            'has_index', exists (
                select from pg_catalog.pg_index as i where i.indrelid = f.conrelid and i.indisvalid and i.indpred is null
                and (i.indkey::smallint[])[0 : pg_catalog.cardinality(f.conkey)]
                = array[tenantry.column_number(f.conrelid, 'tenant_id')] || f.conkey
            )
        ) order by f.conname)
        from pg_catalog.pg_constraint as f
        where
            f.contype = 'f' and f.conparentid = 0 and f.confrelid <> 'tenantry.tenants'::regclass
            and ((f.conrelid = c.oid and (f.confrelid = c.oid or tenantry.is_protected(f.confrelid)))
                 or (f.confrelid = c.oid and tenantry.is_protected(f.conrelid)))
            and not coalesce(tenantry.column_number(f.conrelid, 'tenant_id') = any(f.conkey), false)
    ), '[]'),
    'indexes', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', x.relname, 'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
            'twin', (
                select tx.relname from pg_catalog.pg_index as ti inner join pg_catalog.pg_class as tx on tx.oid = ti.indexrelid
                where
                    ti.indrelid = c.oid and ti.indisvalid and ti.indkey[0] = a.attnum and ti.indnkeyatts = i.indnkeyatts + 1
                    and (ti.indkey::smallint[])[1 : i.indnkeyatts] = (i.indkey::smallint[])[0 : i.indnkeyatts - 1]
                    and pg_catalog.pg_get_expr(ti.indexprs, c.oid) is not distinct from pg_catalog.pg_get_expr(i.indexprs, c.oid)
                    and pg_catalog.pg_get_expr(ti.indpred, c.oid) is not distinct from pg_catalog.pg_get_expr(i.indpred, c.oid)
                order by tx.relname limit 1
            )
        ) order by x.relname)
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
        inner join pg_catalog.pg_am as m on m.oid = x.relam and m.amname = 'btree'
        where i.indrelid = c.oid and not i.indisunique and i.indisvalid and i.indkey[0] is distinct from a.attnum and x.relname !~ '_tn$'
    ), '[]'),
    'broken_indexes', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.format('%I.%I', n.nspname, x.relname))
        from pg_catalog.pg_index as i inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
        where i.indrelid = c.oid and not i.indisvalid and x.relname ~ '_(tn|tenant_idx)$'
    ), '[]')
)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.oid = $1::regclass;
