-- What is missing for isolation, a row each; no row: all is there. Run as the role of requests: the privileges asked
-- about are that role's own. The same facts, and many more, are in `tenantry verify`; this is the part that a health
-- check can afford each second.
with protected as (
    select
        c.oid,
        c.relname,
        c.relrowsecurity,
        c.relforcerowsecurity
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_attribute as a
        on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where
        c.relnamespace = pg_catalog.to_regnamespace('public')
        and c.relkind in ('r', 'p')
        and not c.relispartition
)

select 'function get_current_tenant_id()' as thing
where pg_catalog.to_regprocedure('public.get_current_tenant_id()') is null

union all
select 'execute on function get_current_tenant_id()'
where
    not pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('public.get_current_tenant_id()')::oid, 'execute')

union all
select 'the role of requests bypasses row level security'
from pg_catalog.pg_roles as r
where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)

union all
select p.relname || ': row level security'
from protected as p
where not p.relrowsecurity

union all
select p.relname || ': forced row level security'
from protected as p
where p.relrowsecurity and not p.relforcerowsecurity

union all
select p.relname || ': policy for ' || command.privilege
from protected as p
cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')) as command (letter, privilege)
where
    (
        pg_catalog.has_table_privilege(p.oid, command.privilege)
        -- Some columns are enough to reach rows (users: the name); PostgreSQL has no such privilege for delete.
        or case when command.privilege <> 'delete' then pg_catalog.has_any_column_privilege(p.oid, command.privilege) end
    )
    and not exists (
        select
        from pg_catalog.pg_policy as y
        where
            y.polrelid = p.oid
            and y.polcmd::text in (command.letter, '*')
            -- Other roles' policies (the gate's, sign-in's) guard nothing here.
            and exists (
                select
                from pg_catalog.unnest(y.polroles) as r (id)
                where case when r.id = 0 then true else pg_catalog.pg_has_role(r.id, 'usage') end
            )
    )
