-- Every policy, with what it says and whether it speaks for the role.
-- In psql: set verify.role = 'platform'; \i policies.sql
with me as (
    select r.oid from pg_catalog.pg_roles as r
    where r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform')
)

select
    p.polrelid::bigint as relation,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as relation_name,
    p.polname::text as name,
    p.polpermissive as is_permissive,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end as command,
    array(
        select case when r.id = 0 then 'public' else pg_catalog.pg_get_userbyid(r.id)::text end from pg_catalog.unnest(p.polroles) as r (id)
    ) as roles,
    exists (
        select from pg_catalog.unnest(p.polroles) as r (id)
        where case when r.id = 0 then true else pg_catalog.pg_has_role(me.oid, r.id, 'usage') end
    ) as is_mine,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_expression,
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_expression
from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on c.oid = p.polrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join me
order by n.nspname, c.relname, p.polname;
